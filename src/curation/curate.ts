import { resolve } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { ConfigError, DataError } from '../errors.js'
import { LABEL_SCHEMES, type Region } from '../volume/labels.js'
import { casesOf, type MissingFiles } from './dataset-cases.js'
import { readCases } from './lists.js'
import { type ManifestCase, makeManifest } from './manifest.js'
import { findPreset } from './presets.js'
import { type Dataset, type DatasetRole, findDataset, type LabelIdMap, tumorOrgans } from './registry.js'

/** A case of a run, with how often an epoch visits it. */
export interface CuratedCase extends ManifestCase {
  readonly labelMap: LabelIdMap
  readonly repeat: number
}

export interface Curation {
  readonly cases: readonly CuratedCase[]
  readonly missing: readonly MissingFiles[]
}

type ConfiguredDataset = RunConfig['data']['datasets'][number]

/**
 * The cases of a run in one stable order: what the configuration lists, read by what the registry knows.
 * @throws ConfigError for a data set that nobody describes; DataError for lists and files that do not hold
 */
export async function curate(data: RunConfig['data'], region: Region): Promise<Curation> {
  const own = ownDatasets(data)
  const repeats = new Map<string, number>()
  const cases: ManifestCase[] = []
  const missing: MissingFiles[] = []
  for (const entry of data.datasets) {
    if (repeats.has(entry.name))
      throw new ConfigError(`data.datasets: ${entry.name} is listed twice`, {
        hint: 'repeat says how often its cases count',
      })
    repeats.set(entry.name, entry.repeat)
    const dataset = describe(entry, region, own)
    const path = resolve(data.root, entry.path ?? entry.name)
    const searchIn = [resolve(data.root), resolve(data.root, entry.name)]
    const list = await readCases(path, { searchIn, layout: dataset.layout })
    const found = await casesOf(list, dataset)
    if (found.cases.length === 0)
      throw new DataError(
        `${list.source}: none of its ${list.cases.length} cases exists, first ${found.missing[0]?.example ?? 'none is listed'}`,
        { hint: 'paths are tried under the data root, under the data set and beside the list' },
      )
    if (found.cases[0]!.labelMap === null) throw unexplained(list.source, dataset)
    cases.push(...held(found.cases, entry))
    missing.push(...found.missing)
  }
  const manifest = makeManifest(cases)
  const curated = manifest.cases.map((item) => ({
    ...item,
    labelMap: item.labelMap!,
    repeat: repeats.get(item.dataset)!,
  }))
  return { cases: curated, missing }
}

function unexplained(source: string, { name, region }: Dataset): DataError {
  const ids = LABEL_SCHEMES[region].names.map((meaning, id) => `${id} ${meaning}`)
  return new DataError(`${source}: nobody says what the label ids of ${name} mean`, {
    hint: `give it a labelMap, a preset's name or its ids to those of the ${region}: ${ids.join(', ')}`,
  })
}

/** The data sets of one's own that a configuration describes, in the registry's form. @throws UsageError */
export function ownDatasets({ registry }: Pick<RunConfig['data'], 'registry'>): Dataset[] {
  return registry.map(({ title, labelMap, note, kidneySides, patientPattern, layout, ...entry }) => {
    const preset = typeof labelMap === 'string' ? findPreset(labelMap, entry.region) : null
    const sides = kidneySides ?? preset?.kidneySides
    return {
      ...entry,
      title: title ?? entry.name,
      labelMap: preset ? preset.map : (labelMap as LabelIdMap | null),
      ...(note !== null && { note }),
      kidneySides: sides,
      ...(patientPattern !== null && { patientPattern: new RegExp(patientPattern) }),
      ...(layout !== null && { layout }),
    }
  })
}

/** The registry's entry, with what the configuration says otherwise. */
function describe(entry: ConfiguredDataset, region: Region, own: readonly Dataset[]): Dataset {
  const known = findDataset(entry.name, own) ?? phantoms(entry.name, region)
  if (known && known.region !== region)
    throw new ConfigError(
      `data.datasets: ${entry.name} is a ${known.region} data set, the run's region is ${region}`,
      {
        hint: 'choose data sets of the region (`freetumor data list`)',
      },
    )
  if (!known && entry.role === null)
    throw new ConfigError(`data.datasets: ${entry.name} is not in the registry, so its role is unknown`, {
      hint: 'give it role: labelled or host, and a labelMap unless its list names the ids of the region',
    })
  const preset = typeof entry.labelMap === 'string' ? findPreset(entry.labelMap, region) : null
  const told = preset ? preset.map : (entry.labelMap as LabelIdMap | null)
  const labelMap = told ?? known?.labelMap ?? null
  // Another map, other ids: what the registry says of sides holds for its own map only.
  const kidneySides = told ? preset?.kidneySides : known?.kidneySides
  const role = entry.role === null ? known!.role : roleOf(entry.role, labelMap, region)
  if (known) return { ...known, labelMap, role, kidneySides }
  return {
    name: entry.name,
    title: entry.name,
    region,
    role,
    labelMap,
    kidneySides,
    published: { training: 0, validation: 0 },
    licence: 'your own',
    overlaps: [],
  }
}

function roleOf(kind: 'labelled' | 'host', labelMap: Dataset['labelMap'], region: Region): DatasetRole {
  return kind === 'host' ? { kind } : { kind, organs: labelMap ? tumorOrgans(labelMap, region) : [] }
}

/** The data sets that `data.phantoms` makes; they have the same names in both regions. */
function phantoms(name: string, region: Region): Dataset | undefined {
  const roles: Readonly<Record<string, DatasetRole>> = {
    phantom_labelled: { kind: 'labelled', organs: [] },
    phantom_hosts: { kind: 'host' },
    phantom_test: { kind: 'test', organs: [] },
  }
  const role = roles[name]
  if (!role) return undefined
  return {
    name,
    title: 'made CTs',
    region,
    role,
    labelMap: null,
    published: { training: 0, validation: 0 },
    licence: 'made, no patient',
    overlaps: [],
  }
}

/** Who is held out: the fold that is asked for, or the list's own validation part, which is fold 0 of a list without folds. */
function held(cases: readonly ManifestCase[], { name, validationFold }: ConfiguredDataset): ManifestCase[] {
  if (validationFold === null) return [...cases]
  const folds = new Set(cases.flatMap(({ fold }) => (fold === null ? [] : [fold])))
  if (folds.size === 0) {
    if (validationFold === 0 && cases.some(({ split }) => split === 'validation')) return [...cases]
    throw new ConfigError(
      `data.datasets: ${name} has no fold ${validationFold}: its list has no fold numbers`,
      {
        hint: 'set validationFold to null, or make folds with `freetumor data split`',
      },
    )
  }
  if (!folds.has(validationFold))
    throw new ConfigError(
      `data.datasets: ${name} has no fold ${validationFold}, its folds are ${[...folds].sort().join(', ')}`,
      {
        hint: 'choose one of them as validationFold',
      },
    )
  return cases.map((item) =>
    item.split === 'test'
      ? item
      : { ...item, split: item.fold === validationFold ? 'validation' : 'training' },
  )
}
