/// <reference types="node" preserve="true" />
/**
 * freetumor as a library. Errors are subclasses of `FreetumorError`. Every long call accepts an `AbortSignal`.
 *
 * @module freetumor
 */
import { join, resolve } from 'node:path'
import { type CallSettings, withContext } from './calls.js'
import { resolveConfig } from './config/resolve.js'
import type { ConfigInput, RunConfig } from './config/schema.js'
import type { Shard } from './curation/datasets/shard.js'
import { checkpointFile } from './pipeline/checkpoint/checkpoint-file.js'
import { checkpointHints } from './pipeline/checkpoint/hints.js'
import { licencesOf } from './pipeline/checkpoint/licence.js'
import { type Evaluation, evaluateMasks } from './pipeline/evaluate/run.js'
import type { EvaluateOptions } from './pipeline/evaluate/settings.js'
import { type DemoOptions, type DemoResult, runDemo } from './pipeline/flows/demo.js'
import { startLaunch } from './pipeline/launch/run.js'
import { type PlanOptions, planLaunchedTraining, type RunPlan } from './pipeline/plan/launch.js'
import type { CheckpointFacts, WeightsLicence } from './pipeline/ports/checkpoint.js'
import { type CaseProgress, type PrepareReport, prepareCases } from './pipeline/prepare/run.js'
import { findRun, summariseRuns, summaryOfRun } from './pipeline/runs/list.js'
import { type OpenRuntimeOptions, openWarmRuntime, type WarmRuntime } from './pipeline/serve/warm-runtime.js'
import { planOnKubernetes, submitToKubernetes } from './pipeline/submit/kubernetes.js'
import { runOnKubernetes } from './pipeline/submit/kubernetes-run.js'
import { planJob, submitJob } from './pipeline/submit/run.js'
import { type SubmittedRun, submittedRun } from './pipeline/submit/submitted-run.js'
import { type ConfigCheck, checkTraining } from './pipeline/train/check.js'
import { startTraining } from './pipeline/train/run.js'
import { inspectFile } from './runtime/checkpoint.js'
import { installation } from './runtime/installation.js'
import { kubectl } from './runtime/kubectl.js'
import { launchPlanner } from './runtime/launch-plan.js'
import { packageRoot } from './runtime/python.js'
import { controlledProcesses, runProcesses } from './runtime/run-service.js'
import { scriptRunner } from './runtime/script.js'
import { slurm } from './runtime/slurm.js'
import { torchRuntime } from './runtime/torch-runtime.js'
import type { StudioSettings } from './studio/options.js'
import { openStudio, type Studio } from './studio/server.js'
import type { Launch, LaunchOptions } from './training/launch.js'
import type { Run, TrainOptions } from './training/run.js'
import type { RunSummary } from './training/run-summary.js'
import { usableProcessors } from './usable-processors.js'

