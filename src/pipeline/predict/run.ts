import { join, resolve } from 'node:path'
import {
  type PredictProfile,
  type PredictSettings,
  predictSettings,
  spacingOfProfile,
} from '../../config/predict-settings.js'
import type { Preparation } from '../../config/preparation.js'
import type { RunConfig } from '../../config/schema.js'
import type { Split } from '../../curation/datasets/lists.js'
import { UsageError } from '../../errors.js'
import { makeFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import type { PredictedCase, PredictSpec } from '../ports/cases.js'
import type { CaseError } from '../ports/common.js'
import { type ScanCase, scansOf } from './cases.js'
import { inputOf, openPrediction } from './record.js'
import { type PredictWeights, predictWeights } from './weights.js'

/** Settings that are left out are those of the profile; without a profile those of METHOD 11 on the original grid. */
export interface PredictOptions extends Partial<PredictSettings>, Partial<Preparation> {
  /** One file, or the members of an ensemble: the mean of their probabilities. */
  readonly checkpoint: string | readonly string[]
  /** Folder of `.nii` or `.nii.gz` scans, one scan, or a list (decathlon `.json`, or `.txt` with a path a line). */
  readonly images: string
  /** Of a list that has several. */
  readonly split?: Split | undefined
  /** A list may name files outside its own folder; default false. */
  readonly allowOutside?: boolean | undefined
  readonly out: string
  readonly profile?: PredictProfile | undefined
  /** Patch-merging order where a file does not say it. `windowHu`, `spacingMm`, `patchVoxels` likewise. */
  readonly patchMerging?: string | undefined
  /** Label maps on the grids of the scans, under their names: a tumor outside the organ becomes background. */
  readonly organMasks?: string | undefined
  /** Ids that are the organ in them; default every id but 0. */
  readonly organIds?: readonly number[] | undefined
  /** Labels under the names of the scans: brought to the prepared grid beside the masks, as `labels/`. */
  readonly labels?: string | undefined
  /** Outputs whose probabilities are written, or all; default none. */
  readonly probabilities?: readonly number[] | 'all' | undefined
  /** Makes masks anew that are there. */
  readonly overwrite?: boolean | undefined
  readonly device?: RunConfig['runtime']['device'] | undefined
  /** Ranks that share the cases; on GPUs one each. */
  readonly processes?: number | undefined
  readonly threadsPerProcess?: number | undefined
  readonly onCase?: ((progress: PredictProgress) => void) | undefined
}

export interface PredictProgress {
  readonly done: number
  readonly total: number
  readonly case: PredictionCase | { readonly caseId: string; readonly error: CaseError }
}

export interface PredictionCase extends PredictedCase {
  readonly caseId: string
  /** Path of the mask. */
  readonly output: string
  /** It was there from an earlier start of the same prediction. */
  readonly reused: boolean
}

export interface Prediction {
  readonly directory: string
  readonly cases: readonly PredictionCase[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
}

/**
 * Writes one label map a scan, under the scan's name without `_0000`, and goes on where an earlier start of the same
 * settings was stopped. `prediction.json` says how they were made, `predictions.jsonl` has a line for each.
 * @throws UsageError, CheckpointError, DataError for what cannot be started; a case that fails is in the result
 */
export async function predictMasks(options: PredictOptions, context: StageContext): Promise<Prediction> {
  const out = resolve(options.out)
  const settings = settingsOf(options)
  if (options.labels !== undefined && settings.grid !== 'prepared')
    throw new UsageError('--labels are brought to the prepared grid', {
      hint: 'it goes with --grid prepared',
    })
  const scans = await scansOf(options.images, options.split, options)
  noteWithout(options, scans, context)
  const profile = options.profile ?? null
  const checkpoints = [options.checkpoint].flat().map((file) => resolve(file))
  const told = { ...toldOf(options), ...maybe('spacingMm', options.spacingMm ?? spacingOfProfile(profile)) }
  const weights = await predictWeights(checkpoints, options.patchMerging, told, context)
  const spec = specOf(options, settings, weights, out, scans)
  await makeFolder(out)
  await using _lock = await context.runtime.lock(out, WRITING)
  const { done, log } = await openPrediction(
    out,
    recordedSettings(spec, weights),
    scans,
    options.overwrite ?? false,
  )

  const folders = { probabilities: spec.probabilities.length > 0, labels: options.labels !== undefined }
  for (const [name, wanted] of Object.entries(folders)) if (wanted) await makeFolder(join(out, name))
  const cases = [...done.values()].map((line) => ({ ...caseOf(out, line.case, line), reused: true }))
  const failed: { caseId: string; error: CaseError }[] = []
  const tell = (one: PredictProgress['case']): void =>
    options.onCase?.({ done: cases.length + failed.length, total: scans.length, case: one })
  if (cases.length > 0) context.note(`${cases.length} of ${scans.length} masks were there already`)
  await using _ = log
  const left = spec.cases.filter(({ id }) => !done.has(id))
  const byId = new Map(scans.map((scan) => [scan.id, scan]))
  const inputs = new Map(
    await Promise.all(left.map(async ({ id }) => [id, await inputOf(byId.get(id)!)] as const)),
  )
  const { signal, logDirectory, note } = context
  const call = { signal, logDirectory, note }
  for await (const outcome of context.runtime.predict({ ...spec, cases: left }, call)) {
    if ('error' in outcome) {
      failed.push(outcome)
      tell(outcome)
      continue
    }
    const { caseId, result } = outcome
    log.write({ case: caseId, image: byId.get(caseId)!.image, input: inputs.get(caseId)!, ...result })
    // what is told is kept, whatever happens next
    await log.flush()
    cases.push(caseOf(out, caseId, result))
    tell(cases.at(-1)!)
  }
  const order = new Map(scans.map(({ id }, at) => [id, at]))
  cases.sort((a, b) => order.get(a.caseId)! - order.get(b.caseId)!)
  return { directory: out, cases, failed }
}

const SETTING_KEYS = Object.keys(predictSettings(null)) as (keyof PredictSettings)[]

function settingsOf(options: PredictOptions): PredictSettings {
  const given = SETTING_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]])
  return { ...predictSettings(options.profile ?? null), ...Object.fromEntries(given) }
}

