import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { DataError } from '../errors.js'
import { LABEL_SCHEMES, type Region } from '../volume/labels.js'
import { type CaseList, readCases } from './lists.js'
import {
  casesOf,
  type DatasetCases,
  type Manifest,
  type ManifestCase,
  type MissingFiles,
  makeManifest,
} from './manifest.js'
import { type Dataset, findDataset, guessDataset } from './registry.js'

export interface Import {
  readonly manifest: Manifest
  readonly missing: readonly MissingFiles[]
}

/**
 * Brings published lists into a manifest: one list, a folder of lists, or a data-set folder (with dataset.json, or bare).
 * Which data set a list belongs to is told by its folder's or its own name; one that nobody knows must name its label
 * ids as a region does.
 * @param root where data sets lie: listed paths are tried there, under the data set's folder, and beside the list
 * @throws DataError that names the list
 */
export async function importLists(
  lists: string,
  root: string,
  own: readonly Dataset[] = [],
): Promise<Import> {
  const { cases, missing } = await collectCases(lists, root, own)
  return { manifest: makeManifest(cases), missing }
}

/** As `importLists`, with ids that occur twice left for a check to find. */
export async function collectCases(
  lists: string,
  root: string,
  own: readonly Dataset[] = [],
): Promise<DatasetCases> {
  const cases: ManifestCase[] = []
  const missing: MissingFiles[] = []
  for (const source of await sourcesIn(lists)) {
    const named = datasetOf(source, own)
    const searchIn = [resolve(root), ...(named ? [resolve(root, named.name)] : [])]
    const list = await readCases(source, { searchIn, layout: named?.layout })
    const found = await casesOf(list, named ?? describedByNames(list, source))
    cases.push(...found.cases)
    missing.push(...found.missing)
  }
  return { cases, missing }
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
  if (names.includes('dataset.json') || lists.length === 0) return [resolve(path)]
  return lists.map((name) => resolve(join(path, name)))
}

function datasetOf(source: string, own: readonly Dataset[]): Dataset | undefined {
  const stem = basename(source, extname(source) === '.json' ? '.json' : '')
  const folder = basename(dirname(source))
  const name = stem === 'dataset' ? folder : stem
  return findDataset(name, own) ?? guessDataset(name, own) ?? findDataset(folder, own)
}

/** A data set that only its own list describes: its label names are those of a region, its tumors decide its role. */
function describedByNames(list: CaseList, source: string): Dataset {
  const name = basename(source.replace(/\/dataset\.json$/, ''), '.json')
  const labelNames = Object.values(list.labelNames ?? {})
  const region = (['abdomen', 'chest'] as const).find(
    (candidate) => labelNames.length > 1 && labelNames.every((label) => namesId(candidate, label)),
  )
  if (!region)
    throw new DataError(`${list.source}: the data set ${name} is not in the registry`, {
      hint: 'name the list after its data set (`freetumor data list`), or name its label ids as the region does',
    })
  const organs = LABEL_SCHEMES[region].organs
    .filter((organ) => labelNames.includes(LABEL_SCHEMES[region].names[organ.tumorLabel]!))
    .map((organ) => organ.name)
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

function namesId(region: Region, label: string): boolean {
  return LABEL_SCHEMES[region].names.includes(label)
}
