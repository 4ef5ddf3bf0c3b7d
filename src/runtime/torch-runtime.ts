import { EventEmitter, on } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { onAbort } from '../abort.js'
import type {
  EvaluateSpec,
  MeasuredCase,
  PicturedCase,
  PictureSpec,
  PredictedCase,
  PredictSpec,
  PreparedCase,
  PrepareSpec,
} from '../pipeline/ports/cases.js'
import type { CallOptions, CaseOutcome, NodePlace } from '../pipeline/ports/common.js'
import type {
  ComparedTumors,
  CompareTumorsSpec,
  FoundCopies,
  MeasuredTumors,
  RealismSpec,
} from '../pipeline/ports/realism.js'
import type { ModelRuntime } from '../pipeline/ports/runtime.js'
import type { ServeSpec } from '../pipeline/ports/serving.js'
import type { SynthesizeSpec } from '../pipeline/ports/synthesis.js'
import type { RuntimeEvent, StepFeed, TrainingSession, TrainingSpec } from '../pipeline/ports/training.js'
import { CallSession } from './call-session.js'
import { answerCaseRank, type CaseFeed } from './case-service.js'
import { exportFile, inspectFile } from './checkpoint.js'
import { lockDirectory } from './directory-lock.js'
import { strayText, toCaseOutcome, toCommand, toRuntimeEvent } from './events.js'
import { answerRank } from './feed-service.js'
import { jobStopped } from './job-errors.js'
import { inspectPlugin } from './plugin.js'
import { shareRun } from './run-service.js'
import {
  type AnswerRank,
  jobEvents,
  type RuntimeJob,
  startJob,
  type TorchRuntimeOptions,
} from './torch-job.js'
import { answerVariantRank } from './variant-service.js'
import { wandbTracker } from './wandb.js'
import { watchForHang } from './watchdog.js'

/** Return the model runtime that computes: PyTorch in one process, or in ranks under torchrun. */
export function torchRuntime(options: TorchRuntimeOptions = {}): ModelRuntime {
  return {
    train: (spec, feed, call) => new TorchSession(options, spec, feed, call),
    prepare: (spec, call) => runCases<PreparedCase>(options, spec, null, call),
    predict: (spec, call) => runPrediction(options, spec, call),
    evaluate: (spec, call) => runCases<MeasuredCase>(options, spec, null, call),
    picture: (spec, call) => runCases<PicturedCase>(options, spec, null, call),
    measureTumors: (spec, call) => runCases<MeasuredTumors>(options, spec, null, call),
    compareTumors: (spec, call) => runCases<ComparedTumors | FoundCopies>(options, spec, null, call),
    synthesize: (spec, feed, call) =>
      runFedRanks(options, spec, call, (rank, message) => answerVariantRank(feed, rank, message)),
    serve: (spec, call) => serveCalls(options, spec, call),
    inspect: (path, call) => inspectFile(path, { ...options, ...call }),
    exportWeights: (spec, call) => exportFile(spec, { ...options, ...call }),
    inspectPlugin: (spec, call) => inspectPlugin(spec, { ...options, ...call }),
    wandb: (directory, project, facts) => wandbTracker(options.python, directory, project, facts),
    share: shareRun,
    lock: (directory, work) => lockDirectory(directory, work, options.python),
  }
}

class TorchSession implements TrainingSession {
  readonly events: AsyncIterable<RuntimeEvent>
  readonly #job: Promise<RuntimeJob>
  readonly #place: NodePlace | undefined
  #paused = false
  #attached = false

