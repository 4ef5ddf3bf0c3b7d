import { dirname, resolve } from 'node:path'
import type { RunConfig } from '../../config/schema.js'
import { ConfigError, DataError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { casesOf, type MissingFiles, missingFileOf } from './cases.js'
import { readCases } from './lists.js'
import { type Manifest, type ManifestCase, makeManifest, readManifest } from './manifest.js'
import { boundsOf, outsideError } from './outside.js'
import { findPreset } from './presets.js'
import { refuseForeignIds } from './region-ids.js'
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
  refuseForeignIds(data, region)
  const own = ownDatasets(data)
  const repeats = new Map<string, number>()
  const cases: ManifestCase[] = []
  const missing: MissingFiles[] = []
  const listed = data.manifest === null ? null : await readManifest(resolve(data.manifest))
  if (listed !== null && !data.allowOutside) await refuseOutside(listed, data)
  for (const entry of data.datasets) {
    if (repeats.has(entry.name))
      throw new ConfigError(`data.datasets: ${entry.name} is listed twice`, {
        hint: 'repeat says how often its cases count',
      })
    repeats.set(entry.name, entry.repeat)
    if (listed !== null) {
      const found = await manifestCases(entry, region, own, listed)
      cases.push(...held(found.cases, entry))
      missing.push(...found.missing)
      continue
    }
    const dataset = describe(entry, region, own)
    const path = resolve(data.root, entry.path ?? entry.name)
    const searchIn = [resolve(data.root), resolve(data.root, entry.name)]
    const list = await readCases(path, {
      searchIn,
      layout: dataset.layout,
      allowOutside: data.allowOutside,
    })
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

/**
 * A manifest names absolute paths, and the one of a run may be a stranger's: its files lie under the data root or beside it.
 */
async function refuseOutside({ cases }: Manifest, data: RunConfig['data']): Promise<void> {
  const file = resolve(data.manifest!)
  const isAllowed = await boundsOf([resolve(data.root), dirname(file)])
  for (const { id, image, label } of cases)
    for (const [key, path] of Object.entries({ image, label }))
      if (path !== null && !isAllowed(resolve(path)))
        throw outsideError(`${file}: ${id}.${key}`, path, resolve(data.root))
}

/** The cases of one data set as a manifest has them; the configuration may say another role or map. */
async function manifestCases(
  entry: ConfiguredDataset,
  region: Region,
  own: readonly Dataset[],
  listed: Manifest,
): Promise<{ cases: ManifestCase[]; missing: MissingFiles[] }> {
  const mine = listed.cases.filter(({ dataset }) => dataset === entry.name)
  const odd = mine.find((item) => item.region !== region)
  if (mine.length === 0 || odd)
    throw new ConfigError(
      odd
        ? `data.datasets: ${entry.name} is a ${odd.region} data set in data.manifest, the run's region is ${region}`
        : `data.datasets: ${entry.name} has no case in data.manifest`,
      { hint: `it holds ${[...new Set(listed.cases.map(({ dataset }) => dataset))].join(', ')}` },
    )
  const told = entry.role === null && entry.labelMap === null ? null : describe(entry, region, own)
  const lost = await Promise.all(mine.map((item) => missingFileOf(item)))
  const example = lost.find((file) => file !== null)
  const count = lost.filter((file) => file !== null).length
  const cases = mine.filter((_, at) => lost[at] === null).map((item) => retold(item, told))
  const unmapped = cases.find(({ labelMap }) => labelMap === null)
  if (unmapped) throw unexplained('data.manifest', { name: entry.name, region })
  if (cases.length === 0)
    throw new DataError(`data.manifest: no file of ${entry.name} exists, first ${example}`, {
      hint: 'make the manifest again where the files lie now',
    })
  return { cases, missing: count === 0 ? [] : [{ dataset: entry.name, count, example: example! }] }
}

function retold(item: ManifestCase, told: Dataset | null): ManifestCase {
  if (told === null) return item
  const role = told.role.kind === 'host' ? told.role : { kind: 'labelled' as const, organs: told.role.organs }
  return { ...item, role, labelMap: told.labelMap ?? item.labelMap }
}

function unexplained(source: string, { name, region }: Pick<Dataset, 'name' | 'region'>): DataError {
  const ids = LABEL_SCHEMES[region].names.map((meaning, id) => `${id} ${meaning}`)
  return new DataError(`${source}: nobody says what the label ids of ${name} mean`, {
    hint: `give it a labelMap, a preset's name or its ids to those of the ${region}: ${ids.join(', ')}`,
  })
}

/** The data sets of one's own that a configuration describes, in the registry's form. @throws UsageError */
export function ownDatasets({ registry }: Pick<RunConfig['data'], 'registry'>): Dataset[] {
  return registry.map(
    ({ title, labelMap, note, kidneySides, patientPattern, layout, overlaps, ...entry }) => {
      const preset = typeof labelMap === 'string' ? findPreset(labelMap, entry.region) : null
      const sides = kidneySides ?? preset?.kidneySides
      return {
        ...entry,
        title: title ?? entry.name,
        labelMap: preset ? preset.map : (labelMap as LabelIdMap | null),
        ...(note !== null && { note }),
        kidneySides: sides,
        overlaps: overlaps.map(({ cases, ...one }) => ({
          ...one,
          ...(cases && { cases: new RegExp(cases) }),
        })),
        ...(patientPattern !== null && { patientPattern: new RegExp(patientPattern) }),
        ...(layout !== null && { layout }),
      }
    },
  )
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
  const role = Object.hasOwn(roles, name) ? roles[name] : undefined
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
