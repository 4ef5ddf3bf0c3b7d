import { access } from 'node:fs/promises'
import { DataError } from '../../errors.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import { ignoredIdsOf, mapByNames } from './label-names.js'
import type { CaseList, ListedCase } from './lists.js'
import type { ManifestCase } from './manifest.js'
import { mergedLabels, type RefusedCase } from './merged-labels.js'
import { masksOfRegion, regionIds } from './organ-masks.js'
import { type Dataset, findDataset, type LabelIdMap, tumorOrgans } from './registry.js'

/** Listed files that do not exist, per data set. */
export interface MissingFiles {
  readonly dataset: string
  readonly count: number
  readonly example: string
}

export interface DatasetCases {
  readonly cases: readonly ManifestCase[]
  readonly missing: readonly MissingFiles[]
  /** Number of missing cases whose image exists, so that only the label is missing. */
  readonly unlabelled: number
  /** Cases whose masks cannot be merged. */
  readonly refused: readonly RefusedCase[]
  /** Sentences about ids that count as background, and about masks that overlap. */
  readonly notes: readonly string[]
}

/**
 * Return the cases of one data set, with ids, patients and roles. The label map comes from the registry, else
 * from the names in the list; null if both lack it. Masks of organs are merged into label maps with the ids of
 * the region. Cases whose image or label does not exist are omitted and counted.
 * @param labelFolder of merged label maps. Default: the shared cache. Null: nothing is merged
 * @throws DataError for a training or validation case that is listed without a label
 */
export async function casesOf(
  list: CaseList,
  dataset: Dataset,
  labelFolder?: string | null,
): Promise<DatasetCases> {
  const hasMasks = list.cases.some(({ masks }) => masks !== undefined)
  const described = hasMasks ? describedByMasks(list, dataset) : describedByLabels(list, dataset)
  const present: ListedCase[] = []
  const absent: { file: string; image: string }[] = []
  const lost = await missingFilesOf(list.cases)
  for (const [at, listed] of list.cases.entries()) {
    const file = lost[at]!
    if (file === null) present.push(listed)
    else absent.push({ file, image: listed.image })
  }
  const idOf = ({ name }: ListedCase) => `${dataset.name}/${name}`
  const merged = await mergedLabels(list.source, present, idOf, dataset.region, labelFolder)
  const cases = withOwnIds(merged.cases.map((listed) => caseOf(listed, described.dataset, list)))
  const missing =
    absent.length === 0 ? [] : [{ dataset: dataset.name, count: absent.length, example: absent[0]!.file }]
  const unlabelled = absent.filter(({ file, image }) => file !== image).length
  const { refused, notes } = merged
  return { cases, missing, unlabelled, refused, notes: [...described.notes, ...notes] }
}

function describedByLabels(list: CaseList, dataset: Dataset): { dataset: Dataset; notes: string[] } {
  if (dataset.labelMap)
    return { dataset: { ...dataset, labelMap: withIgnored(dataset.labelMap, dataset, list) }, notes: [] }
  const named = mapByNames(list.labelNames ?? {}, dataset.region)
  if (named === null) return { dataset, notes: [] }
  return {
    dataset: { ...dataset, labelMap: named.map, kidneySides: named.kidneySides },
    notes: asBackground(named.background, dataset),
  }
}

/** Add the ids that the list calls `ignore` to a published map, which does not have them. A map of the user is complete. */
function withIgnored(map: LabelIdMap, { name }: Dataset, { labelNames }: CaseList): LabelIdMap {
  if (map !== findDataset(name)?.labelMap) return map
  const ignored = ignoredIdsOf(labelNames ?? {}).map((id) => [id, IGNORED_LABEL])
  return ignored.length === 0 ? map : { ...map, ...Object.fromEntries(ignored) }
}

/** Merged labels have the ids of the region; the registered map and kidney sides belong to other files. */
function describedByMasks(list: CaseList, dataset: Dataset): { dataset: Dataset; notes: string[] } {
  const names = new Set<string>()
  const taken = new Set<string>()
  for (const { masks = [] } of list.cases) {
    for (const { name } of masks) names.add(name)
    for (const { name } of masksOfRegion(masks, dataset.region)) taken.add(name)
  }
  const background = [...names].filter((name) => !taken.has(name))
  return {
    dataset: { ...dataset, labelMap: regionIds(dataset.region), kidneySides: undefined },
    notes: asBackground(background, dataset),
  }
}

function asBackground(names: readonly string[], { name, region }: Dataset): string[] {
  if (names.length === 0) return []
  const shown = names.length > 12 ? [...names.slice(0, 12), `${names.length - 12} more`] : names
  return [
    `${name}: ${shown.join(', ')} ${names.length === 1 ? 'counts' : 'count'} as background of the ${region}`,
  ]
}

function caseOf(listed: ListedCase, dataset: Dataset, list: CaseList): ManifestCase {
  const { labelMap } = dataset
  const testOnly = dataset.role.kind === 'test'
  const split = testOnly ? 'test' : listed.split
  if (listed.label === null && split !== 'test')
    throw new DataError(`${list.source}: no label (expected one for ${listed.image} in ${split})`, {
      hint: 'label the case, or move it to test',
    })
  return {
    id: `${dataset.name}/${listed.name}`,
    dataset: dataset.name,
    patient: patientOf(listed, dataset),
    region: dataset.region,
    role:
      dataset.role.kind === 'host'
        ? { kind: 'host' }
        : { kind: 'labelled', organs: labelMap ? tumorOrgans(labelMap, dataset.region) : [] },
    image: listed.image,
    label: listed.label,
    fold: listed.fold,
    split,
    labelMap,
    ...(dataset.kidneySides && { kidneySides: dataset.kidneySides }),
    ...(listed.host !== undefined && { parent: listed.host }),
  }
}

/**
 * Return the patient: for a synthetic case that of its host CT, else one of this data set, by its list or its
 * pattern.
 */
function patientOf({ patient, host, name: stem }: ListedCase, { name, patientPattern }: Dataset): string {
  if (patient !== undefined && host !== undefined) return patient
  return `${name}/${patient ?? patientPattern?.exec(stem)?.[1] ?? stem}`
}

/**
 * Rename a case that a list has in two parts, as PANORAMA's list does: it stays in both, so that checks and
 * audits find it.
 */
function withOwnIds(cases: readonly ManifestCase[]): ManifestCase[] {
  const splitOf = new Map<string, ManifestCase['split']>()
  return cases.map((item) => {
    const first = splitOf.get(item.id) ?? item.split
    splitOf.set(item.id, first)
    return first === item.split ? item : { ...item, id: `${item.id}@${item.split}` }
  })
}

/** Number of parallel questions; disks and networks serve several at a time. */
const PARALLEL = 16

/** Return for each case the first file that does not exist; null if both exist. */
export async function missingFilesOf(
  cases: readonly Pick<ListedCase, 'image' | 'label'>[],
): Promise<(string | null)[]> {
  const found: (string | null)[] = cases.map(() => null)
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < cases.length; at = next++) found[at] = await missingFileOf(cases[at]!)
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  return found
}

async function missingFileOf({ image, label }: Pick<ListedCase, 'image' | 'label'>): Promise<string | null> {
  for (const file of [image, label])
    if (file !== null) {
      const found = await access(file).then(
        () => true,
        () => false,
      )
      if (!found) return file
    }
  return null
}
