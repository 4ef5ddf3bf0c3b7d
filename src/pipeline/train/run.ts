import { join, resolve } from 'node:path'
import { onAbort } from '../../abort.js'
import type { RunConfig } from '../../config/schema.js'
import { EXIT, FreetumorError, StoppedError, SupersededError, UsageError } from '../../errors.js'
import { abortReason, forwardStops } from '../../stop-signals.js'
import { typedSystemError } from '../../system-errors.js'
import { bestCheckpoint, latestCheckpoint } from '../../training/checkpoints.js'
import type { Outcome, RunEvent } from '../../training/events.js'
import { RunJournal } from '../../training/journal.js'
import { causeOf, type Ownership } from '../../training/owner.js'
import type { Run, RunResult, RunStatus, TrainOptions } from '../../training/run.js'
import { newRunId, writeExit } from '../../training/run-directory.js'
import { hasBegun, keepsRun, nodeFile, placeOf } from '../nodes.js'
import type { NodePlace } from '../ports/common.js'
import type { ModelRuntime } from '../ports/runtime.js'
import type { LiveCommand } from '../ports/training.js'
import { tryRunReport } from '../report/write.js'
import type { Finished } from './attempt.js'
import { CommandQueue } from './commands.js'
import { type OpenedRun, openRun } from './open-run.js'
import { Progress } from './progress.js'
import { refuseUnsaved, stopOrFailure } from './restart.js'
import { type RunTracking, startTracking } from './tracking.js'
import { trainOpened } from './training.js'

/** Start a training at once. */
export function startTraining(config: RunConfig, runtime: ModelRuntime, options: TrainOptions = {}): Run {
  return new TrainingRun(config, runtime, options)
}

class TrainingRun implements Run {
  readonly id = newRunId()
  readonly directory: string
  readonly result: Promise<RunResult>
  readonly #journal = new RunJournal(
    () => nodeFile('events.jsonl', this.#place),
    () => this.#owner?.check(),
  )
  readonly #stopRequested = new AbortController()
  readonly #commands = new CommandQueue()
  readonly #progress = new Progress()
  #place: NodePlace | null = null
  #owner: Ownership | null = null
  #tracking: RunTracking | null = null

  constructor(
    private readonly config: RunConfig,
    private readonly runtime: ModelRuntime,
    private options: TrainOptions,
  ) {
    this.directory = resolve(options.resume ?? options.out ?? join('runs', config.name, this.id))
    const release = forwardStops(options, this.#stopRequested)
    this.result = this.#run().finally(release)
    this.result.catch(() => {}) // the iterator throws the same error
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    return this.#journal.stream[Symbol.asyncIterator]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#progress.phase !== 'ended') this.#stopRequested.abort('disposed')
    await this.result.catch(() => {})
  }

  setLearningRate(value: number): Promise<number> {
    if (!(value > 0 && Number.isFinite(value)))
      throw new UsageError(`setLearningRate: wrong value (expected a positive number, found ${value})`, {
        hint: 'pass a learning rate such as 1e-4',
      })
    return this.#command({ type: 'setLearningRate', value })
  }

  async pause(): Promise<number> {
    const step = await this.#command({ type: 'pause' })
    this.#progress.phase = 'paused'
    this.#progress.interrupted()
    return step
  }

  async unpause(): Promise<number> {
    const step = await this.#command({ type: 'unpause' })
    this.#progress.phase = 'training'
    return step
  }

  async checkpoint(): Promise<number> {
    const step = await this.#command({ type: 'checkpoint' })
    await this.#progress.untilSaved(step)
    return step
  }

  async stop(reason = 'stop'): Promise<number> {
    if (this.#progress.phase === 'ended') throw hasEnded()
    // before the runtime starts, the work obeys only the signal
    if (this.#progress.steps === null) this.#stopRequested.abort(reason)
    try {
      return await this.#command({ type: 'stop', reason })
    } catch (error) {
      if (!(error instanceof StoppedError)) throw error
      // the run has ended at this step; `result` resolves later, after the answers to other commands
      return this.#progress.step
    }
  }

  status(): RunStatus {
    const { id, directory } = this
    const { phase, step, steps, last } = this.#progress
    const stepsPerSecond = this.#progress.stepsPerSecond()
    const left = steps === null || stepsPerSecond === null ? null : (steps - step) / stepsPerSecond
    return {
      id,
      job: this.config.job,
      directory,
      phase,
      step,
      steps,
      losses: last?.losses ?? {},
      learningRate: last?.learningRate ?? null,
      stepsPerSecond,
      secondsLeft: phase === 'ended' ? null : left,
    }
  }

  async #command(command: LiveCommand): Promise<number> {
    const step = await this.#commands.send(command)
    this.#journal.emit({
      type: 'command',
      command: command.type,
      step,
      ...(command.type === 'setLearningRate' ? { value: command.value } : {}),
    })
    return step
  }

