/// <reference types="node" preserve="true" />
/**
 * freetumor as a library. Errors are subclasses of `FreetumorError`. Every long call accepts an `AbortSignal`.
 */
import { rm } from 'node:fs/promises'
import { resolveConfig } from './config/resolve.js'
import type { ConfigInput, RunConfig } from './config/schema.js'
import { UsageError } from './errors.js'
import type { StageContext } from './pipeline/context.js'
import { type Evaluation, evaluateMasks } from './pipeline/evaluate/run.js'
import type { EvaluateOptions } from './pipeline/evaluate/settings.js'
import { type DemoOptions, type DemoResult, runDemo } from './pipeline/flows/demo.js'
import { startLaunch } from './pipeline/launch/run.js'
import { type Prediction, type PredictOptions, predictMasks } from './pipeline/predict/run.js'
import { type CaseProgress, type PrepareReport, prepareCases } from './pipeline/prepare/run.js'
import { type OpenRuntimeOptions, openWarmRuntime, type WarmRuntime } from './pipeline/serve/warm-runtime.js'
import type { Synthesis } from './pipeline/synthesize/dataset.js'
import { type SynthesisProgress, synthesizeCases } from './pipeline/synthesize/run.js'
import { synthesisSettings } from './pipeline/synthesize/settings.js'
import { startTraining } from './pipeline/train/run.js'
import { scriptRunner } from './runtime/script.js'
import { torchRuntime } from './runtime/torch-runtime.js'
import type { Launch, LaunchOptions } from './training/launch.js'
import type { Run, TrainOptions } from './training/run.js'
import { makeTemporaryFolder } from './whole-file.js'

export { configJsonSchema } from './config/json-schema.js'
export { type LoadOptions, loadConfig, printConfig } from './config/load.js'
export { defineConfig, resolveConfig } from './config/resolve.js'
export type { ConfigInput, RunConfig } from './config/schema.js'
export { type CuratedCase, type Curation, curate } from './curation/datasets/curate.js'
export * from './errors.js'
export { type PhantomDatasetOptions, writePhantomDataset } from './phantom/dataset.js'
export type { Evaluation } from './pipeline/evaluate/run.js'
export type { EvaluateOptions } from './pipeline/evaluate/settings.js'
export type { DemoOptions, DemoResult } from './pipeline/flows/demo.js'
export type { Prediction, PredictOptions } from './pipeline/predict/run.js'
export type { CaseProgress, PrepareReport } from './pipeline/prepare/run.js'
export type {
  NoPlace,
  OpenRuntimeOptions,
  PaintedTumor,
  Segmentation,
  SegmentOptions,
  SynthesisRequest,
  SynthesizeCallOptions,
  TumorWish,
  WarmRuntime,
} from './pipeline/serve/warm-runtime.js'
export type { Synthesis } from './pipeline/synthesize/dataset.js'
export type { SynthesisProgress } from './pipeline/synthesize/run.js'
export { type Sweep, type SweepOptions, sweepLedger } from './pipeline/synthesize/sweep.js'
export type { Verdict } from './quality/judge.js'
export { type DoctorOptions, type DoctorReport, runDoctor } from './runtime/doctor.js'
export { connectRun, type RemoteRun } from './runtime/run-service.js'
export { type SetupOptions, type SetupResult, setUpRuntime } from './runtime/setup.js'
export { openStream, type RandomStream } from './simulation/random.js'
export type { TumorSite } from './simulation/site.js'
export {
  type SizeClass,
  simulateTumor,
  type TumorOptions,
  type TumorOutcome,
  type TumorPlan,
} from './simulation/tumor.js'
export type * from './training/events.js'
export type { Launch, LaunchEvent, LaunchOptions, LaunchResult } from './training/launch.js'
export type { Run, RunResult, RunStatus, TrainOptions } from './training/run.js'
export type { Affine, LabelMap, Vec3, Volume } from './volume/volume.js'

/** Options of every call: the Python to use, how to stop, and where notes go. */
export interface CallSettings {
  readonly python?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}