  constructor(options: TorchRuntimeOptions, spec: TrainingSpec, feed: StepFeed, call: CallOptions) {
    const answer: AnswerRank = (rank, message) => answerRank(feed, spec.patchVoxels, rank, message)
    this.#job = startJob(options, spec, spec.processesPerNode, call, answer)
    this.#job.catch(() => {})
    this.#place = call.place
    void this.#job
      .then(({ control }) =>
        control.attached.then(() => {
          this.#attached = true
        }),
      )
      .catch(() => {})
    this.events = followTraining(this.#job, () => (this.#paused ? null : (call.hangSeconds ?? null)))
  }

  async command(command: Parameters<TrainingSession['command']>[0]): Promise<number> {
    const { control, process } = await this.#job
    // before all nodes attach, a graceful stop would block on the rendezvous
    if (command.type === 'stop' && this.#place !== undefined && !this.#attached) await process.kill()
    // A command waits while Python starts; a command to a job that never starts must not hang.
    // (After the attachment there is no race, because each race would stay with `ended` as long as the job runs.)
    if (!this.#attached) await Promise.race([control.attached, process.ended])
    const ack = await control.sendCommand(toCommand(command))
    // a paused job does not hang
    if (command.type === 'pause' || command.type === 'unpause') this.#paused = command.type === 'pause'
    return Number(ack.step)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const job = await this.#job.catch(() => null)
    await job?.close()
  }
}

/**
 * Iterate over the events of a training.
 * @param limit seconds without an event after which the job hangs; null for no limit
 */
async function* followTraining(
  starting: Promise<RuntimeJob>,
  limit: () => number | null,
): AsyncIterable<RuntimeEvent> {
  const job = await starting
  const watchdog = watchForHang(job, limit)
  let reported = 0
  try {
    for await (const { event, hello } of jobEvents(job)) {
      watchdog.sign()
      const translated = toRuntimeEvent(event, hello)
      if (translated.type === 'ready') watchdog.started()
      const strays = job.tensors?.strays ?? 0
      if (strays > reported && (reported === 0 || translated.type === 'finished')) {
        reported = strays
        yield { type: 'note', level: 'warning', text: strayText(strays) }
      }
      yield translated
      if (translated.type === 'finished') {
        watchdog.stop()
        // torchrun waits long for a node that has failed meanwhile
        await Promise.race([job.process.ended, setTimeout(FAREWELL_MS, undefined, { ref: false })])
        return
      }
    }
  } catch (error) {
    throw (await watchdog.hang()) ?? error
  } finally {
    watchdog.stop()
  }
}

/** Time for the processes of a finished job to exit. */
const FAREWELL_MS = 30_000

/** Run a job whose events are results by case. */
async function* runCases<T>(
  options: TorchRuntimeOptions,
  spec: PrepareSpec | EvaluateSpec | PictureSpec | RealismSpec | CompareTumorsSpec,
  ranks: number | null,
  call: CallOptions,
): AsyncIterable<CaseOutcome<T>> {
  if (spec.cases.length === 0) return
  const job = await startJob(options, spec, ranks, call, null)
  const release = onAbort(call.signal, () => void job.process.kill())
  try {
    for await (const { event } of jobEvents(job)) {
      const payload = event.event
      if (payload?.$case === 'caseResult')
        yield toCaseOutcome<T>(payload.value.caseId, payload.value.json, (value) => value as T)
      else if (payload?.$case === 'finished') {
        // killed while it exits, its pool of processes would leave a temporary folder
        await Promise.race([job.process.ended, setTimeout(FAREWELL_MS, undefined, { ref: false })])
        return
      }
    }
  } catch (error) {
    // prepared cases and measured tumors stay; an evaluation starts again from the beginning
    if (call.signal?.aborted)
      throw jobStopped(jobName(spec), spec.job !== 'evaluate' && spec.job !== 'picture')
    throw error
  } finally {
    release()
    await job.close()
  }
}

/** Return the name of a job, as commands have it. */
function jobName({ job }: { readonly job: string }): string {
  return job === 'compare-tumors' ? 'realism' : job
}

/** Iterate over the results in the order in which the ranks send them. */
async function* runPrediction(
  options: TorchRuntimeOptions,
  spec: PredictSpec,
  call: CallOptions,
): AsyncIterable<CaseOutcome<PredictedCase>> {
  if (spec.cases.length === 0) return
  const waiting = spec.cases.map(({ id }) => id)
  const results = new EventEmitter()
  const outcomes = on(results, 'outcome', { close: ['end'] })
  const feed: CaseFeed = {
    next: () => waiting.shift() ?? null,
    progress: (caseId, done, total) => call.windows?.(caseId, done, total),
    done: (caseId, json) =>
      void results.emit(
        'outcome',
        toCaseOutcome<PredictedCase>(caseId, json, (value) => value as PredictedCase),
      ),
  }
  const ended = new AbortController()
  const release = onAbort(call.signal, () => ended.abort())
  let left = false
  const running = runFedRanks(options, spec, { ...call, signal: ended.signal }, async (rank, message) =>
    answerCaseRank(feed, rank, message),
  ).then(
    () => void results.emit('end'),
    (error) => {
      if (!left) results.emit('error', error)
    },
  )
  try {
    for await (const [outcome] of outcomes) yield outcome as CaseOutcome<PredictedCase>
  } finally {
    // a reader that stops early ends the job
    left = true
    release()
    ended.abort()
    await running
  }
}

/** Run a job whose ranks request their work to completion. */
async function runFedRanks(
  options: TorchRuntimeOptions,
  spec: SynthesizeSpec | PredictSpec,
  call: CallOptions,
  answer: AnswerRank,
): Promise<void> {
  // one process needs no launcher, which would take 2 s to start
  const ranks = spec.processesPerNode > 1 ? spec.processesPerNode : null
  const job = await startJob(options, spec, ranks, call, answer)
  const release = onAbort(call.signal, () => void job.process.kill())
  try {
    for await (const { event } of jobEvents(job)) {
      const payload = event.event
      // other ranks may still be at work
      if (payload?.$case === 'finished') break
    }
    const end = await job.process.ended
    if (end.code !== 0) throw job.feedFailure() ?? (await job.explain(end))
  } catch (error) {
    if (call.signal?.aborted) throw jobStopped(spec.job)
    throw error
  } finally {
    release()
    await job.close()
  }
}

function serveCalls(options: TorchRuntimeOptions, spec: ServeSpec, call: CallOptions): CallSession {
  return new CallSession(async (answer) => {
    const job = await startJob(options, spec, null, call, answer)
    return { control: job.control, events: () => jobEvents(job), close: () => job.close() }
  })
}
