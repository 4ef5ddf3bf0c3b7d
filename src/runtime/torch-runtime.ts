import { randomBytes } from 'node:crypto'
import { EventEmitter, on } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { onAbort } from '../abort.js'
import type { FreetumorError } from '../errors.js'
import type { Hello, JobEvent } from '../generated/freetumor/runtime/v1/control.js'
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
import type { ModelRuntime } from '../pipeline/ports/runtime.js'
import type { ServeSpec } from '../pipeline/ports/serving.js'
import type { SynthesizeSpec, VariantFeed } from '../pipeline/ports/synthesis.js'
import type { RuntimeEvent, StepFeed, TrainingSession, TrainingSpec } from '../pipeline/ports/training.js'
import { type ControlServer, openControlServer } from '../transport/control-server.js'
import type { Message } from '../transport/frames.js'
import { newSocketDirectory } from '../transport/socket-path.js'
import { openTensorServer, type TensorServer } from '../transport/tensor-server.js'
import { writeWhole } from '../whole-file.js'
import { CallSession } from './call-session.js'
import { answerCaseRank, type CaseFeed } from './case-service.js'
import { exportFile, inspectFile } from './checkpoint.js'
import { lockDirectory } from './directory-lock.js'
import { strayText, toCaseOutcome, toCommand, toRuntimeEvent } from './events.js'
import { clearFailures, explainFailure, failureFolder, oomKills } from './failure.js'
import { answerRank } from './feed-service.js'
import { jobStopped } from './job-errors.js'
import { inspectPlugin } from './plugin.js'
import type { ProcessEnd, RuntimeProcess } from './process.js'
import { isOnlyRank, ONLY_RANK, RANK_STORE, runtimeArgv, startProcess } from './process.js'
import { cleanEnvironment, compilerCache, resolvePython } from './python.js'
import { networkOf, rendezvousOf } from './rendezvous.js'
import { shareRun } from './run-service.js'
import { answerVariantRank } from './variant-service.js'
import { wandbTracker } from './wandb.js'
import { watchForHang } from './watchdog.js'

export interface TorchRuntimeOptions {
  /** The Python to use. Default: FREETUMOR_PYTHON, then ./.venv. */
  readonly python?: string | null | undefined
}

/** Return the model runtime that computes: PyTorch in one process, or in ranks under torchrun. */
export function torchRuntime(options: TorchRuntimeOptions = {}): ModelRuntime {
  return {
    train: (spec, feed, call) => new TorchSession(options, spec, feed, call),
    prepare: (spec, call) => runCases<PreparedCase>(options, spec, null, call),
    predict: (spec, call) => runPrediction(options, spec, call),
    evaluate: (spec, call) => runCases<MeasuredCase>(options, spec, null, call),
    picture: (spec, call) => runCases<PicturedCase>(options, spec, null, call),
    synthesize: (spec, feed, call) => runSynthesis(options, spec, feed, call),
    serve: (spec, call) => serveCalls(options, spec, call),
    inspect: (path, call) => inspectFile(path, { ...options, ...call }),
    exportWeights: (spec, call) => exportFile(spec, { ...options, ...call }),
    inspectPlugin: (spec, call) => inspectPlugin(spec, { ...options, ...call }),
    wandb: (directory, project, facts) => wandbTracker(options.python, directory, project, facts),
    share: shareRun,
    lock: (directory, work) => lockDirectory(directory, work, options.python),
  }
}

type JobSpec =
  | TrainingSpec
  | PrepareSpec
  | PredictSpec
  | EvaluateSpec
  | PictureSpec
  | SynthesizeSpec
  | ServeSpec
/** Function that answers a message of a rank over the feed. */
type AnswerRank = (rank: number, message: Message) => Promise<Message | undefined>

/** A started job: the process, its control stream, and for a training its feed. */
interface Job {
  readonly process: RuntimeProcess
  readonly control: ControlServer
  readonly tensors: TensorServer | null
  readonly logDirectory: string
  /** Rank of this node. */
  readonly node: number
  /** Return the error of a failed process. */
  explain(end: ProcessEnd): Promise<FreetumorError>
  /** Set when the feed could not answer a rank: the cause of the job's failure, reported before any other. */
  feedFailure(): unknown
  close(): Promise<void>
}

