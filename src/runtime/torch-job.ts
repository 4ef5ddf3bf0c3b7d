import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { FreetumorError } from '../errors.js'
import type { Hello, JobEvent } from '../generated/freetumor/runtime/v1/control.js'
import type { EvaluateSpec, PictureSpec, PredictSpec, PrepareSpec } from '../pipeline/ports/cases.js'
import type { CallOptions } from '../pipeline/ports/common.js'
import type { CompareTumorsSpec, RealismSpec } from '../pipeline/ports/realism.js'
import type { ServeSpec } from '../pipeline/ports/serving.js'
import type { SynthesizeSpec } from '../pipeline/ports/synthesis.js'
import type { TrainingSpec } from '../pipeline/ports/training.js'
import type { ControlServer } from '../transport/control-server.js'
import type { Message } from '../transport/frames.js'
import {
  makePythonTemporaryFolder,
  newSocketDirectory,
  removeSocketDirectory,
} from '../transport/socket-path.js'
import type { TensorServer } from '../transport/tensor-server.js'
import { writeWhole } from '../whole-file.js'
import { strayText } from './events.js'
import { clearFailures, explainFailure, failureFolder, oomKills } from './failure.js'
import type { ProcessEnd, RuntimeProcess } from './process.js'
import { isOnlyRank, ONLY_RANK, RANK_STORE, runtimeArgv, startProcess } from './process.js'
import { cleanEnvironment, compilerCache, resolvePython } from './python.js'
import { networkOf, rendezvousOf } from './rendezvous.js'

export interface TorchRuntimeOptions {
  /** The Python to use. Default: FREETUMOR_PYTHON, then ./.venv. */
  readonly python?: string | null | undefined
}

/** Work that a job of the runtime gets. */
type JobSpec =
  | TrainingSpec
  | PrepareSpec
  | PredictSpec
  | EvaluateSpec
  | PictureSpec
  | RealismSpec
  | CompareTumorsSpec
  | SynthesizeSpec
  | ServeSpec

/** Function that answers a message of a rank over the feed. */
export type AnswerRank = (rank: number, message: Message) => Promise<Message | undefined>

/** A started job: the process, its control stream, and for a training its feed. */
export interface RuntimeJob {
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

/**
 * Start a job: one process without `ranks`, else ranks under torchrun.
 * @param answer answers the messages of ranks over the feed; null without a feed
 */
export async function startJob(
  options: TorchRuntimeOptions,
  spec: JobSpec,
  ranks: number | null,
  call: CallOptions,
  answer: AnswerRank | null,
): Promise<RuntimeJob> {
  const python = resolvePython({ explicit: options.python ?? undefined })
  // gRPC and ZeroMQ are a fifth of the start of a command, and most commands need none
  const { openControlServer } = await import('../transport/control-server.js')
  const { openTensorServer } = await import('../transport/tensor-server.js')
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
  const opened: (() => Promise<void>)[] = [() => removeSocketDirectory(directory)]
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
        ...(await makePythonTemporaryFolder(directory)),
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

/** Time for the other ranks to end, and for the launcher to report which failed first. */
const FAILURE_REPORT_MS = 10_000

/** Iterate over the events of the control stream until it ends. If the process fails first, throw its error. */
export async function* jobEvents(job: RuntimeJob): AsyncIterable<{ event: JobEvent; hello: Hello }> {
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
