import { dirname, resolve } from 'node:path'
import type { RunConfig } from '../../config/schema.js'
import { ConfigError, DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { allowedIds, type Region } from '../../volume/labels.js'
import { casesOf, type MissingFiles, missingFilesOf } from './cases.js'
import { type LeftOut, leftOutLines } from './file-names.js'
import { type Manifest, type ManifestCase, makeManifest, readManifest } from './manifest.js'
import { boundsOf, outsideError } from './outside.js'
import { findPreset } from './presets.js'
import { refuseForeignIds, refuseForeignTargets, statedIds } from './region-ids.js'
import { type Dataset, type DatasetRole, findDataset, type LabelIdMap, tumorOrgans } from './registry.js'
import { readDataset } from './sources.js'

/** A case of a run with its number of visits per epoch. */
export interface CuratedCase extends ManifestCase {
  readonly labelMap: LabelIdMap
  readonly repeat: number
}

export interface Curation {
  readonly cases: readonly CuratedCase[]
  readonly missing: readonly MissingFiles[]
  /** Files that look like scans and are not taken. */
  readonly leftOut: readonly LeftOut[]
  /** Sentences about masks that overlap, and ids that count as background. */
  readonly notes: readonly string[]
}

/** Return one line for each group of files that are missing or not taken. */
export function curationWarnings({ missing, leftOut }: Pick<Curation, 'missing' | 'leftOut'>): string[] {
  return [
    ...missing.map(
      ({ dataset, count, example }) =>
        `${dataset}: ${counted(count, 'listed file', ['does', 'do'])} not exist, first ${example}`,
    ),
    ...leftOutLines(leftOut),
  ]
}

/** Licence of a data set of the user that states none. */
const OWN_LICENCE = 'your own'

type ConfiguredDataset = RunConfig['data']['datasets'][number]

/**
 * Return the cases of a configuration in one stable order.
 * @param labelFolder of label maps that are merged from masks; see `casesOf`
 * @throws ConfigError for an undescribed data set; DataError for invalid lists and files
 */
export async function curate(
  data: RunConfig['data'],
  region: Region,
  labelFolder?: string | null,
): Promise<Curation> {
  refuseForeignIds(data, region)
  const own = ownDatasets(data)
  const repeats = new Map<string, number>()
  const parts: ManifestCase[][] = []
  const missing: MissingFiles[] = []
  const leftOut: LeftOut[] = []
  const notes: string[] = []
  const listed = data.manifest === null ? null : await readManifest(resolve(data.manifest))
  if (listed !== null && !data.allowOutside) await refuseOutside(listed, data)
  for (const entry of data.datasets) {
    if (repeats.has(entry.name))
      throw new ConfigError(`data.datasets: ${entry.name} is listed twice`, {
        hint: 'list it once, and set its repeat',
      })
    repeats.set(entry.name, entry.repeat)
    if (listed !== null) {
      const found = await manifestCases(entry, region, own, listed)
      parts.push(held(found.cases, entry))
      missing.push(...found.missing)
      continue
    }
    const dataset = describe(entry, region, own)
    const path = resolve(data.root, entry.path ?? entry.name)
    const searchIn = [resolve(data.root), resolve(data.root, entry.name)]
    const list = await readDataset(path, {
      searchIn,
      layout: dataset.layout,
      allowOutside: data.allowOutside,
    })
    const found = await casesOf(list, dataset, labelFolder)
    const [refused] = found.refused
    if (refused) throw refused.error
    leftOut.push(...list.leftOut)
    notes.push(...found.notes)
    if (found.cases.length === 0)
      throw new DataError(
        `${list.source}: no file found (expected ${counted(list.cases.length, 'case')}, first ${found.missing[0]?.example ?? 'none'})`,
        { hint: 'correct data.root: paths are relative to it, to the data set or to the list' },
      )
    if (found.cases[0]!.labelMap === null) throw unexplained(list.source, dataset, list.unclearNames)
    parts.push(held(found.cases, entry))
    missing.push(...found.missing)
  }
  const manifest = makeManifest(parts.flat())
  const curated = manifest.cases.map((item) => ({
    ...item,
    labelMap: item.labelMap!,
    repeat: repeats.get(item.dataset)!,
  }))
  return { cases: curated, missing, leftOut, notes }
}

/**
 * Refuse files outside the data root and the folder of the manifest: a manifest has absolute paths, and may
 * come from a stranger.
 */
async function refuseOutside({ cases }: Manifest, data: RunConfig['data']): Promise<void> {
  const file = resolve(data.manifest!)
  const isAllowed = await boundsOf([resolve(data.root), dirname(file)])
  for (const { id, image, label } of cases)
    for (const [key, path] of Object.entries({ image, label }))
      if (path !== null && !isAllowed(resolve(path)))
        throw outsideError(`${file}: ${id}.${key}`, path, resolve(data.root))
}

/** Return the cases of one data set in a manifest; the configuration may override role and map. */
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
        ? `data.datasets: ${entry.name}: wrong region in data.manifest (expected ${region}, found ${odd.region})`
        : `data.datasets: ${entry.name} has no case in data.manifest`,
      {
        hint: `list one of its data sets: ${[...new Set(listed.cases.map(({ dataset }) => dataset))].join(', ')}`,
      },
    )
  const told = entry.role === null && entry.labelMap === null ? null : describe(entry, region, own)
  const lost = await missingFilesOf(mine)
  const example = lost.find((file) => file !== null)
  const count = lost.filter((file) => file !== null).length
  const cases = mine.filter((_, at) => lost[at] === null).map((item) => retold(item, told))
  for (const { id, labelMap } of cases) refuseForeignTargets(`data.manifest: ${id}`, labelMap ?? {}, region)
  const unmapped = cases.find(({ labelMap }) => labelMap === null)
  if (unmapped) throw unexplained('data.manifest', { name: entry.name, region })
  if (cases.length === 0)
    throw new DataError(`data.manifest: no file of ${entry.name} found (first ${example})`, {
      hint: 'run `freetumor data import` again for the new location of the files',
    })
  return { cases, missing: count === 0 ? [] : [{ dataset: entry.name, count, example: example! }] }
}

