import type { StopOptions } from '../stop-signals.js'
import type { JobKind, Outcome, RunEvent, StepEvent } from './events.js'
import type { Validation } from './selection.js'

export interface TrainOptions extends StopOptions {
  /** The run directory itself. Default: `runs/<name>/<id>`. */
  readonly out?: string | undefined
  /** A run directory to resume, from its newest checkpoint. */
  readonly resume?: string | undefined
  /** Resume the run in `out` if it has begun, else start it. Default: false, an existing run is refused. */
  readonly continue?: boolean | undefined
  /** Wait this long for another process that trains in the directory. Default: 0, it is an error at once. */
  readonly lockWaitSeconds?: number | undefined
  /** Receives the reason of this wait, once. */
  readonly onLockWait?: ((reason: string) => void) | undefined
  /** Resume even if the configuration or the data differ from those of the checkpoint. */
  readonly acceptChanges?: boolean | undefined
  /** Measure the time of each stage of the steps; write `profile.json` in the run directory. Default: false. */
  readonly profile?: boolean | undefined
  /** Rank of this node if `runtime.nodes` is more than 1. Default: 0. */
  readonly nodeRank?: number | undefined
  /** Rendezvous of the nodes, HOST:PORT of node 0; needed with more than one node. */
  readonly rendezvous?: string | undefined
}

export interface RunResult {
  readonly outcome: Outcome
  readonly reason: string
  readonly directory: string
  /** The next step to run. */
  readonly step: number
  /** Newest checkpoint directory; its `model.pt` holds the weights. */
  readonly checkpoint: string | null
  /** Checkpoint directory of the best validation; null without one. */
  readonly best: string | null
  /** Validation tumor Dice by step. */
  readonly history: readonly Validation[]
}

export interface RunStatus {
  readonly id: string
  readonly job: JobKind
  readonly directory: string
  /** `checking`: data and weights are checked; a fault ends the run. */
  readonly phase: 'checking' | 'starting' | 'training' | 'paused' | 'ended'
  /** The next step to run. */
  readonly step: number
  /** Null until the data are known. */
  readonly steps: number | null
  /** Losses of the last step; empty before the first. */
  readonly losses: StepEvent['losses']
  /** Learning rate of the last step. */
  readonly learningRate: number | null
  /** Rate over the last 20 steps, validations and checkpoints included; null before the second step. */
  readonly stepsPerSecond: number | null
  /** Estimate from that rate; null while it is unknown. */
  readonly secondsLeft: number | null
}

/** A training that has begun. Iterate it for its events; every method is safe at any time. */
export interface Run extends AsyncIterable<RunEvent>, AsyncDisposable {
  readonly id: string
  /** The run directory. */
  readonly directory: string
  /** Rejects with the same error that the iterator throws. */
  readonly result: Promise<RunResult>
  /** Set the learning rate; resolve with the first step to which it applies. */
  setLearningRate(value: number): Promise<number>
  /** Pause the training; resolve with the next step to run. */
  pause(): Promise<number>
  /** Continue a paused training; resolve with the next step to run. */
  unpause(): Promise<number>
  /** Save a checkpoint; resolve with its step when it is on disk. */
  checkpoint(): Promise<number>
  /** Save and end the run; resolve with the next step to run. */
  stop(reason?: string): Promise<number>
  status(): RunStatus
}
