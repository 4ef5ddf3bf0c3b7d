import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import type { OrganName, Region } from '../../volume/labels.js'
import { casesOf, type DatasetCases, type MissingFiles } from './cases.js'
import { mapByNames } from './label-names.js'
import { type CaseList, readCases } from './lists.js'
import { type Manifest, type ManifestCase, makeManifest } from './manifest.js'
import { ignoredNote, refuseForeignTargets } from './region-ids.js'
import {
  type Dataset,
  findDataset,
  guessDataset,
  type KidneySides,
  type LabelIdMap,
  tumorOrgans,
} from './registry.js'

const REGIONS: readonly Region[] = ['abdomen', 'chest']

export interface ImportOptions {
  /**
   * Folder of the data sets. Listed paths are relative to it, to the folder of the data set, or to the list.
   */
  readonly root: string
  /** Data sets in addition to the registry. */
  readonly own?: readonly Dataset[]
  /** Overrides of the registry and the list. */
  readonly region?: Region | undefined
  readonly labelMap?: LabelIdMap | undefined
  /** Ids of the two kidneys in `labelMap`. */
  readonly kidneySides?: KidneySides | undefined
  /** Accept lists with files outside `root`, the folder of the data set and their own folder. */
  readonly allowOutside?: boolean | undefined
}

export interface Collected {
  readonly cases: readonly ManifestCase[]
  readonly missing: readonly MissingFiles[]
  /** Notes for the user: ids that count as background, undocumented labels. */
  readonly notes: readonly string[]
}

export interface Import extends Omit<Collected, 'cases'> {
  readonly manifest: Manifest
}

/**
 * Read published lists into a manifest: one list, a folder of lists, or a data-set folder (with dataset.json,
 * or bare). The data set of a list follows from the name of its folder or of itself. For an unknown data set,
 * the names of its label ids determine the region.
 * @throws DataError that names the list
 */
export async function importLists(lists: string, options: ImportOptions): Promise<Import> {
  const { cases, missing, notes } = await collect(lists, options, 'refuse')
  return { manifest: makeManifest(cases), missing, notes }
}

/** Collect cases as `importLists` does, but keep duplicate ids and unknown data sets for a check to find. */
export function collectCases(lists: string, options: ImportOptions): Promise<Collected> {
  return collect(lists, options, 'keep')
}

async function collect(
  lists: string,
  options: ImportOptions,
  strangers: 'keep' | 'refuse',
): Promise<Collected> {
  const { root, own = [], allowOutside } = options
  const cases: ManifestCase[] = []
  const missing: MissingFiles[] = []
  const notes: string[] = []
  for (const source of await sourcesIn(lists)) {
    const named = datasetOf(source, own)
    const searchIn = [resolve(root), ...(named ? [resolve(root, named.name)] : [])]
    const list = await readCases(source, { searchIn, layout: named?.layout, allowOutside })
    const described = named ?? describedByNames(list, source, options.region)
    if (!described && strangers === 'refuse')
      throw new DataError(
        `${list.source}: unknown data set (expected one of the registry, or a list that names organs)`,
        {
          hint: 'pass `--region` and `--map`, or name the list after its data set',
        },
      )
    // the checks of an unknown data set do not depend on its region
    const dataset = asTold(described ?? ownDataset(nameOf(source), 'abdomen', []), options)
    const found = await casesOf(list, dataset)
    cases.push(...found.cases)
    missing.push(...found.missing)
    notes.push(...notesOn(dataset, found, list))
  }
  return { cases, missing, notes }
}

/** Return the lists of a folder, or the folder itself if it is a data set. */
async function sourcesIn(path: string): Promise<string[]> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(cannotBeRead(path, error.code, 'list or data set'), {
      hint: 'correct the path',
    })
  })
  if (!state.isDirectory()) return [resolve(path)]
  const names = (await readdir(path)).sort()
  const lists = names.filter((name) => name.endsWith('.json'))
  // a data set may contain other JSON files: splits, plans, figures
  const isDataset = names.includes('dataset.json') || names.includes('imagesTr') || lists.length === 0
  if (isDataset) return [resolve(path)]
  return lists.map((name) => resolve(join(path, name)))
}

function datasetOf(source: string, own: readonly Dataset[]): Dataset | undefined {
  const stem = basename(source, extname(source) === '.json' ? '.json' : '')
  const folder = basename(dirname(source))
  const name = stem === 'dataset' ? folder : stem
  return findDataset(name, own) ?? guessDataset(name, own) ?? findDataset(folder, own)
}

/**
 * Return a data set that only its list describes: the names of its label ids give the region, its tumors the
 * role.
 */
function describedByNames(list: CaseList, source: string, told: Region | undefined): Dataset | undefined {
  const regions = told ? [told] : REGIONS
  const found = regions.map((region) => mapByNames(list.labelNames ?? {}, region)).find((map) => map !== null)
  if (found) return ownDataset(nameOf(source), found.region, tumorOrgans(found.map, found.region))
  return told && ownDataset(nameOf(source), told, [])
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

function nameOf(source: string): string {
  return basename(source.replace(/\/dataset\.json$/, ''), '.json')
}

function asTold(dataset: Dataset, { region, labelMap, kidneySides }: ImportOptions): Dataset {
  if (region && region !== dataset.region)
    throw new UsageError(`${dataset.name}: wrong region (expected ${dataset.region}, found ${region})`, {
      hint: 'omit --region',
    })
  if (!labelMap) return dataset
  refuseForeignTargets(dataset.name, labelMap, dataset.region)
  const organs = tumorOrgans(labelMap, dataset.region)
  const role =
    dataset.role.kind === 'host' && organs.length > 0 ? { kind: 'labelled' as const, organs } : dataset.role
  // the kidney sides of the registry apply only to its own map
  return { ...dataset, labelMap, role, kidneySides }
}

function notesOn(
  { name, region }: Dataset,
  { background, cases }: DatasetCases,
  { statedCount, cases: listed, unclearNames }: CaseList,
): string[] {
  const training = listed.filter(({ split }) => split === 'training').length
  const unknown = cases[0]?.labelMap === null
  const ignored = ignoredNote(name, cases[0]?.labelMap ?? {})
  const why = unclearNames === undefined ? 'undocumented' : `unclear (${unclearNames})`
  return [
    ...(background.length > 0
      ? [`${name}: ${background.join(', ')} count as background of the ${region}`]
      : []),
    ...(statedCount !== null && statedCount !== training
      ? [`${name}: numTraining is ${statedCount}, but the list contains ${training} training cases`]
      : []),
    ...(ignored === null ? [] : [ignored]),
    ...(unknown ? [`${name}: its label ids are ${why}; a configuration must set labelMap`] : []),
  ]
}