function retold(item: ManifestCase, told: Dataset | null): ManifestCase {
  if (told === null) return item
  const role = told.role.kind === 'host' ? told.role : { kind: 'labelled' as const, organs: told.role.organs }
  return { ...item, role, labelMap: told.labelMap ?? item.labelMap }
}

function unexplained(
  source: string,
  { name, region }: Pick<Dataset, 'name' | 'region'>,
  unclear?: string,
): DataError {
  const why = unclear === undefined ? 'undocumented' : `unclear: ${unclear}`
  return new DataError(`${source}: the label ids of ${name} are ${why}`, {
    hint: `set labelMap to a preset, or map its ids to ${allowedIds(region)}`,
  })
}

/**
 * Return the user's own data sets of a configuration, in the form of the registry.
 * @throws UsageError for an unknown preset
 */
export function ownDatasets({ registry }: Pick<RunConfig['data'], 'registry'>): Dataset[] {
  return registry.map(
    ({ title, labelMap, note, kidneySides, patientPattern, layout, overlaps, ...entry }) => {
      const preset = typeof labelMap === 'string' ? findPreset(labelMap, entry.region) : null
      const sides = kidneySides ?? preset?.kidneySides
      return {
        ...entry,
        title: title ?? entry.name,
        labelMap: preset ? preset.map : statedIds(labelMap),
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

/** Return the data sets of a configuration that take part, with their roles and licences. */
export function describedDatasets(
  data: Pick<RunConfig['data'], 'registry' | 'datasets'>,
): readonly (Pick<Dataset, 'name' | 'licence'> & { readonly role: DatasetRole['kind'] })[] {
  const own = ownDatasets(data)
  return data.datasets.map(({ name, licence, role }) => {
    const known = findDataset(name, own) ?? phantoms(name, 'abdomen')
    return {
      name,
      licence: licence ?? known?.licence ?? OWN_LICENCE,
      role: role ?? known?.role.kind ?? 'host',
    }
  })
}

/** Return the entry of the registry, overridden by the configuration. */
function describe(entry: ConfiguredDataset, region: Region, own: readonly Dataset[]): Dataset {
  const known = findDataset(entry.name, own) ?? phantoms(entry.name, region)
  if (known && known.region !== region)
    throw new ConfigError(
      `data.datasets: ${entry.name}: wrong region (expected ${region}, found ${known.region})`,
      {
        hint: 'choose a data set of the region: `freetumor data list`',
      },
    )
  if (!known && entry.role === null)
    throw new ConfigError(
      `data.datasets: ${entry.name}: unknown role (expected labelled or host, found none)`,
      {
        hint: 'set role, and labelMap if its list does not name the ids',
      },
    )
  const preset = typeof entry.labelMap === 'string' ? findPreset(entry.labelMap, region) : null
  const told = preset ? preset.map : statedIds(entry.labelMap)
  const labelMap = told ?? known?.labelMap ?? null
  // the kidney sides of the registry apply only to its own map
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
    licence: OWN_LICENCE,
    overlaps: [],
  }
}

function roleOf(kind: 'labelled' | 'host', labelMap: Dataset['labelMap'], region: Region): DatasetRole {
  return kind === 'host' ? { kind } : { kind, organs: labelMap ? tumorOrgans(labelMap, region) : [] }
}

/** Return a data set of `data.phantoms`; the names are equal in both regions. */
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
    title: 'phantoms',
    region,
    role,
    labelMap: null,
    published: { training: 0, validation: 0 },
    licence: 'phantoms, no patient',
    overlaps: [],
  }
}

/**
 * Mark the held-out cases: those of the requested fold, or the validation part of the list, which is fold 0
 * of a list without folds.
 */
function held(cases: readonly ManifestCase[], { name, validationFold }: ConfiguredDataset): ManifestCase[] {
  if (validationFold === null) return [...cases]
  const folds = new Set(cases.flatMap(({ fold }) => (fold === null ? [] : [fold])))
  if (folds.size === 0) {
    if (validationFold === 0 && cases.some(({ split }) => split === 'validation')) return [...cases]
    throw new ConfigError(
      `data.datasets: ${name}: no fold ${validationFold} (found no fold numbers in its list)`,
      {
        hint: 'set validationFold to null, or assign folds: `freetumor data split`',
      },
    )
  }
  if (!folds.has(validationFold))
    throw new ConfigError(
      `data.datasets: ${name}: no fold ${validationFold} (found ${[...folds].sort().join(', ')})`,
      {
        hint: 'set validationFold to one of them',
      },
    )
  return cases.map((item) =>
    item.split === 'test'
      ? item
      : { ...item, split: item.fold === validationFold ? 'validation' : 'training' },
  )
}
