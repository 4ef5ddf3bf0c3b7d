import { resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { OrganName, Region } from '../../volume/labels.js'
import { casesOf, type DatasetCases, type MissingFiles } from './cases.js'
import { datasetNameOf, type LeftOut } from './file-names.js'
import { mapByNames } from './label-names.js'
import type { CaseList } from './lists.js'
import { type Manifest, type ManifestCase, makeManifest } from './manifest.js'
import type { RefusedCase } from './merged-labels.js'
import { masksOfRegion, regionIds, regionOfMasks } from './organ-masks.js'
import { withLabels } from './own-labels.js'
import { datasetNamed, recognizeDataset } from './recognize.js'
import { ignoredNote, refuseForeignTargets } from './region-ids.js'
import { type Dataset, type KidneySides, type LabelIdMap, tumorOrgans } from './registry.js'
import { readSource, type Source, sourcesAt } from './sources.js'

const REGIONS: readonly Region[] = ['abdomen', 'chest']

export interface ImportOptions {
  /**
   * Folder of the data sets. Listed paths are relative to it, to the folder of the data set, or to the list.
   */
  readonly root: string
  /** Data sets in addition to the registry. */
  readonly own?: readonly Dataset[]
  /** Name of the data set, or `none`: it is not in the registry. Default: recognised by its folder or list. */
  readonly as?: string | undefined
  /** Overrides of the registry and the list. */
  readonly region?: Region | undefined
  readonly labelMap?: LabelIdMap | undefined
  /** Ids of the two kidneys in `labelMap`. */
  readonly kidneySides?: KidneySides | undefined
  /** Labels of the scans, if they lie apart: a data set, a folder, or the label of one scan. */
  readonly labels?: string | undefined
  /** Accept lists with files outside `root`, the folder of the data set and their own folder. */
  readonly allowOutside?: boolean | undefined
  /** Folder of label maps that are merged from masks. Default: the shared cache. Null: nothing is merged. */
  readonly labelFolder?: string | null | undefined
}

/** A row of the table of an import: a source, and what its cases were taken as. */
export interface TakenSource {
  readonly source: string
  readonly layout: string
  readonly dataset: string
  /** The data set is known by the name of its folder or list. */
  readonly recognized: boolean
  readonly region: Region
  readonly role: Dataset['role']['kind']
  readonly labelMap: LabelIdMap | null
  /** Cases whose label is merged from masks. */
  readonly merged: number
  readonly training: number
  readonly validation: number
  readonly test: number
}

export interface Collected {
  readonly cases: readonly ManifestCase[]
  readonly taken: readonly TakenSource[]
  readonly missing: readonly MissingFiles[]
  /** Number of missing cases whose image exists. */
  readonly unlabelled: number
  /** Cases that cannot be taken. */
  readonly refused: readonly RefusedCase[]
  /** Files that look like scans and are not taken. */
  readonly leftOut: readonly LeftOut[]
  /** Notes for the user: recognised data sets, ids that count as background, undocumented labels. */
  readonly notes: readonly string[]
}

export interface Import extends Omit<Collected, 'cases'> {
  readonly manifest: Manifest
}

/**
 * Read data sets of any layout into a manifest; see `sourcesAt`. The data set follows from the name of the
 * folder or list, or from `as`. For an unknown data set, the names of its label ids or masks determine the
 * region.
 * @throws DataError that names the list; for duplicate ids
 */
export async function importLists(
  paths: string | readonly string[],
  options: ImportOptions,
): Promise<Import> {
  const { cases, ...rest } = await importCases(paths, options)
  return { manifest: makeManifest(cases), ...rest }
}

/** Collect cases as `importLists` does, but keep duplicate ids. */
export function importCases(paths: string | readonly string[], options: ImportOptions): Promise<Collected> {
  return collect([paths].flat(), options, 'refuse')
}

/** Collect cases as `importCases` does, but keep unknown data sets for a check. */
export function collectCases(paths: string | readonly string[], options: ImportOptions): Promise<Collected> {
  return collect([paths].flat(), options, 'keep')
}

async function collect(
  paths: readonly string[],
  options: ImportOptions,
  strangers: 'keep' | 'refuse',
): Promise<Collected> {
  const sources = (await Promise.all(paths.map(sourcesAt))).flat()
  if (sources.length > 1 && options.as !== undefined && options.as !== 'none')
    throw new UsageError(`--as ${options.as}: several data sets (expected one, found ${sources.length})`, {
      hint: 'pass one data set at a time, or omit --as',
    })
  const parts: Collected[] = []
  for (const source of sources) parts.push(await collectSource(source, options, strangers))
  return joined(parts)
}

/** Join what several sources gave, in their order. */
export function joined(parts: readonly Collected[]): Collected {
  return {
    cases: parts.flatMap((part) => part.cases),
    taken: parts.flatMap((part) => part.taken),
    missing: parts.flatMap((part) => part.missing),
    unlabelled: parts.reduce((sum, part) => sum + part.unlabelled, 0),
    refused: parts.flatMap((part) => part.refused),
    leftOut: parts.flatMap((part) => part.leftOut),
    notes: parts.flatMap((part) => part.notes),
  }
}

async function collectSource(
  source: Source,
  options: ImportOptions,
  strangers: 'keep' | 'refuse',
): Promise<Collected> {
  const { root, own = [], allowOutside, labelFolder } = options
  const named = datasetOf(source, own, options.as)
  const searchIn = [resolve(root), ...(named ? [resolve(root, named.name)] : [])]
  const read = await readSource(source, { searchIn, layout: named?.layout, allowOutside })
  const list = options.labels === undefined ? read : await withLabels(read, options.labels)
  const described = named ?? describedByNames(list, source, options.region)
  if (!described && strangers === 'refuse')
    throw new DataError(
      list.unclearNames === undefined
        ? `${list.source}: unknown data set (expected one of the registry, or a list that names organs)`
        : `${list.source}: label ids are unclear (${list.unclearNames})`,
      {
        hint: 'pass `--region` and `--map`, or name the data set with `--as`',
      },
    )
  // the checks of an unknown data set do not depend on its region
  const unknown = ownDataset(datasetNameOf(source.path), options.region ?? 'abdomen', [])
  const dataset = asTold(described ?? unknown, list, options)
  const found = await casesOf(list, dataset, labelFolder)
  const recognized =
    named !== undefined && options.as === undefined && named.name !== datasetNameOf(source.path)
      ? [`${datasetNameOf(source.path)}: recognised as ${named.name}; \`--as none\` prevents it`]
      : []
  return {
    cases: found.cases,
    taken: [takenAs(dataset, list, found, named !== undefined)],
    missing: found.missing,
    unlabelled: found.unlabelled,
    refused: found.refused,
    leftOut: list.leftOut,
    notes: [...recognized, ...notesOn(dataset, found, list)],
  }
}

/** Return the registered data set of a source: the one that `as` names, else the one of its name. */
function datasetOf({ path }: Source, own: readonly Dataset[], as: string | undefined): Dataset | undefined {
  if (as === 'none') return undefined
  if (as !== undefined) {
    const found = datasetNamed(as, own)
    if (found) return found
    throw new UsageError(`--as ${as}: unknown data set`, {
      hint: 'choose one of `freetumor data list`, or none',
    })
  }
  const name = datasetNameOf(path)
  return recognizeDataset(name, own) ?? ofFolderAbove(path, own)
}

/** A list may lie in the folder of its data set; `dataset` is the folder of the cases of KiTS. */
function ofFolderAbove(path: string, own: readonly Dataset[]): Dataset | undefined {
  const above = datasetNameOf(resolve(path, '..'))
  const isPlain = /^(dataset|data|images|training|train)$/i.test(datasetNameOf(path))
  const found = recognizeDataset(above, own)
  return found && (isPlain || found.name === above) ? found : undefined
}

/**
 * Return a data set that only its list describes: the names of its label ids or masks give the region, its
 * tumors the role.
 */
function describedByNames(list: CaseList, { path }: Source, told: Region | undefined): Dataset | undefined {
  const name = datasetNameOf(path)
  const masks = list.cases.flatMap((item) => item.masks ?? [])
  const region = told ?? regionOfMasks(masks)
  if (masks.length > 0 && region) {
    const ids = new Set(masksOfRegion(masks, region).map(({ id }) => id))
    const map = Object.fromEntries([...ids].map((id) => [String(id), id]))
    return ownDataset(name, region, tumorOrgans(map, region))
  }
  const regions = told ? [told] : REGIONS
  const found = regions.map((one) => mapByNames(list.labelNames ?? {}, one)).find((map) => map !== null)
  if (found) return ownDataset(name, found.region, tumorOrgans(found.map, found.region))
  return told && ownDataset(name, told, [])
}

function ownDataset(name: string, region: Region, organs: readonly OrganName[]): Dataset {
  return {
    name,
    title: name,
    region,
    role: organs.length > 0 ? { kind: 'labelled', organs } : { kind: 'host' },
    published: { training: 0, validation: 0 },
    labelMap: null,
    licence: 'your own',
    overlaps: [],
  }
}

function asTold(dataset: Dataset, list: CaseList, { region, labelMap, kidneySides }: ImportOptions): Dataset {
  if (region && region !== dataset.region)
    throw new UsageError(`${dataset.name}: wrong region (expected ${dataset.region}, found ${region})`, {
      hint: 'omit --region',
    })
  if (!labelMap) return dataset
  refuseForeignTargets(dataset.name, labelMap, dataset.region)
  const merged = list.cases.some(({ masks }) => masks !== undefined)
  const ofRegion = Object.entries(regionIds(dataset.region)).every(([id, target]) => labelMap[id] === target)
  if (merged && !ofRegion)
    throw new UsageError(`--map: no ids to map (${dataset.name} has masks, which are merged by name)`, {
      hint: 'omit --map, or pass --map region',
    })
  const organs = tumorOrgans(labelMap, dataset.region)
  const isLabelled = !merged && dataset.role.kind === 'host' && organs.length > 0
  const role = isLabelled ? { kind: 'labelled' as const, organs } : dataset.role
  // the kidney sides of the registry apply only to its own map
  return { ...dataset, labelMap, role, kidneySides }
}

function takenAs(
  { name, region, role }: Dataset,
  { source, layout, cases: listed }: CaseList,
  { cases }: DatasetCases,
  recognized: boolean,
): TakenSource {
  const of = (split: ManifestCase['split']) => cases.filter((item) => item.split === split).length
  return {
    source,
    layout,
    dataset: name,
    recognized,
    region,
    role: role.kind,
    labelMap: cases[0]?.labelMap ?? null,
    merged: listed.filter(({ masks }) => masks !== undefined).length,
    training: of('training'),
    validation: of('validation'),
    test: of('test'),
  }
}

function notesOn(
  { name }: Dataset,
  { notes, cases }: DatasetCases,
  { statedCount, cases: listed, notes: unused, unclearNames }: CaseList,
): string[] {
  const training = listed.filter(({ split }) => split === 'training').length
  const unknown = cases.some(({ label, labelMap }) => label !== null && labelMap === null)
  const ignored = ignoredNote(name, cases[0]?.labelMap ?? {})
  const why = unclearNames === undefined ? 'undocumented' : `unclear (${unclearNames})`
  return [
    ...notes,
    ...unused.map((note) => `${name}: ${note}`),
    ...(statedCount !== null && statedCount !== training
      ? [
          `${name}: numTraining is ${statedCount}, but the list contains ${counted(training, 'training case')}`,
        ]
      : []),
    ...(ignored === null ? [] : [ignored]),
    ...(unknown ? [`${name}: its label ids are ${why}; a configuration must set labelMap`] : []),
  ]
}
