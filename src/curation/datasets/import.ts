import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import type { OrganName, Region } from '../../volume/labels.js'
import { casesOf, type DatasetCases, type MissingFiles } from './cases.js'
import { mapByNames } from './label-names.js'
import { type CaseList, readCases } from './lists.js'
import { type Manifest, type ManifestCase, makeManifest } from './manifest.js'
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
  /** Where data sets lie: listed paths are tried there, under the data set's folder, and beside the list. */
  readonly root: string
  /** Data sets beside the registry's. */
  readonly own?: readonly Dataset[]
  /** What to take instead of what the registry and the list say. */
  readonly region?: Region | undefined
  readonly labelMap?: LabelIdMap | undefined
  /** Of `labelMap`: its ids for the two kidneys. */
  readonly kidneySides?: KidneySides | undefined
  /** Lists may name files outside `root`, the data set's folder and their own. */
  readonly allowOutside?: boolean | undefined
}

export interface Collected {
  readonly cases: readonly ManifestCase[]
  readonly missing: readonly MissingFiles[]
  /** What the user should know: ids that count as background, labels that nobody explains. */
  readonly notes: readonly string[]
}

export interface Import extends Omit<Collected, 'cases'> {
  readonly manifest: Manifest
}

/**
 * Brings published lists into a manifest: one list, a folder of lists, or a data-set folder (with dataset.json, or bare).
 * Which data set a list belongs to is told by its folder's or its own name; of one that nobody knows, the names of its
 * label ids tell the region.
 * @throws DataError that names the list
 */
export async function importLists(lists: string, options: ImportOptions): Promise<Import> {
  const { cases, missing, notes } = await collect(lists, options, 'refuse')
  return { manifest: makeManifest(cases), missing, notes }
}

/** As `importLists`, with ids that occur twice and data sets that nobody knows left for a check to find. */
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
        `${list.source}: the data set is not in the registry, and its list names no organ`,
        {
          hint: 'say `--region` and `--map`, name the list after its data set (`freetumor data list`), or name its label ids',
        },
      )
    // Whatever is checked of a stranger does not depend on its region.
    const dataset = asTold(described ?? ownDataset(nameOf(source), 'abdomen', []), options)
    const found = await casesOf(list, dataset)
    cases.push(...found.cases)
    missing.push(...found.missing)
    notes.push(...notesOn(dataset, found, list))
  }
  return { cases, missing, notes }
}

/** The lists of a folder, or the folder itself when it is a data set. */
async function sourcesIn(path: string): Promise<string[]> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${path}: cannot be read (${error.code})`, {
      hint: 'name a list, a folder of lists or a data set',
    })
  })
  if (!state.isDirectory()) return [resolve(path)]
  const names = (await readdir(path)).sort()
  const lists = names.filter((name) => name.endsWith('.json'))
  // A data set may hold other files of JSON: splits, plans, figures.
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

/** A data set that only its own list describes: the names of its label ids tell the region, its tumors the role. */
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
    throw new UsageError(`${dataset.name} is a data set of the ${dataset.region}, not of the ${region}`, {
      hint: 'leave --region out',
    })
  if (!labelMap) return dataset
  const organs = tumorOrgans(labelMap, dataset.region)
  const role =
    dataset.role.kind === 'host' && organs.length > 0 ? { kind: 'labelled' as const, organs } : dataset.role
  // What the registry says of sides holds for its own map only.
  return { ...dataset, labelMap, role, kidneySides }
}

function notesOn(
  { name, region }: Dataset,
  { background, cases }: DatasetCases,
  { statedCount, cases: listed }: CaseList,
): string[] {
  const training = listed.filter(({ split }) => split === 'training').length
  const unknown = cases[0]?.labelMap === null
  return [
    ...(background.length > 0
      ? [`${name}: ${background.join(', ')} count as background of the ${region}`]
      : []),
    ...(statedCount !== null && statedCount !== training
      ? [`${name}: its list says ${statedCount} training cases and names ${training}`]
      : []),
    ...(unknown ? [`${name}: nobody says what its label ids mean; a run must (labelMap)`] : []),
  ]
}
