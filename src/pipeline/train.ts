import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { printConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import { DataError, EXIT, FreetumorError, RuntimeCrashError, StoppedError, UsageError } from '../errors.js'
import { type JsonLog, openJsonLog } from '../jsonl.js'
import { openFeeder } from '../sampling/feeder.js'
import { bestCheckpoint, latestCheckpoint, markBest, pruneCheckpoints } from '../training/checkpoints.js'
import { openEventLog, readValidations } from '../training/event-log.js'
import { EventStream } from '../training/event-stream.js'
import type { Outcome, RunEvent } from '../training/events.js'
import type { Run, RunResult, RunStatus, TrainOptions } from '../training/run.js'
import { makeRunDirectory, newRunId, writeExit, writeWhole } from '../training/run-directory.js'
import { bestOf, reasonToEnd, type Validation } from '../training/selection.js'
import { prepareData } from './data.js'
import { deferred } from './deferred.js'
import { trainingFeed } from './feed.js'
import type { LiveCommand, ModelRuntime, RuntimeEvent, TrainingSession, TrainingSpec } from './ports.js'
import { writeRunReport } from './report.js'
import {
  compareData,
  fingerprintOf,
  openResumePoint,
  type ResumePoint,
  recordInputs,
  refuseNothingToResume,
} from './resume.js'
import { itemsPerEpoch, sampledCases, samplingPlan, trainingSpec } from './specs.js'
import { type CountedCase, judgeValidation } from './validation.js'
import { earlierWeights } from './weights.js'

/** Starts a training at once. */
export function startTraining(config: RunConfig, runtime: ModelRuntime, options: TrainOptions = {}): Run {
  return new TrainingRun(config, runtime, options)
}

type Untimed = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 'time'> : never) : never

class TrainingRun implements Run {
  readonly id = newRunId()
  readonly directory: string
  readonly result: Promise<RunResult>
  readonly #stream = new EventStream()
  readonly #stopRequested = new AbortController()
  readonly #history: Validation[] = []
  readonly #session = deferred<TrainingSession>()
  #log: JsonLog<RunEvent> | null = null
  #phase: RunStatus['phase'] = 'starting'
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
    // nobody need listen to either: the iterator throws the same error
    this.#session.promise.catch(() => {})
    this.result = this.#run()
    this.result.catch(() => {})
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    return this.#stream[Symbol.asyncIterator]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#phase !== 'ended') this.#requestStop('disposed')
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
    // what is on its way to the disk when the run ends badly never arrives
    while (this.#savedStep < step) await Promise.race([this.#saved.promise, this.#ended()])
    return step
  }

  stop(reason = 'stop'): Promise<number> {
    return this.#command({ type: 'stop', reason })
  }

  status(): RunStatus {
    const { id, directory } = this
    return { id, job: this.config.job, directory, phase: this.#phase, step: this.#step, steps: this.#steps }
  }

  async #command(command: LiveCommand): Promise<number> {
    const step = await (await this.#session.promise)
      .command(command)
      .catch((error: unknown) => this.#refused(error))
    this.#emit({
      type: 'command',
      command: command.type,
      step,
      ...(command.type === 'setLearningRate' ? { value: command.value } : {}),
    })
    return step
  }

