import { randomUUID } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { mkdtemp, readFile, rm, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { totalmem, userInfo } from 'node:os'
import { join } from 'node:path'
import { onAbort } from '../abort.js'
import { FreetumorError } from '../errors.js'
import type { NodePlace } from '../pipeline/ports/common.js'
import { makeTemporaryFolder } from '../whole-file.js'
import { refusePnp } from './pnp.js'
import { literally, RANK_STORE, startProcess, torchrunArgv } from './process.js'
import { cleanEnvironment, inspectPython, type PythonFacts, resolvePython } from './python.js'
import { callPython } from './pythonia.js'
import { networkOf, rendezvousOf } from './rendezvous.js'
import { belowFloors, isSupportedPython, offPins, PYTHON_WANTED, readRequirements } from './requirements.js'

/** Result of one check. */
export interface DoctorCheck {
  readonly id:
    | 'node'
    | 'python'
    | 'packages'
    | 'devices'
    | 'zeromq'
    | 'allReduce'
    | 'sharedMemory'
    | 'ports'
    | 'exposure'
    | 'account'
    | 'disk'
    | 'memory'
    | 'names'
    | 'clock'
  readonly ok: boolean
  readonly detail: string
  /** Hint; null if the check is ok. */
  readonly fix: string | null
}

export interface DoctorReport {
  readonly ok: boolean
  readonly checks: readonly DoctorCheck[]
}

export interface DoctorOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The Python to check. Default: the one that every command would use. */
  readonly python?: string
  readonly signal?: AbortSignal
  /** Folder whose disk is checked. Default: `cwd`. */
  readonly folder?: string
  /** Check together with the other nodes of a job, which run the same check. Default: this machine alone. */
  readonly place?: NodePlace | null
  /** Limit of the all-reduce in milliseconds, including the start of its ranks. Default: 120,000. */
  readonly allReduceTimeoutMs?: number
}

/** For information: nothing on the host can change it. */
const EXPOSURE =
  'several ranks exchange tensors through ports on loopback (gloo, NCCL), which other users of this host can connect to; see docs/security.md'

type Finding = Omit<DoctorCheck, 'id'>

const GIB = 2 ** 30
const MIB = 2 ** 20

/** Check everything that a run needs of this machine. Faults are in the report; it throws only if aborted. */
export async function runDoctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const { cwd = process.cwd(), env = process.env, signal } = options
  const python = await settled(async () =>
    inspectPython(resolvePython({ cwd, explicit: options.python, env }), signal),
  )
  const facts = python instanceof Error ? null : python
  const place = options.place && options.place.nodes > 1 ? options.place : null
  const meeting: Meeting = { clockSeconds: null }
  const checks = [
    check('node', checkNode),
    check('python', () => checkPython(python)),
    check('packages', () => withPython(facts, checkPackages)),
    check('devices', () => withPython(facts, (found) => checkDevices(found.executable, signal))),
    check('zeromq', checkZeromq),
    check('allReduce', () =>
      withPython(facts, (found) => checkAllReduce(found.executable, options, place, meeting)),
    ),
    check('sharedMemory', checkSharedMemory),
    check('ports', checkPorts),
    check('exposure', () => ok(EXPOSURE)),
    check('account', checkAccount),
    check('disk', () => checkDisk(options.folder ?? cwd)),
    check('memory', checkMemory),
    ...(place === null ? [] : [check('names', () => checkNames(place))]),
  ]
  const done = await Promise.all(checks)
  if (meeting.clockSeconds !== null) done.push(await check('clock', () => checkClock(meeting.clockSeconds!)))
  signal?.throwIfAborted()
  return { ok: done.every((one) => one.ok), checks: done }
}

async function check(id: DoctorCheck['id'], look: () => Finding | Promise<Finding>): Promise<DoctorCheck> {
  const found = await settled(async () => look())
  return { id, ...(found instanceof Error ? failed(found) : found) }
}

function ok(detail: string): Finding {
  return { ok: true, detail, fix: null }
}

function fault(detail: string, fix: string): Finding {
  return { ok: false, detail, fix }
}

function failed(error: Error): Finding {
  const hint = error instanceof FreetumorError ? error.commandHint : undefined
  return fault(error.message, hint ?? 'correct the fault in the message')
}