export {
  auditData,
  type CallSettings,
  type ConvertSettings,
  calibrate,
  calibrateLesions,
  checkData,
  convertCheckpoint,
  convertDicom,
  exportDataset,
  exportModel,
  labelOrgans,
  mergeShards,
  mineHardNegatives,
  type PredictionSettings,
  predict,
  type RunSync,
  realism,
  type SyncSettings,
  type SynthesizeSettings,
  syncRun,
  synthesize,
} from './calls.js'
export { type ConfigKey, type ExplainedKey, explainKey } from './config/explain.js'
export { configJsonSchema } from './config/json-schema.js'
export { type LoadOptions, loadConfig, printConfig } from './config/load.js'
export { defineConfig, resolveConfig } from './config/resolve.js'
export type { ConfigInput, RunConfig } from './config/schema.js'
export type { SharedSources } from './curation/audit/known-overlaps.js'
export type { AuditPair, PairKind } from './curation/audit/run.js'
export type { Finding, Severity } from './curation/check/finding.js'
export type { CheckReport } from './curation/check/run.js'
export type { MissingFiles } from './curation/datasets/cases.js'
export { type CuratedCase, type Curation, curate } from './curation/datasets/curate.js'
export type { LeftOut } from './curation/datasets/file-names.js'
export type { TakenSource } from './curation/datasets/import.js'
export type { Split } from './curation/datasets/lists.js'
export type { CaseGeometry, FileFacts, Manifest, ManifestCase } from './curation/datasets/manifest.js'
export type { KidneySides, LabelIdMap } from './curation/datasets/registry.js'
export type { Remapped, RemapRow } from './curation/datasets/remap.js'
export type { Shard } from './curation/datasets/shard.js'
export type { SegmentRule } from './curation/dicom/segments.js'
export type { FoldPlan, FoldRow, PatientFold } from './curation/split/run.js'
export type { Stratum } from './curation/split/strata.js'
export * from './errors.js'
export type { Agreement } from './evaluation/agreement.js'
export type { Comparison, PairedFigure } from './evaluation/compare.js'
export type {
  CaseMeasures,
  LabelMeasures,
  LesionMeasures,
  LesionOverlap,
  OverlapMeasures,
} from './evaluation/measures.js'
export type {
  LesionFeatures,
  LesionOperatingPoint,
  LesionRule,
  RuleFeature,
  RuleFigures,
  WantedPoint,
} from './evaluation/operating-point.js'
export type { MetricGrid, ProfileName } from './evaluation/profiles.js'
export type {
  Figure,
  FiguresAtMm,
  Froc,
  LesionBin,
  LesionRates,
  LesionSummary,
  MatchRates,
  OperatingPoint,
  OverlapSummary,
  Summary as EvaluationSummary,
} from './evaluation/summary.js'
export type * from './generated/config-input.js'
export { type PhantomDatasetOptions, writePhantomDataset } from './phantom/dataset.js'
export type { WeightSets } from './pipeline/checkpoint/weight-sets.js'
export type { AuditDataOptions, DataAudit } from './pipeline/data/audit.js'
export type { CheckDataOptions } from './pipeline/data/check.js'
export type { SourceOptions, WorkOptions } from './pipeline/data/collect.js'
export type { ConvertDicomOptions, DicomConversion } from './pipeline/data/convert.js'
export type { DicomSegment, DicomSeries } from './pipeline/data/dicom-report.js'
export type { ChoiceOptions } from './pipeline/data/dicom-tasks.js'
export { type DataImport, type ImportDataOptions, importData } from './pipeline/data/import.js'
export { type RemapDataOptions, type RemappedFile, remapData } from './pipeline/data/remap.js'
export { type DataSplit, type SplitDataOptions, splitData } from './pipeline/data/split.js'
export type { CalibrateOptions, WrittenCalibration } from './pipeline/evaluate/calibrate.js'
export type {
  HardNegativeOptions,
  HardNegatives,
  ListedHardNegative,
} from './pipeline/evaluate/hard-negatives.js'
export type { OperatingPointOptions, WrittenOperatingPoint } from './pipeline/evaluate/operating-point.js'
export type { Evaluation, FailedCases } from './pipeline/evaluate/run.js'
export type { EvaluateOptions } from './pipeline/evaluate/settings.js'
export type { DatasetExport, DatasetFormat, ExportDatasetOptions } from './pipeline/export/dataset.js'
export type { ExportModelOptions, ModelExport } from './pipeline/export/model.js'
export type { DemoOptions, DemoResult } from './pipeline/flows/demo.js'
export type {
  DicomSegCase,
  DicomSegmentations,
  DicomSegOptions,
  PredictionWithSegs,
  SynthesisWithSegs,
} from './pipeline/flows/dicom-seg.js'
export type { Merged, MergedResult } from './pipeline/flows/merge.js'
export type { OrganLabels } from './pipeline/organs/run.js'
export type {
  LabelOrgansOptions,
  OrganCase,
  OrganProgress,
  OrganSource,
} from './pipeline/organs/settings.js'
export type { PlanOptions, RunPlan } from './pipeline/plan/launch.js'
export type { PreparedCase } from './pipeline/ports/cases.js'
export type {
  CheckpointFacts,
  MergingOrder,
  NetworkFacts,
  WeightsLicence,
} from './pipeline/ports/checkpoint.js'
export type { CaseError, NodePlace } from './pipeline/ports/common.js'
export type { ModelFormat } from './pipeline/ports/export.js'
export type { LaunchPlan, StepCost } from './pipeline/ports/launch-plan.js'
export type { PluginSpec } from './pipeline/ports/plugin.js'
export type {
  CopyThreshold,
  FeatureRow,
  FeatureSide,
  GroupFigure,
  NearestTumor,
  TumorCounts,
  TumorSizeClass,
} from './pipeline/ports/realism.js'
export type { Prediction, PredictionCase, PredictOptions, PredictProgress } from './pipeline/predict/run.js'
export type { TrainingReviews } from './pipeline/prepare/reviews.js'
export type { CaseProgress, PrepareReport, TrainingCase } from './pipeline/prepare/run.js'
export type {
  ExceededLimit,
  RealismEncoder,
  RealismFeature,
  RealismLimit,
  RealismMeasure,
  RealismResult,
} from './pipeline/realism/result.js'
export type { Realism } from './pipeline/realism/run.js'
export type { RealismOptions } from './pipeline/realism/settings.js'
export { writeAnyReport as writeReport } from './pipeline/report/write.js'
export { type ReviewAgreement, type ReviewerPair, reviewAgreement } from './pipeline/review-agreement.js'
export type { ReviewSummary } from './pipeline/review-summary.js'
export { readLedger, readRunEvents as readEvents } from './pipeline/runs/records.js'
export type { ServeConfig } from './pipeline/serve/settings.js'
export type { HuVolume } from './pipeline/serve/volume-input.js'
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
export type { SubmittedJob } from './pipeline/submit/run.js'
export type { SubmittedRun } from './pipeline/submit/submitted-run.js'
export type { Synthesis } from './pipeline/synthesize/dataset.js'
export type { SynthesisProgress } from './pipeline/synthesize/run.js'
export { type Sweep, type SweepOptions, sweepLedger } from './pipeline/synthesize/sweep.js'
export type { ConfigCheck, ConfigFinding } from './pipeline/train/check.js'
export {
  type ProvenanceState,
  type Verification,
  type VerifiedFile,
  type VerifyOptions,
  verifyScans as verify,
} from './provenance/verify.js'
export type { CalibratedThreshold, Calibration, HeldOutTumor, SizesByVolume } from './quality/calibration.js'
export type { TumorMeasures, Verdict } from './quality/judge.js'
export type { LedgerLine, LedgerPlugin, SynthesisLine } from './quality/ledger.js'
export type {
  CalibratedPolicy,
  JudgedKind,
  Override as QualityOverride,
  QualityPolicy,
  Range as QualityRange,
  RuleName,
  Rules as QualityRules,
} from './quality/policy.js'
export {
  appendReview,
  decisionsOf,
  type ReviewCounts,
  type ReviewedTumor,
  type ReviewLine,
  readReviews,
  reviewsCsv,
  type StandingDecision,
  type TumorDecision,
} from './quality/reviews.js'
export type { Kept, SweepRow } from './quality/sweep.js'
export type { CheckpointFormat, Converted } from './runtime/checkpoint.js'
export type { DoctorCheck } from './runtime/doctor.js'
export { type DoctorOptions, type DoctorReport, runDoctor } from './runtime/doctor.js'
export type { RuntimeExtra } from './runtime/requirements.js'
export { connectRun, type RemoteRun } from './runtime/run-service.js'
export { type SetupOptions, type SetupResult, setUpRuntime } from './runtime/setup.js'
export type { DepthRange } from './simulation/depth.js'
export type { KeyParts } from './simulation/random.js'
export { openStream, type RandomStream } from './simulation/random.js'
export type { BoxMask } from './simulation/shape.js'
export type { SliceRange, TumorSite } from './simulation/site.js'
export type { Radius, RadiusSource } from './simulation/size.js'
export {
  type AimedPlace,
  type SizeClass,
  simulateTumor,
  type TumorOptions,
  type TumorOutcome,
  type TumorPlan,
} from './simulation/tumor.js'
export type { StudioAddress, StudioSettings } from './studio/options.js'
export type { Studio } from './studio/server.js'
export type { Sent as SentValues } from './tracking/feed.js'
export type { TrackerName } from './tracking/tracker.js'
export type * from './training/events.js'
export type { RestartPolicy } from './training/failure.js'
export type {
  Launch,
  LaunchEvent,
  LaunchOptions,
  LaunchResult,
  OutputEvent,
  ScriptFinishedEvent,
  ScriptRestartEvent,
  ScriptStartedEvent,
} from './training/launch.js'
export type { Run, RunResult, RunStatus, TrainOptions } from './training/run.js'
export type { QueuedJob, RunSummary, ShardStates } from './training/run-summary.js'
export type { Validation } from './training/selection.js'
export type { OrganName, Region } from './volume/labels.js'
export type { Affine, LabelMap, Vec3, Volume, VoxelArray } from './volume/volume.js'