  async #run(): Promise<RunResult> {
    const opened = await this.#open().catch((error: unknown) => {
      this.#end(error)
      throw error
    })
    await using _shared = opened.shared
    const { directory } = this
    try {
      const { outcome, reason } = await this.#train(opened)
      if (outcome === 'stopped') refuseUnsaved(directory, this.#progress.reached, reason)
      return await this.#conclude(outcome, reason, outcome === 'completed' ? 0 : EXIT.stopped)
    } catch (caught) {
      const cause = typedSystemError(causeOf(this.#owner, caught))
      const error = stopOrFailure(directory, this.#progress.reached, cause, this.#stopRequested.signal)
      if (error instanceof SupersededError) {
        await this.#tracking?.abandon()
        await this.#journal.abandon()
        this.#end(error)
        throw error
      }
      if (error instanceof StoppedError) return await this.#conclude('stopped', error.message, EXIT.stopped)
      const known = error instanceof FreetumorError ? error : null
      await this.#conclude('failed', known?.message ?? String(error), known?.exitCode ?? 1, error)
      throw error
    }
  }

  async #open(): Promise<OpenedRun> {
    this.#place = placeOf(this.config, this.options)
    if (this.options.continue && (await hasBegun(this.directory, this.#place)))
      this.options = { ...this.options, resume: this.directory }
    const { signal } = this.#stopRequested
    const opened = await openRun(this, this.config, this.runtime, { ...this.options, signal }, this.#place)
    this.#progress.startFrom(opened.resumed)
    this.#owner = opened.owner
    return opened
  }

  #train(opened: OpenedRun): Promise<Finished> {
    const { id, directory, config, runtime, options } = this
    const { signal } = this.#stopRequested
    const run = {
      id,
      directory,
      config,
      runtime,
      options,
      signal,
      place: this.#place,
      owner: this.#owner,
      journal: this.#journal,
      commands: this.#commands,
      progress: this.#progress,
    }
    // AbortSignal, dispose and signals all become one stop command
    const onStart = (): void => {
      onAbort(signal, () => void this.stop(abortReason(signal)).catch(() => {}))
      if (keepsRun(this.#place)) this.#tracking = this.#track()
    }
    return trainOpened(run, opened, startTraining, onStart)
  }

  #track(): RunTracking {
    return startTracking(this.directory, this.config, this.runtime, {
      note: (text, level) => this.#journal.announce(text, level),
      check: () => this.#owner?.check(),
    })
  }

  async #conclude(outcome: Outcome, reason: string, exitCode: number, error?: unknown): Promise<RunResult> {
    const { directory } = this
    const { step } = this.#progress
    this.#owner?.check()
    // a failing log must not prevent the exit record
    const unlogged = await this.#journal.close({ type: 'finished', outcome, reason, step })
    await this.#tracking?.end(outcome)
    if (keepsRun(this.#place)) await tryRunReport(directory, (text) => this.#journal.note(text, 'warning'))
    const record = { outcome, reason, step, exitCode }
    const file = nodeFile('exit.json', this.#place)
    const unwritten = await writeExit(directory, record, file).catch((why: unknown) => why)
    const failure = error ?? unlogged ?? unwritten
    this.#end(failure)
    if (error === undefined && failure !== undefined) throw failure
    return {
      outcome,
      reason,
      directory,
      step,
      checkpoint: await latestCheckpoint(directory),
      best: await bestCheckpoint(directory),
      history: this.#journal.validations,
    }
  }

  #end(error?: unknown): void {
    const reason = error ?? hasEnded()
    this.#commands.end(reason)
    this.#progress.end(reason)
    this.#journal.stream.end(error)
  }
}

function hasEnded(): StoppedError {
  return new StoppedError('the run has ended', { hint: 'start or resume a run first' })
}
