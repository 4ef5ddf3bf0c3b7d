import type { RunFacts, Tracker } from '../../tracking/tracker.js'
import type { Run } from '../../training/run.js'
import type {
  EvaluateSpec,
  MeasuredCase,
  PicturedCase,
  PictureSpec,
  PredictedCase,
  PredictSpec,
  PreparedCase,
  PrepareSpec,
} from './cases.js'
import type { CheckpointFacts } from './checkpoint.js'
import type { CallOptions, CaseOutcome, DirectoryLock, InspectOptions, LockedWork } from './common.js'
import type { ExportedFiles, ExportSpec } from './export.js'
import type { PluginFacts, PluginSpec } from './plugin.js'
import type {
  ComparedTumors,
  CompareTumorsSpec,
  FoundCopies,
  MeasuredTumors,
  RealismSpec,
} from './realism.js'
import type { ServeSession, ServeSpec } from './serving.js'
import type { SynthesizeSpec, VariantFeed } from './synthesis.js'
import type { StepFeed, TrainingSession, TrainingSpec } from './training.js'

/**
 * Computations that the stages need. The torch runtime (src/runtime) and an in-memory twin for tests implement them. All
 * settings are complete: the other side fills in no default.
 */
export interface ModelRuntime {
  /** Start a training; it requests steps from the feed until the session ends. */
  train(spec: TrainingSpec, feed: StepFeed, options: CallOptions): TrainingSession
  /** Prepare cases. Results come in the order of completion; a failed case is a result with `error`. */
  prepare(spec: PrepareSpec, options: CallOptions): AsyncIterable<CaseOutcome<PreparedCase>>
  /** Segment scans: each free rank gets the next case. */
  predict(spec: PredictSpec, options: CallOptions): AsyncIterable<CaseOutcome<PredictedCase>>
  evaluate(spec: EvaluateSpec, options: CallOptions): AsyncIterable<CaseOutcome<MeasuredCase>>
  picture(spec: PictureSpec, options: CallOptions): AsyncIterable<CaseOutcome<PicturedCase>>
  /** Measure the tumors of cases into files of the spec's folder; a file of the same inputs is reused. */
  measureTumors(spec: RealismSpec, options: CallOptions): AsyncIterable<CaseOutcome<MeasuredTumors>>
  /** Compare measured tumors by group; the group `copies` has the copies that were found. */
  compareTumors(
    spec: CompareTumorsSpec,
    options: CallOptions,
  ): AsyncIterable<CaseOutcome<ComparedTumors | FoundCopies>>
  /** Offline synthesis: the ranks ask the feed for variants until none is left. */
  synthesize(spec: SynthesizeSpec, feed: VariantFeed, options: CallOptions): Promise<void>
  /** Load networks once, for calls with volumes in memory, until the session is disposed. */
  serve(spec: ServeSpec, options: CallOptions): ServeSession
  /**
   * Return the content of a checkpoint file, without running its code and before a process of a job starts.
   * @throws CheckpointError if the file is not a complete file of weights
   */
  inspect(path: string, options: InspectOptions): Promise<CheckpointFacts>
  /**
   * Write weights in another format, without running code of their file.
   * @throws CheckpointError if the file is no checkpoint, or holds a network that the format cannot hold
   */
  exportWeights(spec: ExportSpec, options: InspectOptions): Promise<ExportedFiles>
  /**
   * Start a plug-in, return its statements, and end it.
   * @throws PluginError if it does not start or makes wrong statements
   */
  inspectPlugin(spec: PluginSpec, options: Pick<CallOptions, 'signal'>): Promise<PluginFacts>
  /**
   * Return the tracker Weights & Biases, by its Python package.
   * @param project `PROJECT` or `ENTITY/PROJECT`
   */
  wandb(directory: string, project: string, facts: RunFacts): Tracker
  /**
   * Let other processes watch and control a run, until the result is disposed.
   * @param file name of the file with the address, in the run's directory; one for each node
   * @throws UsageError if another process trains in the run's directory
   */
  share(run: Run, file: string): Promise<AsyncDisposable>
  /**
   * Lock a folder for this process alone, or for all processes of shared work, until the lock is disposed or the process ends.
   * @throws the error of `work` if another process holds the lock, EnvironmentError if the folder cannot be written
   */
  lock(directory: string, work: LockedWork): Promise<DirectoryLock>
}
