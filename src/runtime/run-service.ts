import { randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import type { ControlledProcesses, RunControl, RunProcesses } from '../pipeline/ports/runs.js'
import { quoted } from '../plain-text.js'
import type { RunEvent } from '../training/events.js'
import type { Run, RunStatus } from '../training/run.js'
import type { RunClient } from '../transport/run-client.js'
import type { RunServer } from '../transport/run-server.js'
import { newSocketDirectory } from '../transport/socket-path.js'
import { writeWhole } from '../whole-file.js'
import { lockHolders } from './directory-lock.js'
import { reviveError } from './events.js'
import { type RequestAnswer, sendRequest, serveRequests, servesRequests } from './run-requests.js'
import { slurm } from './slurm.js'

/** File in a run directory with the address of its control service; it exists while the run does. Other nodes have their own. */
const CONTROL_FILE = 'control.json'
const NODE_CONTROL_FILE = /^control\.node-\d+\.json$/

const controlFile = z.object({ address: z.string(), token: z.string(), pid: z.number() })
const command = z.union([
  z.object({ type: z.literal('setLearningRate'), value: z.number() }),
  z.object({ type: z.enum(['pause', 'unpause', 'checkpoint']) }),
  z.object({ type: z.literal('stop'), reason: z.string() }),
])

/** A run of another process that can be controlled. */
export interface ControlledRun extends RunControl {
  readonly pid: number
  status(): Promise<RunStatus>
}

/** A run of another process of this node. */
export interface RemoteRun extends ControlledRun, AsyncIterable<RunEvent> {}

/**
 * Let other processes of the same user control a run, until the result is disposed.
 * @throws UsageError if a running process already trains in this directory
 */
export async function shareRun(run: Run, name = CONTROL_FILE): Promise<AsyncDisposable> {
  const other = await connectTo(join(run.directory, name))
  if (other) {
    other.close()
    throw new UsageError(`${run.directory} is being trained by process ${other.pid}`, {
      hint: `\`freetumor runs attach ${quoted(run.directory)}\` follows it`,
    })
  }
  const file = join(run.directory, name)
  const directory = await newSocketDirectory('run-')
  const token = randomBytes(16).toString('hex')
  const served = {
    status: () => run.status(),
    act: async (given: unknown) => carryOut(run, command.parse(given)),
    events: () => run,
  }
  let server: RunServer | null = null
  let requests: AsyncDisposable | null = null
  const close = async (): Promise<void> => {
    await rm(file, { force: true }).catch(() => {})
    await requests?.[Symbol.asyncDispose]()
    await server?.close()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const { openRunServer } = await import('../transport/run-server.js')
    server = await openRunServer({ directory, token, run: served })
    // node 0 answers for all
    if (name === CONTROL_FILE) requests = await serveRequests(run.directory, requestsTo(run))
    await writeWhole(file, JSON.stringify({ address: server.address, token, pid: process.pid }), 0o600)
  } catch (error) {
    await close().catch(() => {}) // the first cause counts
    throw error
  }
  return { [Symbol.asyncDispose]: close }
}

/** Return the run that a running process of this node trains in a directory; null if there is none. */
export async function connectRun(directory: string): Promise<RemoteRun | null> {
  const folder = resolve(directory)
  const names = await readdir(folder).catch(() => [] as string[])
  for (const name of [CONTROL_FILE, ...names.filter((one) => NODE_CONTROL_FILE.test(one))]) {
    const remote = await connectTo(join(folder, name))
    if (remote !== null) return remote
  }
  return null
}

/** Processes that train runs of this user, and those that hold the locks of run directories. */
export const runProcesses: RunProcesses = {
  async status(directory) {
    const remote = await controlRun(directory)
    try {
      return (await remote?.status()) ?? null
    } catch {
      return null // it ended between the two calls
    } finally {
      remote?.close()
    }
  },
  jobs: (ids) => slurm.states(ids),
  holders: (directories) => lockHolders(directories),
}

/** The same processes, with the way to control their runs. */
export const controlledProcesses: ControlledProcesses = { ...runProcesses, connect: controlRun }

async function connectTo(file: string): Promise<RemoteRun | null> {
  const control = await readControl(file)
  if (control === null) return null
  // gRPC only for a run that has an address
  const { openRunClient } = await import('../transport/run-client.js')
  const client = openRunClient(control.address, control.token)
  try {
    await client.status()
    return remoteRun(client, control.pid)
  } catch {
    // a killed process leaves its file
    client.close()
    return null
  }
}

async function readControl(file: string): Promise<z.infer<typeof controlFile> | null> {
  // an empty or partially written file belongs to no process
  const parsed = controlFile.safeParse(await readForeignJson(file).catch(() => null))
  return parsed.success ? parsed.data : null
}

const statusRequest = z.object({ type: z.literal('status') })

/** Return the answers of a run to request files. */
function requestsTo(run: Run): RequestAnswer {
  return async (given) =>
    statusRequest.safeParse(given).success
      ? { status: run.status(), pid: process.pid }
      : await carryOut(run, command.parse(given))
}

/** Time after which a process without an answer counts as unreachable. */
const ANSWER_WITHIN_MS = 5000

/**
 * Return the run that a process trains in a directory: of this node, or of a node of a cluster that answers request files.
 * Null if none answers.
 */
export async function controlRun(directory: string): Promise<ControlledRun | null> {
  return (await connectRun(directory)) ?? (await connectByFiles(resolve(directory)))
}

async function connectByFiles(directory: string): Promise<ControlledRun | null> {
  if (!(await servesRequests(directory))) return null
  const ask = async (): Promise<{ status: RunStatus; pid: number }> =>
    (await sendRequest(directory, { type: 'status' }, ANSWER_WITHIN_MS)) as { status: RunStatus; pid: number }
  try {
    const { pid } = await ask()
    const act = async (given: z.infer<typeof command>): Promise<number> =>
      Number(await sendRequest(directory, given, null))
    return {
      pid,
      status: async () => (await ask()).status,
      setLearningRate: (value) => act({ type: 'setLearningRate', value }),
      pause: () => act({ type: 'pause' }),
      unpause: () => act({ type: 'unpause' }),
      checkpoint: () => act({ type: 'checkpoint' }),
      stop: (reason = 'stop') => act({ type: 'stop', reason }),
      close: () => {},
    }
  } catch {
    return null // a killed process leaves its file
  }
}

function carryOut(run: Run, given: z.infer<typeof command>): Promise<number> {
  switch (given.type) {
    case 'setLearningRate':
      return run.setLearningRate(given.value)
    case 'stop':
      return run.stop(given.reason)
    default:
      return run[given.type]()
  }
}

function remoteRun(client: RunClient, pid: number): RemoteRun {
  const act = async (given: z.infer<typeof command>): Promise<number> => {
    const outcome = await client.act(given)
    if (outcome.$case === 'refusal') throw reviveError(outcome.value)
    return Number(outcome.value)
  }
  return {
    pid,
    status: async () => (await client.status()) as RunStatus,
    setLearningRate: (value) => act({ type: 'setLearningRate', value }),
    pause: () => act({ type: 'pause' }),
    unpause: () => act({ type: 'unpause' }),
    checkpoint: () => act({ type: 'checkpoint' }),
    stop: (reason = 'stop') => act({ type: 'stop', reason }),
    [Symbol.asyncIterator]: () => (client.watch() as AsyncIterable<RunEvent>)[Symbol.asyncIterator](),
    close: () => client.close(),
  }
}