async function startJob(
  options: TorchRuntimeOptions,
  spec: JobSpec,
  ranks: number | null,
  call: CallOptions,
  answer: AnswerRank | null,
): Promise<Job> {
  const python = resolvePython({ explicit: options.python ?? undefined })
  const { logDirectory } = call
  const node = call.place?.nodeRank ?? 0
  const rendezvous = rendezvousOf(call.place, call.hangSeconds ?? null)
  const onlyRank = isOnlyRank(ranks, rendezvous)
  const network = onlyRank || ranks === null ? {} : await networkOf(rendezvous?.rendezvous ?? null)
  const threads = 'threadsPerProcess' in spec ? spec.threadsPerProcess : 1
  const environment = { ...network, ...cleanEnvironment({ threads }) }
  await clearFailures(call.logDirectory, node)
  const oomKillsBefore = await oomKills()
  const runId = 'runId' in spec ? spec.runId : randomBytes(8).toString('hex')
  const token = randomBytes(16).toString('hex')
  const directory = await newSocketDirectory('')
  const opened: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne()
  }
  try {
    const jobFile = join(directory, 'job.json')
    await writeWhole(jobFile, JSON.stringify(spec), 0o600)
    const control = await openControlServer({ directory, token })
    opened.push(() => control.close())
    let feedFailure: unknown
    let started: RuntimeProcess | null = null
    const tensors = answer
      ? await openTensorServer({
          directory,
          token,
          onMessage: answer,
          onFailure: (error) => {
            feedFailure ??= error
            void started?.kill()
          },
        })
      : null
    if (tensors) opened.push(() => closeFeed(tensors, call))
    const process = startProcess({
      argv: runtimeArgv(python, ranks, call.logDirectory, jobFile, rendezvous),
      environment: {
        // NCCL's own watchdog would abort a job that was suspended for minutes; ours counts only running time
        TORCH_NCCL_ENABLE_MONITORING: '0',
        ...environment,
        TORCHINDUCTOR_CACHE_DIR: await compilerCache(join(directory, 'torchinductor')),
        FREETUMOR_CONTROL: control.address,
        FREETUMOR_TOKEN: token,
        FREETUMOR_LOG_DIRECTORY: call.logDirectory,
        FREETUMOR_FAILURES: failureFolder(call.logDirectory, node),
        ...(tensors ? { FREETUMOR_FEED: tensors.address } : {}),
        ...(call.profile ? { FREETUMOR_PROFILE: '1' } : {}),
        ...(onlyRank ? ONLY_RANK : {}),
        ...(rendezvous ? {} : { FREETUMOR_STORE: join(directory, RANK_STORE) }),
      },
      logDirectory,
      runId,
      node,
    })
    started = process
    opened.push(() => process.kill())
    // the feed may have failed before the process started
    if (feedFailure !== undefined) void process.kill()
    return {
      process,
      control,
      tensors,
      logDirectory,
      node,
      explain: (end) => explainFailure({ logDirectory, node, end, oomKillsBefore, onlyRank }),
      feedFailure: () => feedFailure,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Close the feed; note once how many messages of unknown processes it dropped. */
async function closeFeed(tensors: TensorServer, call: CallOptions): Promise<void> {
  await tensors.close()
  if (tensors.strays > 0) call.note?.(strayText(tensors.strays), 'warning')
}

class TorchSession implements TrainingSession {
  readonly events: AsyncIterable<RuntimeEvent>
  readonly #job: Promise<Job>
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
  starting: Promise<Job>,
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

/** Time for the other ranks to end, and for the launcher to report which failed first. */
const FAILURE_REPORT_MS = 10_000
/** Time for finished ranks to exit. */
const FAREWELL_MS = 30_000

/** Run a job whose events are results by case. */
async function* runCases<T>(
  options: TorchRuntimeOptions,
  spec: PrepareSpec | EvaluateSpec | PictureSpec,
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
      else if (payload?.$case === 'finished') return
    }
  } catch (error) {
    // prepared cases stay; an evaluation starts again from the beginning
    if (call.signal?.aborted) throw jobStopped(spec.job, spec.job === 'prepare')
    throw error
  } finally {
    release()
    await job.close()
  }
}

async function runSynthesis(
  options: TorchRuntimeOptions,
  spec: SynthesizeSpec,
  feed: VariantFeed,
  call: CallOptions,
): Promise<void> {
  await runFedRanks(options, spec, call, (rank, message) => answerVariantRank(feed, rank, message))
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

/** Iterate over the events of the control stream until it ends. If the process fails first, throw its error. */
async function* jobEvents(job: Job): AsyncIterable<{ event: JobEvent; hello: Hello }> {
  const failed = job.process.ended.then(async (end) => {
    throw job.feedFailure() ?? (await job.explain(end))
  })
  failed.catch(() => {})
  const hello = await Promise.race([job.control.attached, failed])
  const messages = job.control.messages[Symbol.asyncIterator]()
  for (;;) {
    // A process that fails ends its stream after its last event; the process then has the reason.
    const next = await messages.next()
    if (next.done) return await failed
    if (next.value.message?.$case !== 'event') continue
    const event = next.value.message.value
    // the failure of a rank may be a consequence: the first failure is known when all ranks have ended
    if (event.event?.$case === 'failed') {
      await Promise.race([job.process.ended, setTimeout(FAILURE_REPORT_MS, undefined, { ref: false })])
      await job.process.kill()
      return await failed
    }
    yield { event, hello }
  }
}