function toldOf({ windowHu, patchVoxels }: PredictOptions): Partial<Preparation> {
  return { ...maybe('windowHu', windowHu), ...maybe('patchVoxels', patchVoxels) }
}

function maybe<K extends string, T>(key: K, value: T | null | undefined): { [key in K]?: T } {
  return value === null || value === undefined ? {} : ({ [key]: value } as { [key in K]: T })
}

function specOf(
  options: PredictOptions,
  settings: PredictSettings,
  weights: PredictWeights,
  out: string,
  scans: readonly ScanCase[],
): PredictSpec {
  const { overlap, blend, windowBatch, map, ...rest } = settings
  const { windowHu, spacingMm, patchVoxels, outputs, tumorOutputs } = weights
  return {
    job: 'predict',
    directory: out,
    members: weights.members.map(({ checkpoint, patchMerging }) => ({ checkpoint, patchMerging })),
    device: options.device ?? 'auto',
    processesPerNode: options.processes ?? 1,
    threadsPerProcess: options.threadsPerProcess ?? 1,
    windowHu,
    spacingMm,
    patchVoxels,
    windows: { overlap, blend, windowBatch },
    ...rest,
    tumorOutputs,
    organIds: options.organIds ?? [],
    maskIds: maskIds(map, outputs, tumorOutputs),
    probabilities: wantedOutputs(options.probabilities, outputs),
    cases: scans.map((scan) => ({ ...scan, name: scan.id })),
  }
}

/** For each output its id in the mask. */
export function maskIds(
  map: PredictSettings['map'],
  outputs: number,
  tumorOutputs: readonly number[],
): readonly number[] {
  const ids = [...Array(outputs).keys()]
  if (map === null) return ids
  if (map === 'leaderboard') {
    if (tumorOutputs.length === 0)
      throw new UsageError('--map leaderboard: which outputs are tumors is not known', {
        hint: 'give --map from:to,...',
      })
    return ids.map((id) => Number(tumorOutputs.includes(id)))
  }
  const strange = Object.entries(map).find(([from, to]) => !(Number(from) in ids) || to > 255)
  if (strange)
    throw new UsageError(`--map ${strange.join(':')}: the checkpoint has outputs 0 to ${outputs - 1}`, {
      hint: 'ids of a mask go to 255',
    })
  return ids.map((id) => map[String(id)] ?? id)
}

function wantedOutputs(wanted: PredictOptions['probabilities'], outputs: number): readonly number[] {
  const all = [...Array(outputs).keys()]
  if (wanted === undefined) return []
  if (wanted === 'all') return all
  const strange = wanted.find((output) => !(output in all))
  if (strange !== undefined)
    throw new UsageError(`--probabilities ${strange}: the checkpoint has outputs 0 to ${outputs - 1}`)
  return [...new Set(wanted)]
}

/** All that decides a mask but rounding: not how many windows, threads or processes go together. */
function recordedSettings(spec: PredictSpec, weights: PredictWeights): Record<string, unknown> {
  const { job, directory, members, device, processesPerNode, threadsPerProcess, windows, cases, ...rest } =
    spec
  return {
    checkpoints: weights.members.map(({ sha256, patchMerging }) => ({ sha256, patchMerging })),
    labels: weights.labelNames,
    ...rest,
    windows: { overlap: windows.overlap, blend: windows.blend },
  }
}

function caseOf(
  out: string,
  caseId: string,
  { files, seconds, windows, labelVoxels }: PredictedCase,
): PredictionCase {
  return {
    caseId,
    output: join(out, Object.keys(files)[0]!),
    files,
    seconds,
    windows,
    labelVoxels,
    reused: false,
  }
}

function noteWithout(
  { organMasks, labels }: PredictOptions,
  scans: readonly ScanCase[],
  context: StageContext,
): void {
  const tell = (without: readonly ScanCase[], what: string): void => {
    if (without.length > 0)
      context.note(
        `${without.length} of ${scans.length} scans have no ${what}, first ${without[0]!.id}`,
        'warning',
      )
  }
  if (organMasks !== undefined)
    tell(
      scans.filter(({ organMask }) => organMask === null),
      `organ mask in ${organMasks} (their tumors may lie anywhere)`,
    )
  if (labels !== undefined)
    tell(
      scans.filter(({ label }) => label === null),
      `label in ${labels}`,
    )
}
