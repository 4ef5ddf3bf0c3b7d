import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { printConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import { DataError, EXIT, FreetumorError, RuntimeCrashError, StoppedError, UsageError } from '../errors.js'
import { type JsonLog, openJsonLog } from '../jsonl.js'
import { openFeeder } from '../sampling/feeder.js'
import { openEventLog, readEvents } from '../training/event-log.js'
import { EventStream } from '../training/event-stream.js'
import type { Outcome, RunEvent } from '../training/events.js'
import type { Run, RunResult, RunStatus, TrainOptions } from '../training/run.js'
import {
  latestCheckpoint,
  makeRunDirectory,
  newRunId,
  writeExit,
  writeWhole,
} from '../training/run-directory.js'
import { selectTumorDice } from '../training/selection.js'
import { prepareData } from './data.js'
import { trainingFeed } from './feed.js'
import type { ModelRuntime, RuntimeCommand, RuntimeEvent, TrainingSession, TrainingSpec } from './ports.js'
import { writeRunReport } from './report.js'
import { itemsPerEpoch, sampledCases, samplingPlan, trainingLabels, trainingSpec } from './specs.js'
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
  readonly #history: { step: number; tumorDice: number | null }[] = []
  readonly #session = deferred<TrainingSession>()
  #log: JsonLog<RunEvent> | null = null
  #phase: RunStatus['phase'] = 'starting'
  #step = 0
  #steps: number | null = null
  #bestDice = -1
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

  async #command(command: RuntimeCommand): Promise<number> {
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
      const finished = await this.#train(directory, opened.resumeFrom)
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
  async #open(): Promise<{ readonly resumeFrom: string | null; readonly shared: AsyncDisposable }> {
    const { directory } = this
    const resumeFrom = await resumePoint(this.options.resume)
    if (resumeFrom === null) await makeRunDirectory(directory)
    const shared = await this.runtime.share(this)
    // of a run that goes on, what it says is over
    if (resumeFrom !== null) await rm(join(directory, 'exit.json'), { force: true })
    else await writeWhole(join(directory, 'config.resolved.yaml'), printConfig(this.config))
    return { resumeFrom, shared }
  }

  async #train(
    directory: string,
    resumeFrom: string | null,
  ): Promise<Extract<RuntimeEvent, { type: 'finished' }>> {
    const { config, runtime } = this
    const { signal } = this.options
    const note = (text: string, level: 'info' | 'warning' = 'info'): void =>
      this.#emit({ type: 'note', level, text })
    const events = join(directory, 'events.jsonl')
    this.#log = await openEventLog(events, resumeStep(resumeFrom))
    if (resumeFrom !== null) await this.#recall(events)
    const context = { runtime, signal, logDirectory: join(directory, 'logs'), note }
    const cases = await prepareData(config, context)
    const weights = await earlierWeights(config, context, startTraining)
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
      resumeFrom,
      cases,
      weights,
    })
    this.#steps = spec.steps
    await writeWhole(join(directory, 'plan.json'), `${JSON.stringify(spec, null, 2)}\n`)
    await using ledger = await openJsonLog(join(directory, 'ledger.jsonl'), {
      keep: (line: { readonly step?: number }) => (line.step ?? 0) < resumeStep(resumeFrom),
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
    const labels = trainingLabels(this.config)
    let counts: Extract<RuntimeEvent, { type: 'validationCase' }>[] = []
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
          const selection = selectTumorDice(
            counts.map((one) => one.counts),
            labels.tumorIds,
          )
          const dice = selection.tumorDice
          const best = dice !== null && dice > this.#bestDice
          if (best) this.#bestDice = dice
          this.#history.push({ step: event.step, tumorDice: dice })
          this.#emit({ type: 'validation', step: event.step, ...selection, numCases: counts.length, best })
          counts = []
          break
        }
        case 'checkpointSaved':
          this.#savedStep = event.step
          this.#saved.resolve()
          this.#saved = deferred()
          this.#emit({ ...event, type: 'checkpoint' })
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

  /** The validations that an earlier part of the run made. */
  async #recall(events: string): Promise<void> {
    for await (const event of readEvents(events)) {
      if (event.type !== 'validation') continue
      this.#history.push({ step: event.step, tumorDice: event.tumorDice })
      this.#bestDice = Math.max(this.#bestDice, event.tumorDice ?? -1)
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

async function resumePoint(run: string | undefined): Promise<string | null> {
  if (run === undefined) return null
  const checkpoint = await latestCheckpoint(run)
  if (checkpoint === null)
    throw new UsageError(`${run} holds no complete checkpoint to go on from`, { hint: 'start the run anew' })
  return checkpoint
}

/** The step a checkpoint directory `.../step_00000100` goes on from; infinity keeps every line of a new run's log. */
function resumeStep(checkpoint: string | null): number {
  return checkpoint === null ? Number.POSITIVE_INFINITY : Number(checkpoint.slice(-8))
}

interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue
    reject = onError
  })
  return { promise, resolve, reject }
}