/** Start a training at once. Iterate the run for its events; `await run.result` for the outcome. */
export function train(config: ConfigInput | RunConfig, options: TrainOptions = {}): Run {
  const resolved = resolveConfig(config)
  return startTraining(resolved, torchRuntime({ python: resolved.runtime.python }), options)
}

export interface SubmitSettings {
  /** Scheduler of the cluster. */
  readonly to: 'slurm' | 'kubernetes'
  /** Run directory, on a disk that all nodes share; on Kubernetes below a mount. Default: `runs/<name>/<id>`. An existing run is resumed. */
  readonly out?: string | undefined
}

/**
 * Submit a training as a job of a cluster, with the resources of `cluster`. Iterate the result for its events.
 * On Kubernetes, the result needs the claim of the run directory mounted on this machine at the same path.
 * @throws ConfigError without `cluster`, EnvironmentError if the scheduler refuses the job
 */
export async function submit(
  config: ConfigInput | RunConfig,
  { to, out }: SubmitSettings,
): Promise<SubmittedRun> {
  const resolved = resolveConfig(config)
  if (to === 'kubernetes') {
    const planned = await planOnKubernetes(resolved, { out })
    await submitToKubernetes(planned, kubectl)
    return runOnKubernetes(planned, resolved.job, kubectl, controlledProcesses)
  }
  const planned = await planJob(resolved, installation(), { out })
  return submittedRun(await submitJob(planned, slurm), slurm, controlledProcesses)
}

