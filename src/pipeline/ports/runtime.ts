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
import type { ServeSession, ServeSpec } from './serving.js'
import type { SynthesizeSpec, VariantFeed } from './synthesis.js'
import type { StepFeed, TrainingSession, TrainingSpec } from './training.js'

/**
 * Computations that the stages need. The torch runtime implements them (src/runtime), and so does an
 * in-memory twin for tests. Whatever crosses is complete: no default is filled in on the other side.
 */
export interface ModelRuntime {
  /** Starts a training; the feed is asked for steps until the session ends. */
  train(spec: TrainingSpec, feed: StepFeed, options: CallOptions): TrainingSession
  /** Work by case: results come in the order in which they are done; a failed case is a result with `error`. */
  prepare(spec: PrepareSpec, options: CallOptions): AsyncIterable<CaseOutcome<PreparedCase>>
  /** Cases are handed to whichever rank is free. */
  predict(spec: PredictSpec, options: CallOptions): AsyncIterable<CaseOutcome<PredictedCase>>
  evaluate(spec: EvaluateSpec, options: CallOptions): AsyncIterable<CaseOutcome<MeasuredCase>>
  picture(spec: PictureSpec, options: CallOptions): AsyncIterable<CaseOutcome<PicturedCase>>
  /** Offline synthesis: the ranks ask the feed for variants until none is left. */
  synthesize(spec: SynthesizeSpec, feed: VariantFeed, options: CallOptions): Promise<void>
  /** Loads networks once, for calls with volumes in memory, until it is disposed. */
  serve(spec: ServeSpec, options: CallOptions): ServeSession
  /**
   * Return the content of a checkpoint file, without running its code and before a process of a job starts.
   * @throws CheckpointError for anything but a whole file of weights
   */
  inspect(path: string, options: InspectOptions): Promise<CheckpointFacts>
  /**
   * Lets other processes watch and control a run, until it is disposed.
   * @param file in the run's directory, that says how; one for each node
   * @throws UsageError when another process trains in the run's directory
   */
  share(run: Run, file: string): Promise<AsyncDisposable>
  /**
   * Locks a folder for this process alone, until the lock is disposed; the operating system ends it with the process.
   * @throws what `work` says when another process holds it, EnvironmentError when the folder cannot be written
   */
  lock(directory: string, work: LockedWork): Promise<DirectoryLock>
}
