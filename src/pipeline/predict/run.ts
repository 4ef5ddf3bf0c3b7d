import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { PredictSettings } from '../../config/predict-settings.js'
import { type LeftOut, leftOutLines } from '../../curation/datasets/file-names.js'
import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { readJsonLog } from '../../jsonl.js'
import { counted } from '../../plain-text.js'
import { makeFolder, refuseUnwritableFolder, writeWhole } from '../../whole-file.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import { compareWithFit, type OpenedOperatingPoint, readOperatingPoint } from '../operating-point.js'
import type { PredictedCase, PredictSpec } from '../ports/cases.js'
import type { CaseError } from '../ports/common.js'
import { byCase, startLog, type WholeShards, workOnShard } from '../shards.js'
import { type ScanCase, scansOf } from './cases.js'
import { glanceWeights } from './glance.js'
import {
  inputOf,
  openPrediction,
  PREDICTIONS,
  type PredictionLine,
  removeEarlier,
  sweepPrediction,
} from './record.js'
import { type PredictInputs, predictSettingsOf, statedPreparation } from './settings.js'
import { predictSpec } from './spec.js'
import { type PredictWeights, pluginWeights, predictWeights } from './weights.js'

export interface PredictOptions extends PredictInputs {
  /** Segment the scans of one shard only. */
  readonly shard?: Shard | undefined
  readonly onCase?: ((progress: PredictProgress) => void) | undefined
  /** Called every few seconds within a long case with the number of its sliding windows that are done, of all. */
  readonly onWindows?: ((caseId: string, done: number, total: number) => void) | undefined
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
  /** The mask is from an earlier start of the same prediction. */
  readonly reused: boolean
}