/** Plan a training: counts, estimates, command and environment. Nothing is written or started. */
export function planRun(config: ConfigInput | RunConfig, options: PlanOptions = {}): Promise<RunPlan> {
  return planLaunchedTraining(resolveConfig(config), launchPlanner, options)
}

/**
 * Check a configuration against its data and checkpoints, as a training would. Nothing is written.
 * @param settings.data false: check the values only; default true
 */
export function checkConfig(
  config: ConfigInput | RunConfig,
  settings: CallSettings & { readonly data?: boolean | undefined } = {},
): Promise<ConfigCheck> {
  const resolved = resolveConfig(config)
  const python = settings.python ?? resolved.runtime.python ?? undefined
  const workers = Math.min(8, usableProcessors().processors)
  return withContext({ ...settings, python }, (context) =>
    checkTraining(resolved, context, { data: settings.data ?? true, workers }),
  )
}

/**
 * List the runs below a folder, oldest first, with their state. A run that cannot be read is listed as `broken`.
 * @param root default `runs`; searched three levels deep
 */
export function listRuns(root = 'runs'): Promise<RunSummary[]> {
  return summariseRuns(resolve(root), runProcesses)
}

/**
 * Serve a page that shows the runs and synthetic data sets below folders, until the result is disposed (`await using`).
 * @param folders default `runs`; searched three levels deep
 */
export function studio(
  folders: readonly string[] = ['runs'],
  settings: StudioSettings = {},
): Promise<Studio> {
  return openStudio({
    ...settings,
    reviews: settings.reviews === undefined ? undefined : resolve(settings.reviews),
    folders: folders.map((folder) => resolve(folder)),
    pageFolder: join(packageRoot, 'dist/studio/page'),
    processes: controlledProcesses,
  })
}

/**
 * Describe the state of one run.
 * @param run run directory, or the last part of one below `runs`
 * @throws UsageError if there is no such run
 */
export async function describeRun(run: string): Promise<RunSummary> {
  return summaryOfRun(await findRun(run, process.cwd()), runProcesses)
}

export interface InspectSettings extends CallSettings {
  /** Compare the file with the networks of this configuration; the differences become hints. */
  readonly config?: ConfigInput | RunConfig | undefined
  /** Set of weights of a file that holds several: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
}

/**
 * Inspect a checkpoint file without running its code: networks, keys, patch-merging order, hash, and hints.
 * @param file also a run directory or one of its checkpoints
 * @throws CheckpointError if the file is no checkpoint, damaged or hostile
 */
export async function inspectCheckpoint(
  file: string,
  { config, python, signal, weights }: InspectSettings = {},
): Promise<
  CheckpointFacts & { readonly licences: readonly WeightsLicence[]; readonly hints: readonly string[] }
> {
  const resolved = config === undefined ? null : resolveConfig(config)
  const path = await checkpointFile(resolve(file))
  const facts = await inspectFile(path, { python: python ?? resolved?.runtime.python, signal, weights })
  const licences = await licencesOf('segmentor', facts)
  return { ...facts, licences, hints: checkpointHints(facts, resolved) }
}

/** Start your own torchrun script at once, under supervision. Iterate the launch for its events. */
export function launch(options: LaunchOptions): Launch {
  return startLaunch(options, scriptRunner)
}

/** Prepare the cases of a configuration in its cache. */
export function prepare(
  config: ConfigInput | RunConfig,
  settings: CallSettings & { readonly onProgress?: CaseProgress; readonly shard?: Shard | undefined } = {},
): Promise<PrepareReport> {
  const resolved = resolveConfig(config)
  const python = settings.python ?? resolved.runtime.python ?? undefined
  return withContext({ ...settings, python }, (context) => prepareCases(resolved, context, settings))
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

/** Run the whole method on phantoms, in one folder. */
export function demo(options: DemoOptions, settings: CallSettings = {}): Promise<DemoResult> {
  return withContext(settings, (context) => runDemo(options, context))
}