  /** A command that the end of the run overtook fails with the reason of that end. */
  async #refused(error: unknown): Promise<never> {
    if (error instanceof UsageError) throw error
    return this.#ended()
  }

  async #ended(): Promise<never> {
    await this.result
    throw new StoppedError('the run has ended')
  }

  async #run(): Promise<RunResult> {
    const opened = await this.#open().catch((error: unknown) => {
      this.#end(error)
      throw error
    })
    await using _shared = opened.shared
    const { directory } = this
    try {
      const finished = await this.#train(directory, opened.resumed)
      const outcome = finished.outcome
      return await this.#conclude(
        directory,
        outcome,
        finished.reason,
        outcome === 'completed' ? 0 : EXIT.stopped,
      )
    } catch (error) {
      if (error instanceof StoppedError)
        return await this.#conclude(directory, 'stopped', error.message, EXIT.stopped)
      const known = error instanceof FreetumorError ? error : null
      await this.#conclude(directory, 'failed', known?.message ?? String(error), known?.exitCode ?? 1, error)
      throw error
    }
  }

  /** A run that is refused here is left as it was. */
  async #open(): Promise<{ readonly resumed: ResumePoint | null; readonly shared: AsyncDisposable }> {
    const { directory, config } = this
    const { resume, acceptChanges = false } = this.options
    if (resume === undefined) await makeRunDirectory(directory)
    else await refuseNothingToResume(directory)
    // first of all: another process may be at work in it
    const shared = await this.runtime.share(this)
    try {
      const resumed = resume === undefined ? null : await openResumePoint(directory, config, acceptChanges)
      // of a run that goes on, what it says is over
      if (resumed !== null) await rm(join(directory, 'exit.json'), { force: true })
      else await writeWhole(join(directory, 'config.resolved.yaml'), printConfig(config))
      this.#step = resumed?.step ?? 0
      return { resumed, shared }
    } catch (error) {
      await shared[Symbol.asyncDispose]()
      throw error
    }
  }

  async #train(
    directory: string,
    resumed: ResumePoint | null,
  ): Promise<Extract<RuntimeEvent, { type: 'finished' }>> {
    const { config, runtime } = this
    const { signal, acceptChanges = false } = this.options
    const note = (text: string, level: 'info' | 'warning' = 'info'): void =>
      this.#emit({ type: 'note', level, text })
    // infinity keeps every line of a new run's log
    const firstStep = resumed?.step ?? Number.POSITIVE_INFINITY
    const events = join(directory, 'events.jsonl')
    this.#log = await openEventLog(events, firstStep)
    if (resumed !== null) {
      this.#history.push(...(await readValidations(events)))
      await markBest(directory, bestOf(this.#history)?.step ?? null)
      // it ended early, or was killed on the way to it
      const over =
        this.#history.at(-1)?.step === resumed.step && reasonToEnd(this.#history, config.training.earlyStop)
      if (over) return { type: 'finished', outcome: 'completed', reason: over, step: resumed.step }
    }
    for (const { level, text } of resumed?.notes ?? []) note(text, level)
    const context = { runtime, signal, logDirectory: join(directory, 'logs'), note }
    const weights = await earlierWeights(config, context, startTraining)
    const cases = await prepareData(config, context)
    const fingerprint = await fingerprintOf(config, cases, weights)
    if (resumed !== null) {
      const told = await compareData(directory, resumed, fingerprint, cases, acceptChanges)
      if (told !== null) note(told.text, told.level)
    }
    await recordInputs(directory, config, cases)
    const sampled = sampledCases(config, cases)
    if (sampled.length === 0)
      throw new DataError(
        `job ${config.job} has no training case: every data set is empty, held out or of another role`,
        {
          hint: '`freetumor data check` on the config tells which',
        },
      )
    const textureDirectory = join(resolve(config.prepare.cache), 'textures')
    await mkdir(textureDirectory, { recursive: true })
    const spec = trainingSpec(config, {
      runId: this.id,
      runDirectory: directory,
      textureDirectory,
      resumeFrom: resumed?.directory ?? null,
      fingerprint,
      cases,
      weights,
    })
    this.#steps = spec.steps
    await writeWhole(join(directory, 'plan.json'), `${JSON.stringify(spec, null, 2)}\n`)
    await using ledger = await openJsonLog(join(directory, 'ledger.jsonl'), {
      keep: (line: { readonly step?: number }) => (line.step ?? 0) < firstStep,
    })
    const feeder = await openFeeder(samplingPlan(config, sampled), { workers: config.sampling.workers })
    try {
      const feed = trainingFeed({
        config,
        feeder,
        ranks: config.runtime.processesPerNode,
        onLedger: (line) => ledger.write(line),
        onSynthesis: (event) => this.#emit(event),
      })
      return await this.#follow(spec, feed, itemsPerEpoch(sampled))
    } finally {
      await feeder.close()
    }
  }

  /** From the first event of the runtime to its last. */
  async #follow(
    spec: TrainingSpec,
    feed: ReturnType<typeof trainingFeed>,
    perEpoch: number,
  ): Promise<Extract<RuntimeEvent, { type: 'finished' }>> {
    await using session = this.runtime.train(spec, feed, {
      signal: undefined,
      logDirectory: join(spec.runDirectory, 'logs'),
    })
    this.#session.resolve(session)
    this.#passOnStops()
    let counts: CountedCase[] = []
    for await (const event of session.events) {
      switch (event.type) {
        case 'ready':
          this.#phase = 'training'
          this.#step = event.step
          this.#emit({ ...event, type: 'started', job: spec.job, run: this.id, steps: spec.steps })
          break
        case 'stepDone': {
          this.#step = event.step + 1
          const epoch = Math.floor((event.step * spec.itemsPerStep) / perEpoch)
          this.#emit({ ...event, type: 'step', job: spec.job, epoch })
          break
        }
        case 'validationCase':
          counts.push(event)
          break
        case 'validationDone': {
          const { event: told, verdict } = judgeValidation(this.config, event.step, counts, this.#history)
          this.#history.push(told)
          this.#emit(told)
          // a run that is killed after it had the verdict finds the validation in its log
          await this.#log?.flush()
          // not awaited: the answer comes after events that this loop must read
          session.command(verdict).catch(() => {})
          counts = []
          break
        }
        case 'checkpointSaved':
          this.#savedStep = event.step
          this.#saved.resolve()
          this.#saved = deferred()
          this.#emit({ ...event, type: 'checkpoint' })
          await markBest(spec.runDirectory, bestOf(this.#history)?.step ?? null)
          await pruneCheckpoints(spec.runDirectory, this.config.training.keepCheckpoints)
          break
        case 'note':
          this.#emit(event)
          break
        case 'finished':
          this.#step = event.step
          return event
      }
    }
    throw new RuntimeCrashError('the runtime ended without saying how', {
      hint: `see ${spec.runDirectory}/logs`,
    })
  }

  #requestStop(reason: string): void {
    this.#stopRequested.abort(reason)
  }

  /** AbortSignal, dispose and signals all become one stop command. */
  #passOnStops(): void {
    const signals = [this.#stopRequested.signal, ...(this.options.signal ? [this.options.signal] : [])]
    const any = AbortSignal.any(signals)
    const stop = (): void => {
      const reason = typeof any.reason === 'string' ? any.reason : 'aborted'
      this.stop(reason).catch(() => {})
    }
    if (any.aborted) stop()
    else any.addEventListener('abort', stop, { once: true })
  }

  async #conclude(
    directory: string,
    outcome: Outcome,
    reason: string,
    exitCode: number,
    error?: unknown,
  ): Promise<RunResult> {
    // A log that cannot be written any more must not keep the run from saying how it ended.
    const told = await this.#closeLog({ type: 'finished', outcome, reason, step: this.#step })
    await this.#report(directory)
    await writeExit(directory, { outcome, reason, step: this.#step, exitCode })
    this.#end(error ?? told)
    if (error === undefined && told !== undefined) throw told
    return {
      outcome,
      reason,
      directory,
      step: this.#step,
      checkpoint: await latestCheckpoint(directory),
      best: await bestCheckpoint(directory),
      history: this.#history,
    }
  }

  /** The last event, then the end of the log; what went wrong with the log, if anything did. */
  async #closeLog(last: Untimed): Promise<unknown> {
    try {
      this.#emit(last)
      await this.#log?.close()
      return undefined
    } catch (error) {
      return error
    } finally {
      this.#log = null
    }
  }

  /** A page that cannot be made must not cost the run its result. */
  async #report(directory: string): Promise<void> {
    await writeRunReport(directory).catch((error: unknown) => {
      const text = `report.html could not be made: ${error instanceof Error ? error.message : error}`
      this.#stream.push({ time: new Date().toISOString(), type: 'note', level: 'warning', text })
    })
  }

  #end(error?: unknown): void {
    this.#phase = 'ended'
    this.#session.reject(error ?? new StoppedError('the run has ended'))
    this.#stream.end(error)
  }

  #emit(event: Untimed): void {
    const timed = { time: new Date().toISOString(), ...event } as RunEvent
    this.#log?.write(timed)
    this.#stream.push(timed)
  }
}