export interface Prediction {
  readonly directory: string
  readonly cases: readonly PredictionCase[]
  /** Files that look like scans and were not taken. */
  readonly leftOut: readonly LeftOut[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
}

/**
 * Write one label map per scan, under the scan's name without `_0000`; resume an interrupted prediction of the same
 * settings. `prediction.json` records the settings, `predictions.jsonl` has a line for each mask.
 * @throws UsageError, CheckpointError, DataError before the first case; a case that fails is in the result
 */
export async function predictMasks(options: PredictOptions, context: StageContext): Promise<Prediction> {
  const out = resolve(options.out)
  const { shard } = options
  predictSettingsOf(options, null) // refuses a contradiction before files are read
  if (shard !== undefined && options.overwrite)
    throw new UsageError('--overwrite: cannot be used with --shard', {
      hint: 'remove the earlier masks, or choose another --out',
    })
  await refuseUnwritableFolder(out)
  const { scans, leftOut, notes } = await scansOf(options.images, options.split, options)
  for (const text of notes) context.note(text)
  for (const text of leftOutLines(leftOut)) context.note(text, 'warning')
  noteWithout(options, scans, context)
  const point = options.operatingPoint === undefined ? null : await readOperatingPoint(options.operatingPoint)
  const weights = await weightsOf(options, context)
  const settings = predictSettingsOf(options, weights.windows)
  if (weights.nnunet || settings.method === 'nnunet') refuseForNnUNet(settings)
  const glance = await glanceWeights(options, settings, weights, context)
  if (settings.method === 'nnunet') refuseOtherNetworks(weights)
  const mine = shard === undefined ? scans : casesOfShard(scans, shard)
  const spec = predictSpec(options, settings, weights, out, mine, point, glance)
  const recorded = recordedSettings(spec, weights, point, glance)
  if (point !== null)
    compareWithFit(point, JSON.parse(JSON.stringify(recorded)), 'this prediction', (text) =>
      context.note(text, 'warning'),
    )
  const work = { options, out, scans: mine, spec, recorded }
  await makeFolder(out)
  if (shard === undefined) {
    await using _lock = await context.runtime.lock(out, WRITING)
    if (options.overwrite) await removeEarlier(out, scans)
    await sweepPrediction(out)
    const { cases, failed } = await segment({ ...work, record: join(out, PREDICTIONS) }, context)
    return { directory: out, cases, failed, leftOut }
  }
  const ids = scans.map(({ id }) => id)
  const cases = mine.map(({ id }) => id)
  const sharded = { command: 'predict', directory: out, shard, settings: work.recorded, ids, cases } as const
  return await workOnShard(sharded, context, async (folder) => {
    const record = join(folder, PREDICTIONS)
    await startLog<PredictionLine>(record, join(out, PREDICTIONS), cases)
    const { lines, ...made } = await segment({ ...work, record }, context)
    const part: PredictionPart = { lines, failed: made.failed, leftOut }
    return { part, result: { directory: out, ...made, leftOut } }
  })
}

/** Return the segmentors of a prediction: those of its checkpoints, or a plug-in. */
async function weightsOf(options: PredictOptions, context: StageContext): Promise<PredictWeights> {
  const { checkpoint = [], plugin } = options
  const named = [checkpoint].flat()
  if (named.length > 0 === (plugin !== undefined))
    throw new UsageError('predict: wrong segmentor (expected either --checkpoint or --plugin)', {
      hint: 'pass one of them',
    })
  if (plugin !== undefined) return await pluginWeights(plugin, statedPreparation(options), context)
  const checkpoints = await Promise.all(named.map(checkpointFile))
  return await predictWeights(checkpoints, options, statedPreparation(options), context)
}

/** Results of a shard for the merge. */
interface PredictionPart extends Pick<Prediction, 'failed' | 'leftOut'> {
  readonly lines: readonly PredictionLine[]
}

/** Write the record of all shards, with the lines of other scans that it has already. */
export async function mergePrediction(
  out: string,
  shards: WholeShards<unknown, PredictionPart>,
): Promise<Prediction> {
  await sweepPrediction(out)
  const parts = shards.records.map(({ part }) => part)
  const lines = byCase(
    shards,
    parts.flatMap((part) => part.lines),
    (line) => line.case,
  )
  const path = join(out, PREDICTIONS)
  const others: PredictionLine[] = []
  if (existsSync(path))
    for await (const line of readJsonLog<PredictionLine>(path))
      if (!shards.position.has(line.case)) others.push(line)
  await writeWhole(path, [...others, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(''))
  return {
    directory: out,
    cases: lines.map((line) => caseOf(out, line.case, line)),
    failed: byCase(
      shards,
      parts.flatMap((part) => part.failed),
      ({ caseId }) => caseId,
    ),
    leftOut: parts[0]!.leftOut,
  }
}

interface Segmenting {
  readonly options: PredictOptions
  readonly out: string
  readonly scans: readonly ScanCase[]
  readonly spec: PredictSpec
  readonly recorded: Readonly<Record<string, unknown>>
  /** Path of `predictions.jsonl`. */
  readonly record: string
}

/** Segment the scans that the record lacks. */
async function segment(
  { options, out, scans, spec, recorded, record }: Segmenting,
  context: StageContext,
): Promise<Pick<Prediction, 'cases' | 'failed'> & Pick<PredictionPart, 'lines'>> {
  const { done, log } = await openPrediction(out, recorded, scans, record)
  await using _ = log
  const folders = { probabilities: spec.probabilities.length > 0, labels: options.labels !== undefined }
  for (const [name, wanted] of Object.entries(folders)) if (wanted) await makeFolder(join(out, name))
  const lines = [...done.values()]
  const cases = lines.map((line) => ({ ...caseOf(out, line.case, line), reused: true }))
  const failed: { caseId: string; error: CaseError }[] = []
  const report = (one: PredictProgress['case']): void =>
    options.onCase?.({ done: cases.length + failed.length, total: scans.length, case: one })
  if (cases.length > 0) context.note(`${cases.length} of ${counted(scans.length, 'mask')} already written`)
  const left = spec.cases.filter(({ id }) => !done.has(id))
  const byId = new Map(scans.map((scan) => [scan.id, scan]))
  const inputs = new Map(
    await Promise.all(left.map(async ({ id }) => [id, await inputOf(byId.get(id)!)] as const)),
  )
  const { signal, logDirectory, note } = context
  const call = { signal, logDirectory, note, windows: options.onWindows }
  for await (const outcome of context.runtime.predict({ ...spec, cases: left }, call)) {
    if ('error' in outcome) {
      failed.push(outcome)
      report(outcome)
      continue
    }
    const { caseId, result } = outcome
    const line = { case: caseId, image: byId.get(caseId)!.image, input: inputs.get(caseId)!, ...result }
    log.write(line)
    // write the record before the report, so that every reported mask is kept
    await log.flush()
    lines.push(line)
    cases.push(caseOf(out, caseId, result))
    report(cases.at(-1)!)
  }
  const order = new Map(scans.map(({ id }, at) => [id, at]))
  cases.sort((a, b) => order.get(a.caseId)! - order.get(b.caseId)!)
  return { cases, failed, lines }
}

/** @throws UsageError for settings that an nnU-Net does not have */
function refuseForNnUNet({ grid, blend, windows }: PredictSettings): void {
  if (grid === 'prepared')
    throw new UsageError('--grid prepared: not possible with an nnU-Net model, which has a grid of its own', {
      hint: 'omit --grid, --labels and --profile',
    })
  if (blend === 'constant')
    throw new UsageError('--blend constant: not possible with an nnU-Net model (expected gaussian)', {
      hint: 'omit --blend and --profile',
    })
  if (windows !== 'all')
    throw new UsageError(`--windows ${windows}: not possible with an nnU-Net model (expected all)`, {
      hint: 'omit --windows',
    })
}

/** @throws UsageError for networks that nnunetv2 does not have, and for ensembles */
function refuseOtherNetworks({ members, kind, plugin }: PredictWeights): void {
  if (kind === 'resenc' || kind === 'unet') {
    if (members.length === 1) return
    throw new UsageError(
      `--profile nnunet: wrong number of checkpoints (expected 1, found ${members.length})`,
      {
        hint: 'predict with each by itself',
      },
    )
  }
  const found = plugin === null ? (kind ?? 'another network') : 'a plug-in'
  throw new UsageError(`--profile nnunet: wrong kind of network (expected resenc or unet, found ${found})`, {
    hint: 'omit --profile',
  })
}

/** Return the settings that decide a mask, except for rounding: without the numbers of windows, threads and processes. */
function recordedSettings(
  spec: PredictSpec,
  weights: PredictWeights,
  point: OpenedOperatingPoint | null,
  glance: PredictWeights | null,
): Record<string, unknown> {
  const { job, directory, members, plugin, device, processesPerNode, threadsPerProcess, windows, ...others } =
    spec
  const { cases, method, operatingPoint, glance: glanceSpec, ...settings } = others
  return {
    // absent by default, so that folders of earlier versions can be resumed
    ...(weights.plugin === null ? {} : { plugin: weights.plugin }),
    checkpoints: weights.members.map(({ sha256, patchMerging }) => ({ sha256, patchMerging })),
    labels: weights.labelNames,
    ...settings,
    // absent by default, so that predictions of earlier versions can be resumed
    ...(method === 'nnunet' ? { method } : {}),
    ...(settings.windowChoice === 'all' ? {} : { glance: recordedGlance(glanceSpec, glance) }),
    ...(point === null ? {} : { operatingPoint: { sha256: point.sha256, ...operatingPoint } }),
    windows: { overlap: windows.overlap, blend: windows.blend },
  }
}

/** Return the settings of a glance; files have another path on another machine. */
function recordedGlance(spec: PredictSpec['glance'], weights: PredictWeights | null): unknown {
  if (spec === null || weights === null) return 'members'
  const { member, ...preparation } = spec
  return { sha256: weights.members[0]!.sha256, patchMerging: member.patchMerging, ...preparation }
}

function caseOf(
  out: string,
  caseId: string,
  { files, seconds, windows, labelVoxels, lesions }: PredictedCase,
): PredictionCase {
  return {
    caseId,
    output: join(out, Object.keys(files)[0]!),
    files,
    seconds,
    windows,
    labelVoxels,
    ...(lesions === undefined ? {} : { lesions }),
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
        `${without.length} of ${counted(scans.length, 'scan')} without ${what}, first ${without[0]!.id}`,
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