/** Start a training at once. Iterate the run for its events; `await run.result` for the outcome. */
export function train(config: ConfigInput | RunConfig, options: TrainOptions = {}): Run {
  const resolved = resolveConfig(config)
  return startTraining(resolved, torchRuntime({ python: resolved.runtime.python }), options)
}

/** Start your own torchrun script at once, under supervision. Iterate the launch for its events. */
export function launch(options: LaunchOptions): Launch {
  return startLaunch(options, scriptRunner)
}

/** Prepare the cases of a configuration in its cache. */
export function prepare(
  config: ConfigInput | RunConfig,
  settings: CallSettings & { readonly onProgress?: CaseProgress } = {},
): Promise<PrepareReport> {
  const resolved = resolveConfig(config)
  const python = settings.python ?? resolved.runtime.python ?? undefined
  return withContext({ ...settings, python }, (context) =>
    prepareCases(resolved, context, settings.onProgress),
  )
}

/** Segment the scans of a folder and write label maps. */
export function predict(options: PredictOptions, settings: CallSettings = {}): Promise<Prediction> {
  return withContext(settings, (context) => predictMasks(options, context))
}

/** Compare label maps with the labels of the same names. */
export function evaluate(options: EvaluateOptions, settings: CallSettings = {}): Promise<Evaluation> {
  return withContext(settings, (context) => evaluateMasks(options, context))
}

/**
 * Load weights once into a process that answers calls with tensors until it is closed (`await using`).
 * @throws CheckpointError, UsageError, EnvironmentError if it cannot be opened
 */
export function openRuntime(
  options: OpenRuntimeOptions & { readonly python?: string | undefined },
): Promise<WarmRuntime> {
  return openWarmRuntime(options, torchRuntime({ python: options.python }))
}

export interface SynthesizeSettings {
  /** `synthesize`, `simulation` and `quality` describe the tumors; `data` names the host CTs without `images`. */
  readonly config: ConfigInput | RunConfig
  /** Folder of the synthetic data set; an interrupted synthesis is resumed. */
  readonly out: string
  /** Folder of scans, or a data set of any layout. */
  readonly images?: string | undefined
  /** Labels with the names of the scans. Default: those of the data set at `images`. */
  readonly labels?: string | undefined
  /** Ids of those labels -> ids of the region. Default: the ids are those of the region. */
  readonly labelMap?: Readonly<Record<string, number>> | undefined
  readonly onProgress?: ((progress: SynthesisProgress) => void) | undefined
}

/** Paint tumors into whole scans, write the accepted ones as a data set, and record every attempt in a ledger. */
export async function synthesize(
  { config, images, labels, labelMap, ...rest }: SynthesizeSettings,
  settings: CallSettings = {},
): Promise<Synthesis> {
  const resolved = resolveConfig(config)
  if (images === undefined && labels !== undefined)
    throw new UsageError('synthesize: labels without images (expected both, or images alone)', {
      hint: 'pass images, too',
    })
  const hosts = images === undefined ? resolved.data : { images, labels, labelMap }
  const python = settings.python ?? resolved.runtime.python ?? undefined
  return await withContext({ ...settings, python }, (context) =>
    synthesizeCases({ settings: synthesisSettings(resolved), hosts, ...rest }, context),
  )
}

/** Run the whole method on phantoms, in one folder. */
export function demo(options: DemoOptions, settings: CallSettings = {}): Promise<DemoResult> {
  return withContext(settings, (context) => runDemo(options, context))
}

async function withContext<T>(
  settings: CallSettings,
  work: (context: StageContext) => Promise<T>,
): Promise<T> {
  const logDirectory = await makeTemporaryFolder('freetumor-')
  try {
    return await work({
      runtime: torchRuntime({ python: settings.python }),
      signal: settings.signal,
      logDirectory,
      note: (text, level = 'info') => settings.onNote?.(text, level),
    })
  } finally {
    await rm(logDirectory, { recursive: true, force: true })
  }
}
