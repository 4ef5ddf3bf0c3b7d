import { join, resolve } from 'node:path'
import { onAbort } from '../../abort.js'
import type { RunConfig } from '../../config/schema.js'
import { EXIT, FreetumorError, StoppedError, SupersededError, UsageError } from '../../errors.js'
import { type Feeder, openFeeder } from '../../sampling/feeder.js'
import { abortReason, forwardStops } from '../../stop-signals.js'
import { bestCheckpoint, latestCheckpoint, markBest, pruneCheckpoints } from '../../training/checkpoints.js'
import type { Outcome, RunEvent } from '../../training/events.js'
import { RunJournal } from '../../training/journal.js'
import { causeOf, type Ownership } from '../../training/owner.js'
import { rewindRun } from '../../training/rewind.js'
import type { Run, RunResult, RunStatus, TrainOptions } from '../../training/run.js'
import { newRunId, writeExit, writeFailure } from '../../training/run-directory.js'
import { bestOf, reasonToEnd } from '../../training/selection.js'
import { makeFolder, writeWhole } from '../../whole-file.js'
import { keepsRun, nodeFile, placeOf } from '../nodes.js'
import { itemsPerEpoch, samplingPlan } from '../plan/sampling.js'
import { trainingSpec } from '../plan/spec.js'
import type { NodePlace } from '../ports/common.js'
import type { ModelRuntime } from '../ports/runtime.js'
import type { LiveCommand, RuntimeEvent, TrainingSpec } from '../ports/training.js'
import { tryRunReport } from '../report/write.js'
import { CommandQueue } from './commands.js'
import { deferred } from './deferred.js'
import { trainingFeed } from './feed.js'
import { gatherInputs } from './inputs.js'
import { openLedger } from './ledger-file.js'
import { type OpenedRun, openRun } from './open-run.js'
import {
  endedSilently,
  type Job,
  type Reached,
  refuseUnsaved,
  runJob,
  type StartPoint,
  stopOrFailure,
  waitUnless,
} from './restart.js'
import { type CountedCase, recordValidation } from './validation.js'

/** Starts a training at once. */
export function startTraining(config: RunConfig, runtime: ModelRuntime, options: TrainOptions = {}): Run {
  return new TrainingRun(config, runtime, options)
}

type Finished = Extract<RuntimeEvent, { type: 'finished' }>

