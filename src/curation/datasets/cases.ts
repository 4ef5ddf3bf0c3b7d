import { access } from 'node:fs/promises'
import { DataError } from '../../errors.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import { ignoredIdsOf, mapByNames } from './label-names.js'
import { type CaseList, type ListedCase, stemOf } from './lists.js'
import type { ManifestCase } from './manifest.js'
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
  /** Names of ids in the list that are not in the region; their voxels count as background. */
  readonly background: readonly string[]
}

/**
 * Return the cases of one data set, with ids, patients and roles. The label map comes from the registry, else
 * from the names in the list; null if both lack it. Cases whose image or label does not exist are omitted and
 * counted.
 * @throws DataError for a training or validation case that is listed without a label
 */
export async function casesOf(list: CaseList, dataset: Dataset): Promise<DatasetCases> {
  const named = dataset.labelMap ? null : mapByNames(list.labelNames ?? {}, dataset.region)
  const map = dataset.labelMap ? withIgnored(dataset.labelMap, dataset, list) : (named?.map ?? null)
  const described = named ? { ...dataset, kidneySides: named.kidneySides } : dataset
  const present: ListedCase[] = []
  const absent: string[] = []
  for (const listed of list.cases) {
    const lost = await missingFileOf(listed)
    if (lost === null) present.push(listed)
    else absent.push(lost)
  }
  const cases = withOwnIds(present.map((listed) => caseOf(listed, described, map, list)))
  const missing =
    absent.length === 0 ? [] : [{ dataset: dataset.name, count: absent.length, example: absent[0]! }]
  return { cases, missing, background: named?.background ?? [] }
}

/** Add the ids that the list calls `ignore` to a published map, which does not have them. A map of the user is complete. */
function withIgnored(map: LabelIdMap, { name }: Dataset, { labelNames }: CaseList): LabelIdMap {
  if (map !== findDataset(name)?.labelMap) return map
  const ignored = ignoredIdsOf(labelNames ?? {}).map((id) => [id, IGNORED_LABEL])
  return ignored.length === 0 ? map : { ...map, ...Object.fromEntries(ignored) }
}

function caseOf(
  listed: ListedCase,
  dataset: Dataset,
  labelMap: LabelIdMap | null,
  list: CaseList,
): ManifestCase {
  const ending = dataset.layout?.kind === 'flat' ? dataset.layout.imageEnding : undefined
  const stem = stemOf(listed.image, ending)
  const testOnly = dataset.role.kind === 'test'
  const split = testOnly ? 'test' : listed.split
  if (listed.label === null && split !== 'test')
    throw new DataError(`${list.source}: no label (expected one for ${listed.image} in ${split})`, {
      hint: 'label the case, or move it to test',
    })
  return {
    id: `${dataset.name}/${stem}`,
    dataset: dataset.name,
    patient: patientOf(listed, dataset, stem),
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
function patientOf({ patient, host }: ListedCase, { name, patientPattern }: Dataset, stem: string): string {
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

/** Return the first file of a case that does not exist. */
export async function missingFileOf({
  image,
  label,
}: Pick<ListedCase, 'image' | 'label'>): Promise<string | null> {
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
