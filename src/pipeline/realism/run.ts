import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { type ManifestCase, readManifest } from '../../curation/datasets/manifest.js'
import { DataError, UsageError } from '../../errors.js'
import { MIN_PATIENTS } from '../../evaluation/bootstrap.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { counted, csvField } from '../../plain-text.js'
import { renderRealism } from '../../report/realism-page.js'
import { usableProcessors } from '../../usable-processors.js'
import { makeFolder, makeWritableFolder, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { casesAt, noteNotTaken, type SourceOptions } from '../data/collect.js'
import { WRITING } from '../locks.js'
import type { CaseError } from '../ports/common.js'
import type {
  ComparedTumors,
  CompareTumorsSpec,
  FoundCopies,
  MeasuredTumors,
  RealismSpec,
} from '../ports/realism.js'
import { encoderOf, statedEncoder } from './encoder.js'
import { exceededLimits } from './limits.js'
import type { RealismMeasure, RealismResult } from './result.js'
import {
  ENCODER_MEASURE,
  MEASURE_NAMES,
  MEASURE_UNITS,
  REALISM_DEFAULTS,
  type RealismOptions,
  SPACINGS_MM,
  TUMOR_SIZE_CLASSES,
} from './settings.js'
import { type CaseToMeasure, measuredCase } from './spec.js'

/** The result, and where it was written. */
export interface Realism extends RealismResult {
  readonly out: string
}

/** Measured cases of both sides, as the comparison takes them. */
interface Measured {
  readonly files: CompareTumorsSpec['files']
  readonly organs: readonly string[]
  readonly failed: RealismResult['failed']
}

const COPIES = { id: 'copies', kind: 'copies', organ: 'all', size: 'all' } as const

/**
 * Compare the tumors of a synthetic data set with real ones, and search for copies. A stopped call resumes: measured cases
 * are kept.
 * @throws UsageError for a grid that does not resolve the rim of a tumor; DataError for a side without a labelled case, or label ids without a meaning; CheckpointError for a checkpoint
 *   without a complete segmentor
 */
export async function compareRealism(options: RealismOptions, context: StageContext): Promise<Realism> {
  const { cwd = process.cwd(), limits = [] } = options
  const out = resolve(cwd, options.out)
  refuseSpacing(options)
  const cases = [...(await syntheticCases(options)), ...(await realCases(options))]
  const encoder = await encoderOf(options, context)
  await makeWritableFolder(out)
  await using _lock = await context.runtime.lock(out, WRITING)
  const work = join(out, 'work')
  await makeFolder(work)
  const measured = await measure(cases, { directory: work, encoder }, options, context)
  const compared = await compare(measured, encoder !== null, options, context)
  const copies = copiesOf(compared.found)
  const { spacingMm, minTumors, permutations, resamples, seed } = { ...REALISM_DEFAULTS, ...given(options) }
  const result: RealismResult = {
    version: 1,
    settings: { spacingMm, minTumors, permutations, resamples, seed, encoder: statedEncoder(encoder) },
    sizes: TUMOR_SIZE_CLASSES,
    measures: compared.measures,
    features: compared.features,
    ...compared.found,
    copies,
    limits,
    exceeded: exceededLimits(limits, compared.measures, copies),
    failed: measured.failed,
    notes: notesOf(compared.found, measured),
  }
  await writeWhole(join(out, 'realism.json'), `${JSON.stringify(result, null, 1)}\n`)
  await writeWhole(join(out, 'nearest.csv'), nearestTable(result))
  const made = `${basename(resolve(cwd, options.synthetic))} against ${basename(resolve(cwd, options.real))}`
  await writeWhole(join(out, 'report.html'), renderRealism({ ...result, made }))
  // the measures hold patches of scans of patients
  await rm(work, { recursive: true, force: true })
  return { ...result, out }
}

function refuseSpacing({ spacingMm = REALISM_DEFAULTS.spacingMm }: RealismOptions): void {
  const [finest, coarsest] = SPACINGS_MM
  if (!(spacingMm >= finest && spacingMm <= coarsest))
    throw new UsageError(`--spacing: wrong grid (expected ${finest} to ${coarsest} mm, found ${spacingMm})`, {
      hint: 'omit --spacing for 1 mm',
    })
}

/** Return the options that are not undefined. */
function given(options: RealismOptions): Partial<Record<keyof typeof REALISM_DEFAULTS, number>> {
  return Object.fromEntries(
    Object.keys(REALISM_DEFAULTS).flatMap((key) => {
      const value = options[key as keyof typeof REALISM_DEFAULTS]
      return value === undefined ? [] : [[key, value]]
    }),
  )
}

interface SideCase {
  readonly synthetic: boolean
  readonly item: ManifestCase
  readonly spec: CaseToMeasure
}

/** Return the labelled cases of the synthetic data set, with their hosts. */
async function syntheticCases(options: RealismOptions): Promise<SideCase[]> {
  const { cwd = process.cwd(), synthetic } = options
  const folder = resolve(cwd, synthetic)
  const manifest = join(folder, 'manifest.json')
  const items = existsSync(manifest)
    ? (await readManifest(manifest)).cases.map((item) => movedTo(folder, item))
    : await labelledAt(synthetic, options)
  const hosts = await hostScans(folder)
  const labelled = items.filter(({ label }) => label !== null)
  if (labelled.length === 0)
    throw new DataError(`${synthetic}: no synthetic case with a label`, {
      hint: 'name the folder that `freetumor synthesize` wrote',
    })
  return labelled.map((item) => ({
    synthetic: true,
    item,
    spec: measuredCase(`synthetic:${item.id}`, item, hosts),
  }))
}

/**
 * Return a case of a data set with the files of its folder, which may have been moved or copied since it was written: the
 * paths of the manifest may be those of the original.
 */
function movedTo(folder: string, item: ManifestCase): ManifestCase {
  const isSynthesis = existsSync(join(folder, 'synthesis.json'))
  const there = (part: string, path: string): string => {
    const own = join(folder, part, basename(path))
    return isSynthesis || existsSync(own) ? own : path
  }
  const label = item.label === null ? null : there('labelsTr', item.label)
  return { ...item, image: there('imagesTr', item.image), label }
}

/** Return the scan of each host by its id, of `hosts.json`; empty without it. */
async function hostScans(folder: string): Promise<ReadonlyMap<string, string>> {
  const path = join(folder, 'hosts.json')
  if (!existsSync(path)) return new Map()
  const hosts = await readForeignJson(path)
  return new Map(
    (Array.isArray(hosts) ? hosts : []).flatMap((host) => {
      const { case: id, image } = asRecord(host) ?? {}
      return typeof id === 'string' && typeof image === 'string'
        ? [[id, resolve(folder, image)] as const]
        : []
    }),
  )
}

async function realCases(options: RealismOptions): Promise<SideCase[]> {
  const labelled = (await labelledAt(options.real, options)).filter(({ role }) => role.kind === 'labelled')
  if (labelled.length === 0)
    throw new DataError(`${options.real}: no real case with tumor labels`, {
      hint: 'name a data set with tumor labels; `freetumor data check` lists its cases',
    })
  return labelled.map((item) => ({
    synthetic: false,
    item,
    spec: measuredCase(`real:${item.id}`, item, new Map()),
  }))
}

async function labelledAt(path: string, options: SourceOptions): Promise<readonly ManifestCase[]> {
  const { root, as, region, map, allowOutside, cwd, onNote } = options
  const found = await casesAt([path], { root, as, region, map, allowOutside, cwd, onNote, unknown: 'refuse' })
  noteNotTaken(found, onNote)
  const cases = found.cases.filter(({ label }) => label !== null)
  const unmapped = cases.find(({ labelMap }) => labelMap === null)
  if (unmapped !== undefined)
    throw new DataError(`${path}: its label ids have no meaning (case ${unmapped.id})`, {
      hint: 'pass --map, for example `--map region`',
    })
  return cases
}

async function measure(
  cases: readonly SideCase[],
  place: Pick<RealismSpec, 'directory' | 'encoder'>,
  options: RealismOptions,
  context: StageContext,
): Promise<Measured> {
  const { spacingMm = REALISM_DEFAULTS.spacingMm, onCase } = options
  const spec: RealismSpec = {
    job: 'realism',
    workers: workersOf(options),
    ...place,
    spacingMm,
    cases: cases.map((one) => one.spec),
  }
  const byId = new Map(cases.map((one) => [one.spec.id, one]))
  const files = new Map<string, MeasuredTumors>()
  const failed: { caseId: string; error: CaseError }[] = []
  const { signal, logDirectory } = context
  let done = 0
  for await (const outcome of context.runtime.measureTumors(spec, { signal, logDirectory })) {
    done++
    if ('error' in outcome) failed.push(outcome)
    else files.set(outcome.caseId, outcome.result)
    onCase?.(done, cases.length, outcome.caseId)
  }
  const measured = [...byId].flatMap(([id, { synthetic, item }]) => {
    const found = files.get(id)
    if (found === undefined) return []
    const { patient, parent = null } = item
    return [{ caseId: item.id, patient, parent, synthetic, file: found.file, tumors: found.tumors }]
  })
  return {
    files: measured.map(({ tumors: _, ...file }) => file),
    organs: [...new Set(measured.flatMap(({ tumors }) => tumors.map(({ organ }) => organ)))].sort(),
    failed: failed.sort((a, b) => (a.caseId < b.caseId ? -1 : 1)),
  }
}

function workersOf({ workers }: RealismOptions): number {
  return workers ?? Math.min(2, usableProcessors().processors)
}

interface Compared {
  readonly measures: readonly RealismMeasure[]
  readonly features: RealismResult['features']
  readonly found: FoundCopies
}

async function compare(
  { files, organs }: Measured,
  encoder: boolean,
  options: RealismOptions,
  context: StageContext,
): Promise<Compared> {
  const { minTumors, permutations, resamples, seed } = { ...REALISM_DEFAULTS, ...given(options) }
  const names = MEASURE_NAMES.filter((name) => encoder || name !== ENCODER_MEASURE)
  const groups = ['all', ...organs].flatMap((organ) =>
    ['all', ...TUMOR_SIZE_CLASSES.map(({ name }) => name)].map((size) => ({
      id: `${organ}/${size}`,
      kind: 'group' as const,
      organ,
      size,
    })),
  )
  const spec: CompareTumorsSpec = {
    job: 'compare-tumors',
    workers: workersOf(options),
    seed,
    permutations,
    resamples,
    minTumors,
    minPatients: MIN_PATIENTS,
    encoder,
    sizes: TUMOR_SIZE_CLASSES,
    files,
    // the longest one first
    cases: [COPIES, ...groups],
  }
  const results = new Map<string, ComparedTumors | FoundCopies>()
  const { signal, logDirectory } = context
  for await (const outcome of context.runtime.compareTumors(spec, { signal, logDirectory })) {
    if ('error' in outcome)
      throw new DataError(`comparison of ${outcome.caseId}: ${outcome.error.message}`, {
        hint: outcome.error.hint,
      })
    results.set(outcome.caseId, outcome.result)
  }
  const of = ({ id }: { readonly id: string }) => results.get(id) as ComparedTumors
  return {
    found: results.get(COPIES.id) as FoundCopies,
    measures: groups.flatMap((group) => measuresOf(group, of(group), names, minTumors)),
    features: groups.flatMap((group) =>
      group.size === 'all' ? of(group).features.map((row) => ({ organ: group.organ, ...row })) : [],
    ),
  }
}

function measuresOf(
  { organ, size }: { readonly organ: string; readonly size: string },
  { n, measures }: ComparedTumors,
  names: readonly string[],
  minTumors: number,
): RealismMeasure[] {
  const place = (name: string) => ({ organ, size, unit: MEASURE_UNITS[name]!, n })
  if (measures === null) {
    const tumors = `${n.synthetic} synthetic and ${n.real} real tumors`
    const patients = `${n.syntheticPatients} and ${n.realPatients} patients`
    const notMeasured = `not measured: ${tumors} of ${patients} (at least ${minTumors} and ${MIN_PATIENTS} each)`
    return names.map((name) => ({
      name,
      value: null,
      ci: null,
      p: null,
      null: null,
      ...place(name),
      notMeasured,
    }))
  }
  return measures.map((figure) => ({
    ...figure,
    ...place(figure.name),
    notMeasured: figure.value === null ? 'not measured: a side has no voxel or no pair of a fold' : null,
  }))
}

/** Return the number of synthetic tumors that count as copies; null if no size has a threshold. */
function copiesOf({ thresholds, nearest }: FoundCopies): number | null {
  if (thresholds.every(({ threshold }) => threshold === null)) return null
  return nearest.filter(({ real }) => real?.copy === true).length
}

function notesOf({ thresholds, nearest }: FoundCopies, { failed }: Measured): string[] {
  const blank = nearest.filter(({ real }) => real === null).length
  const uncalibrated = thresholds.every(({ threshold }) => threshold === null)
  return [
    'The host of a synthetic tumor is the scan of a real patient. A synthetic tumor does not anonymise a scan.',
    ...(uncalibrated ? ['Copies are not judged: too few real tumors for a threshold.'] : []),
    ...(blank > 0
      ? [`${counted(blank, 'synthetic tumor')} below 4 mm or without texture: not compared with real tumors.`]
      : []),
    ...(failed.length > 0 ? [`${counted(failed.length, 'case')} could not be measured.`] : []),
  ]
}

function nearestTable({ nearest }: RealismResult): string {
  const head =
    'case,tumor,organ,size,diameter_mm,real_case,real_tumor,similarity,lead,copy,host_case,host_similarity,own_host'
  const lines = nearest.map((one) =>
    [
      ...[one.case, one.tumor, one.organ, one.size, one.diameterMm.toFixed(2)],
      ...[
        one.real?.case,
        one.real?.tumor,
        one.real?.similarity.toFixed(4),
        one.real?.lead.toFixed(4),
        one.real?.copy,
      ],
      ...[one.host?.case, one.host?.similarity.toFixed(4), one.host?.own],
    ]
      .map((cell) => csvField(typeof cell === 'number' ? cell : String(cell ?? '')))
      .join(','),
  )
  return `${[head, ...lines].join('\n')}\n`
}