class TrainingRun implements Run {
  readonly id = newRunId()
  readonly directory: string
  readonly result: Promise<RunResult>
  readonly #journal = new RunJournal(
    () => this.#file('events.jsonl'),
    () => this.#owner?.check(),
  )
  readonly #stopRequested = new AbortController()
  readonly #commands = new CommandQueue()
  #place: NodePlace | null = null
  #owner: Ownership | null = null
  #phase: RunStatus['phase'] = 'checking'
  #step = 0
  #steps: number | null = null
  #savedStep = -1
  #saved = deferred<void>()

  constructor(
    private readonly config: RunConfig,
    private readonly runtime: ModelRuntime,
    private readonly options: TrainOptions,
  ) {
    this.directory = resolve(options.resume ?? options.out ?? join('runs', config.name, this.id))
    const release = forwardStops(options, this.#stopRequested)
    this.result = this.#run().finally(release)
    this.result.catch(() => {}) // the iterator throws the same error
    this.#saved.promise.catch(() => {})
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    return this.#journal.stream[Symbol.asyncIterator]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#phase !== 'ended') this.#stopRequested.abort('disposed')
    await this.result.catch(() => {})
  }

  setLearningRate(value: number): Promise<number> {
    if (!(value > 0 && Number.isFinite(value)))
      throw new UsageError(`setLearningRate: a positive number was expected, got ${value}`)
    return this.#command({ type: 'setLearningRate', value })
  }

  async pause(): Promise<number> {
    const step = await this.#command({ type: 'pause' })
    this.#phase = 'paused'
    return step
  }

  async unpause(): Promise<number> {
    const step = await this.#command({ type: 'unpause' })
    this.#phase = 'training'
    return step
  }

  async checkpoint(): Promise<number> {
    const step = await this.#command({ type: 'checkpoint' })
    while (this.#savedStep < step) await this.#saved.promise
    return step
  }

  async stop(reason = 'stop'): Promise<number> {
    if (this.#phase === 'ended') throw new StoppedError('the run has ended')
    // what comes before the runtime obeys the signal only
    if (this.#steps === null) this.#stopRequested.abort(reason)
    try {
      return await this.#command({ type: 'stop', reason })
    } catch (error) {
      if (!(error instanceof StoppedError)) throw error
      // the run has ended at this step; `result` resolves later, when those who control the run have their answers
      return this.#step
    }
  }

  status(): RunStatus {
    const { id, directory } = this
    return { id, job: this.config.job, directory, phase: this.#phase, step: this.#step, steps: this.#steps }
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
      const { outcome, reason } = await this.#train(directory, opened)
      if (outcome === 'stopped') refuseUnsaved(directory, this.#reached(), reason)
      return await this.#conclude(directory, outcome, reason, outcome === 'completed' ? 0 : EXIT.stopped)
    } catch (caught) {
      const cause = causeOf(this.#owner, caught)
      const error = stopOrFailure(directory, this.#reached(), cause, this.#stopRequested.signal)
      if (error instanceof SupersededError) {
        await this.#journal.abandon()
        this.#end(error)
        throw error
      }
      if (error instanceof StoppedError)
        return await this.#conclude(directory, 'stopped', error.message, EXIT.stopped)
      const known = error instanceof FreetumorError ? error : null
      await this.#conclude(directory, 'failed', known?.message ?? String(error), known?.exitCode ?? 1, error)
      throw error
    }
  }

  async #open(): Promise<OpenedRun> {
    this.#place = placeOf(this.config, this.options)
    const opened = await openRun(this, this.config, this.runtime, this.options, this.#place)
    this.#step = opened.resumed?.step ?? 0
    this.#savedStep = opened.resumed?.step ?? -1
    this.#owner = opened.owner
    return opened
  }

  async #train(directory: string, { resumed, notes }: OpenedRun): Promise<Finished> {
    const { config, runtime, options } = this
    const { signal } = this.#stopRequested
    const note = (text: string, level?: 'info' | 'warning'): void => this.#journal.note(text, level)
    const anew = options.resume !== undefined && resumed === null && keepsRun(this.#place)
    // infinity keeps every line of a new run's log
    const firstStep = resumed?.step ?? (anew ? 0 : Number.POSITIVE_INFINITY)
    await this.#journal.open(directory, firstStep)
    if (resumed !== null) await markBest(directory, bestOf(this.#journal.validations)?.step ?? null)
    for (const { level, text } of notes) note(text, level)
    if (anew) note('the run has no checkpoint: it restarts from step 0', 'warning')
    const context = { runtime, signal, logDirectory: join(directory, 'logs'), note }
    const { weights, cases, fingerprint, sampled } = await gatherInputs(
      config,
      context,
      directory,
      resumed,
      options.acceptChanges ?? false,
      startTraining,
      () => {
        this.#phase = 'starting'
      },
    )
    const textureDirectory = join(resolve(config.prepare.cache), 'textures')
    await makeFolder(textureDirectory)
    const spec = trainingSpec(config, {
      runId: this.id,
      runDirectory: directory,
      ownerNumber: this.#owner?.number ?? 0,
      textureDirectory,
      resumeFrom: resumed?.directory ?? null,
      fingerprint,
      cases,
      weights,
    })
    this.#steps = spec.steps
    await writeWhole(join(directory, this.#file('plan.json')), `${JSON.stringify(spec, null, 2)}\n`)
    const feeder = await openFeeder(samplingPlan(config, sampled), { workers: config.sampling.workers })
    try {
      // AbortSignal, dispose and signals all become one stop command
      onAbort(signal, () => void this.stop(abortReason(signal)).catch(() => {}))
      const live = (from: StartPoint | null | undefined) =>
        this.#live(
          from === undefined ? spec : { ...spec, resumeFrom: from?.directory ?? null },
          from === undefined ? firstStep : (from?.step ?? 0),
          feeder,
          itemsPerEpoch(sampled),
        )
      return await runJob(this.#job(live), config.runtime.restarts)
    } finally {
      await feeder.close()
    }
  }

  #job<T>(live: Job<T>['attempt']): Job<T> {
    return {
      attempt: (from) => live(from).catch((error) => Promise.reject(causeOf(this.#owner, error))),
      reached: () => this.#reached(),
      stopWanted: () => this.#commands.stopWanted,
      failed: (card) => writeFailure(this.directory, card, this.#file('failure.json')),
      wait: (seconds) => {
        this.#phase = 'starting'
        return waitUnless(this.#commands.stopping, seconds)
      },
      rewind: () => this.#rewind(),
      record: (event) => this.#journal.emit(event),
    }
  }

  async #rewind(): Promise<StartPoint | null> {
    const { directory } = this
    // node 0 chooses the checkpoint; until it reports the step, the newest checkpoint that was reported is assumed
    if (!keepsRun(this.#place)) {
      this.#step = Math.max(0, this.#savedStep)
      this.#commands.renew(this.#step)
      return { step: this.#step, directory: null }
    }
    const checkpoint = await rewindRun(directory, this.#journal)
    const step = checkpoint?.step ?? 0
    this.#step = step
    this.#savedStep = checkpoint?.step ?? -1
    this.#commands.renew(step)
    return checkpoint
  }

  /** One life of the runtime: ledger and feed begin where it does. */
  async #live(spec: TrainingSpec, firstStep: number, feeder: Feeder, perEpoch: number): Promise<Finished> {
    const { validations } = this.#journal
    // it ended early, or died on the way to it
    const over =
      validations.at(-1)?.step === firstStep && reasonToEnd(validations, this.config.training.earlyStop)
    if (over) return { type: 'finished', outcome: 'completed', reason: over, step: firstStep }
    const { nodes, processesPerNode } = this.config.runtime
    const begun = deferred<number>()
    if (keepsRun(this.#place)) begun.resolve(firstStep)
    await using ledger = await openLedger(
      join(spec.runDirectory, this.#file('ledger.jsonl')),
      begun.promise,
      () => this.#owner?.check(),
    )
    const feed = trainingFeed({
      config: this.config,
      feeder,
      ranks: nodes * processesPerNode,
      ranksHere: processesPerNode,
      judges: spec.synthesis !== null,
      ready: ledger.ready,
      onLedger: (line) => ledger.write(line),
      onSynthesis: (event) => this.#journal.emit(event),
    })
    return await this.#follow(spec, feed, perEpoch, begun.resolve)
  }

  /** From the first event of the runtime to its last. */
  async #follow(
    spec: TrainingSpec,
    feed: ReturnType<typeof trainingFeed>,
    perEpoch: number,
    begin: (step: number) => void,
  ): Promise<Finished> {
    await using session = this.runtime.train(spec, feed, {
      signal: undefined,
      logDirectory: join(spec.runDirectory, 'logs'),
      hangSeconds: this.config.runtime.hangSeconds,
      place: this.#place ?? undefined,
    })
    this.#commands.open(session)
    let counts: CountedCase[] = []
    for await (const event of session.events) {
      switch (event.type) {
        case 'ready':
          this.#phase = 'training'
          this.#step = event.step
          if (event.step > 0) this.#savedStep = event.step // node 0 starts from a checkpoint of this step
          if (!keepsRun(this.#place)) await this.#journal.open(this.directory, event.step)
          begin(event.step)
          this.#journal.emit({ ...event, type: 'started', job: spec.job, run: this.id, steps: spec.steps })
          break
        case 'stepDone': {
          this.#step = event.step + 1
          const epoch = Math.floor((event.step * spec.itemsPerStep) / perEpoch)
          this.#journal.emit({ ...event, type: 'step', job: spec.job, epoch })
          break
        }
        case 'validationCase':
          counts.push(event)
          break
        case 'validationDone': {
          const verdict = await recordValidation(this.config, event.step, counts, this.#journal)
          // not awaited: the answer comes after events that this loop must read
          if (keepsRun(this.#place)) session.command(verdict).catch(() => {})
          counts = []
          break
        }
        case 'checkpointSaved':
          this.#savedStep = event.step
          this.#saved.resolve()
          this.#saved = deferred()
          this.#saved.promise.catch(() => {})
          this.#journal.emit({ ...event, type: 'checkpoint' })
          if (!keepsRun(this.#place)) break
          await markBest(spec.runDirectory, bestOf(this.#journal.validations)?.step ?? null)
          await pruneCheckpoints(spec.runDirectory, this.config.training.keepCheckpoints)
          break
        case 'note':
          this.#journal.emit(event)
          break
        case 'finished':
          this.#step = event.step
          return event
      }
    }
    throw endedSilently(this.directory)
  }

  #reached(): Reached {
    return { step: this.#step, savedStep: this.#savedStep }
  }

  /** The name of one of the run's files on this host. */
  #file(name: string): string {
    return nodeFile(name, this.#place)
  }

  async #conclude(
    directory: string,
    outcome: Outcome,
    reason: string,
    exitCode: number,
    error?: unknown,
  ): Promise<RunResult> {
    this.#owner?.check()
    // A log that cannot be written any more must not keep the run from saying how it ended.
    const told = await this.#journal.close({ type: 'finished', outcome, reason, step: this.#step })
    if (keepsRun(this.#place)) await tryRunReport(directory, (text) => this.#journal.note(text, 'warning'))
    const record = { outcome, reason, step: this.#step, exitCode }
    const unwritten = await writeExit(directory, record, this.#file('exit.json')).catch((why: unknown) => why)
    const failure = error ?? told ?? unwritten
    this.#end(failure)
    if (error === undefined && failure !== undefined) throw failure
    return {
      outcome,
      reason,
      directory,
      step: this.#step,
      checkpoint: await latestCheckpoint(directory),
      best: await bestCheckpoint(directory),
      history: this.#journal.validations,
    }
  }

  #end(error?: unknown): void {
    this.#phase = 'ended'
    const reason = error ?? new StoppedError('the run has ended')
    this.#commands.end(reason)
    // a checkpoint that was not written when the run failed never will be
    this.#saved.reject(reason)
    this.#journal.stream.end(error)
  }
}