async function settled<T>(act: () => Promise<T>): Promise<T | Error> {
  try {
    return await act()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function withPython(facts: PythonFacts | null, look: (facts: PythonFacts) => Finding | Promise<Finding>) {
  return facts ? look(facts) : fault('not checked: there is no Python', 'correct the python check above')
}

function checkNode(): Finding {
  refusePnp()
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const detail = `Node ${process.versions.node}`
  return major > 20 || (major === 20 && minor >= 19)
    ? ok(detail)
    : fault(detail, 'install Node 20.19 or newer')
}

function checkPython(python: PythonFacts | Error): Finding {
  if (python instanceof Error) return failed(python)
  const detail = `Python ${python.version} at ${python.executable}`
  return isSupportedPython(python.version)
    ? ok(detail)
    : fault(detail, `Python ${PYTHON_WANTED} is needed: run \`freetumor setup\``)
}

function checkPackages(facts: PythonFacts): Finding {
  const lacking = belowFloors(facts)
  if (lacking.length > 0) return fault(lacking.join(', '), 'run `freetumor setup`, or install these')
  const { pins } = readRequirements()
  const off = offPins(facts, pins)
  const all = Object.keys(pins).length
  const torch = `PyTorch ${facts.packages.torch} is installed without a hash`
  return ok(
    off.length === 0
      ? `all ${all} as pinned; ${torch}`
      : `${all - off.length} of ${all} as pinned; ${off.join(', ')}; ${torch}`,
  )
}

interface Devices {
  readonly torch: string
  readonly cudaBuild: string | null
  readonly cpuThreads: number
  readonly cuda: readonly {
    readonly name: string
    readonly memoryBytes: number
    readonly freeBytes: number
  }[]
}

async function checkDevices(python: string, signal: AbortSignal | undefined): Promise<Finding> {
  const options = { timeoutMs: 120_000, ...(signal ? { signal } : {}) }
  const found = (await callPython(python, 'freetumor_runtime.doctor', 'devices', [], options)) as Devices
  const cuda = found.cuda.map(
    (one, index) => `cuda:${index} ${one.name}, ${gib(one.freeBytes)} of ${gib(one.memoryBytes)} free`,
  )
  const none = found.cudaBuild ? 'no CUDA device' : 'no CUDA device (a CPU build of torch)'
  return ok(`torch ${found.torch}; ${found.cpuThreads} CPU threads; ${cuda.join('; ') || none}`)
}

async function checkZeromq(): Promise<Finding> {
  // imported here: a library that does not load must be a finding, not the end of the doctor
  const { zeromqCapability } = await import('../transport/capability.js')
  const { version, ipc } = zeromqCapability()
  return ipc
    ? ok(`ZeroMQ ${version}, unix sockets`)
    : fault(`ZeroMQ ${version} has no unix sockets`, 'use Linux or macOS')
}

/** Facts that the nodes of a job find together. */
interface Meeting {
  /** The largest difference between their clocks; null for a single node. */
  clockSeconds: number | null
}

interface ReduceResult {
  readonly ranks: number
  readonly sum: number
  readonly backend: string
  readonly clockSeconds: number
}

/** Check the sum of the ranks: two on this machine, or one on each node of a job. */
async function checkAllReduce(
  python: string,
  options: DoctorOptions,
  place: NodePlace | null,
  meeting: Meeting,
): Promise<Finding> {
  const { allReduceTimeoutMs = 120_000, signal } = options
  signal?.throwIfAborted()
  const rendezvous = rendezvousOf(place ?? undefined, allReduceTimeoutMs / 1000)
  const network = await networkOf(rendezvous?.rendezvous ?? null)
  const ranks = place === null ? 2 : 1
  const of = place === null ? 'two ranks' : `${place.nodes} nodes`
  const folder = await makeTemporaryFolder('freetumor-doctor-')
  const result = join(folder, 'result.json')
  const device = place === null ? 'cpu' : 'auto'
  const program = ['-m', 'freetumor_runtime.doctor', literally(result), device]
  const started = performance.now()
  const child = startProcess({
    argv: torchrunArgv({ python, ranks, logDirectory: folder, program, rendezvous, tcpStore: false }),
    environment: {
      ...network,
      ...cleanEnvironment({ threads: 1, ...(options.env ? { env: options.env } : {}) }),
      ...(place === null ? { FREETUMOR_STORE: join(folder, RANK_STORE) } : {}),
      FREETUMOR_LOG_DIRECTORY: folder,
    },
    logDirectory: folder,
    runId: `doctor-${randomUUID()}`,
  })
  let why = ''
  const stop = (reason: string): void => {
    why = reason
    void child.kill()
  }
  const timer = setTimeout(() => stop(`no answer within ${allReduceTimeoutMs / 1000} s`), allReduceTimeoutMs)
  const release = onAbort(signal, () => stop('aborted'))
  try {
    const end = await child.ended
    const text = await readFile(result, 'utf8').catch(() => '')
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const found = text ? (JSON.parse(text) as ReduceResult) : null
    if (found !== null && found.sum === (found.ranks * (found.ranks + 1)) / 2) {
      if (place !== null) meeting.clockSeconds = found.clockSeconds
      const imports = place === null ? ', with the imports of a job' : ''
      return ok(`${of} over ${found.backend}${imports}, ${seconds} s`)
    }
    const node = place?.nodeRank ?? 0
    const log = join(folder, `node-${node}`, `rank-${node}`, 'output.log')
    const words = await readFile(log, 'utf8').catch(() => '')
    return fault(
      `${of}: ${why || lastWords(words || end.tail)}`,
      place === null
        ? 'check that loopback is open; GLOO_SOCKET_IFNAME chooses another interface'
        : 'check the network between the nodes; GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME choose another interface',
    )
  } finally {
    clearTimeout(timer)
    release()
    await child.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

async function checkNames({ rendezvous }: NodePlace): Promise<Finding> {
  const host = rendezvous.slice(0, rendezvous.lastIndexOf(':'))
  const { address } = await lookup(host)
  return ok(`node 0 is ${host}, address ${address}`)
}

/** Events of nodes are ordered by their clocks. */
const MOST_CLOCK_SECONDS = 30

function checkClock(seconds: number): Finding {
  const detail = `the clocks of the nodes differ by at most ${seconds.toFixed(1)} s`
  return seconds <= MOST_CLOCK_SECONDS
    ? ok(detail)
    : fault(detail, 'synchronise the clocks of the nodes (NTP)')
}

function lastWords(tail: string): string {
  const lines = tail.trim().split('\n')
  const error = lines.findLast((line) => /^\S*(Error|Exception)\b/.test(line.replace(/^\[rank\d+\]: ?/, '')))
  return (error ?? lines.at(-1) ?? '').trim() || 'it ended without a message'
}

async function checkSharedMemory(): Promise<Finding> {
  const denied = await unwritable('/dev/shm')
  if (denied)
    return fault(`/dev/shm cannot be written (${denied})`, 'mount it writable: docker run --shm-size=1g')
  const found = await statfs('/dev/shm')
  const free = found.bavail * found.bsize
  const detail = `/dev/shm has ${gib(free)} free of ${gib(found.blocks * found.bsize)}`
  // NCCL's transport between GPUs of a host takes some tens of MB a pair; a container's default is 64 MB
  return free >= 32 * MIB ? ok(detail) : fault(detail, 'give the container more: --shm-size=1g')
}

/** Return why nothing can be written into a folder, as an error code; null when something can. */
async function unwritable(folder: string): Promise<string | null> {
  try {
    await rm(await mkdtemp(join(folder, '.freetumor-doctor-')), { recursive: true })
    return null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

function checkAccount(): Finding {
  const { LOGNAME } = cleanEnvironment({ threads: 1 })
  try {
    return ok(`user ${userInfo().username}`)
  } catch {
    return ok(`uid ${process.getuid?.()} has no account; jobs run with LOGNAME=${LOGNAME}`)
  }
}

async function checkPorts(): Promise<Finding> {
  // on a loopback that is down a port can be bound, but no process can connect
  await networkOf(null)
  const server = createServer()
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  await new Promise((resolve) => server.close(resolve))
  return ok(`loopback gives free ports (for instance ${port})`)
}

async function checkDisk(cwd: string): Promise<Finding> {
  const denied = await unwritable(cwd)
  if (denied)
    return fault(
      `${cwd} cannot be written (${denied})`,
      'work in another folder, or name others with --out, prepare.cache and data.root',
    )
  const found = await statfs(cwd)
  const free = found.bavail * found.bsize
  const detail = `${gib(free)} free at ${cwd}`
  return free >= 2 * GIB
    ? ok(detail)
    : fault(detail, 'free some GiB for cache and checkpoints, or work in another folder')
}

async function checkMemory(): Promise<Finding> {
  const info = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const available = Number(/MemAvailable:\s+(\d+)/.exec(info)?.[1] ?? Number.NaN) * 1024
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY
  const total = Math.min(totalmem(), limit)
  const usable = Number.isNaN(available) ? total : Math.min(available, limit)
  const detail = `${gib(usable)} usable of ${gib(total)}`
  return usable >= 2 * GIB
    ? ok(detail)
    : fault(detail, 'end other programs, or raise the memory limit to at least 2 GiB')
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`
}
