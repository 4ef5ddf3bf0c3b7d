/// <reference types="node" preserve="true" />
/**
 * freetumor as a library. Everything that the commands do can be called from here; errors are subclasses of
 * `FreetumorError`, and every long call takes an `AbortSignal`.
 */
import { rm } from 'node:fs/promises'
import { resolveConfig } from './config/resolve.js'
import type { ConfigInput, RunConfig } from './config/schema.js'
import { pairCases } from './curation/datasets/pairs.js'
import { UsageError } from './errors.js'
import type { StageContext } from './pipeline/context.js'
import { type EvaluateOptions, type Evaluation, evaluateMasks } from './pipeline/evaluate/run.js'
import { type DemoOptions, type DemoResult, runDemo } from './pipeline/flows/demo.js'
import { startLaunch } from './pipeline/launch/run.js'
import { type Prediction, type PredictOptions, predictMasks } from './pipeline/predict/run.js'
import { type CaseProgress, type PrepareReport, prepareCases } from './pipeline/prepare/run.js'
import { type OpenRuntimeOptions, openWarmRuntime, type WarmRuntime } from './pipeline/serve/warm-runtime.js'
import type { Synthesis } from './pipeline/synthesize/dataset.js'
import { type SynthesisProgress, synthesizeCases } from './pipeline/synthesize/run.js'
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
export type { EvaluateOptions, Evaluation } from './pipeline/evaluate/run.js'
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
export {
  type SizeClass,
  simulateTumor,
  type TumorOptions,
  type TumorOutcome,
  type TumorPlan,
} from './simulation/plan.js'
export { openStream, type RandomStream } from './simulation/random.js'
export type { TumorSite } from './simulation/site.js'
export type * from './training/events.js'
export type { Launch, LaunchEvent, LaunchOptions, LaunchResult } from './training/launch.js'
export type { Run, RunResult, RunStatus, TrainOptions } from './training/run.js'
export type { Affine, LabelMap, Vec3, Volume } from './volume/volume.js'

/** What the calls below share: which Python, how to stop, where notes go. */
export interface CallSettings {
  readonly python?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}

/** Starts a training at once. Iterate the run for its events; `await run.result` for how it ended. */
export function train(config: ConfigInput | RunConfig, options: TrainOptions = {}): Run {
  const resolved = resolveConfig(config)
  return startTraining(resolved, torchRuntime({ python: resolved.runtime.python }), options)
}

/** Starts a torchrun script of yours at once, under our supervision. Iterate it for its events. */
export function launch(options: LaunchOptions): Launch {
  return startLaunch(options, scriptRunner)
}

/** Brings the cases of a configuration into its cache. */
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

/** Label maps of the scans in a folder. */
export function predict(options: PredictOptions, settings: CallSettings = {}): Promise<Prediction> {
  return withContext(settings, (context) => predictMasks(options, context))
}

/** Figures of label maps against labels of the same names. */
export function evaluate(options: EvaluateOptions, settings: CallSettings = {}): Promise<Evaluation> {
  return withContext(settings, (context) => evaluateMasks(options, context))
}

/**
 * Loads weights once into a process that answers calls with tensors, until it is closed (`await using`).
 * @throws CheckpointError, UsageError, EnvironmentError when it cannot be opened
 */
export function openRuntime(
  options: OpenRuntimeOptions & { readonly python?: string | undefined },
): Promise<WarmRuntime> {
  return openWarmRuntime(options, torchRuntime({ python: options.python }))
}

export interface SynthesizeSettings {
  /** `data` names the hosts unless `images` and `labels` do; `synthesize`, `simulation` and `quality` say what is made. */
  readonly config: ConfigInput | RunConfig
  /** Folder of the synthetic data set; one that was stopped is gone on with. */
  readonly out: string
  /** Folders of scans and of their organ labels, under the same names. */
  readonly images?: string | undefined
  readonly labels?: string | undefined
  /** Ids of those labels -> ids of the region. Default: they are the region's. */
  readonly labelMap?: Readonly<Record<string, number>> | undefined
  readonly onProgress?: ((progress: SynthesisProgress) => void) | undefined
}

/** A synthetic data set on disk: tumors painted into whole scans, those that pass written, all told in a ledger. */
export async function synthesize(
  { config, images, labels, labelMap, ...rest }: SynthesizeSettings,
  settings: CallSettings = {},
): Promise<Synthesis> {
  const resolved = resolveConfig(config)
  if ((images === undefined) !== (labels === undefined))
    throw new UsageError('synthesize: images and labels go together')
  const hosts = images === undefined ? undefined : await pairCases(images, labels!, resolved.region, labelMap)
  const python = settings.python ?? resolved.runtime.python ?? undefined
  return await withContext({ ...settings, python }, (context) =>
    synthesizeCases({ config: resolved, hosts, ...rest }, context),
  )
}

/** The whole method on phantoms, under one folder. */
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
