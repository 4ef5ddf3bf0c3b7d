import { readdir, readFile, rm } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { FailureCard } from '../errors.js'
import { type FreetumorError, RuntimeCrashError } from '../errors.js'
import { asRecord, readForeignJson } from '../foreign-text.js'
import { reviveFailure } from './events.js'
import type { ProcessEnd, RankProcess } from './process.js'

/** Failure that a rank recorded (wiring.record_failure), or that its log shows. */
export interface RecordedFailure {
  readonly rank: number
  readonly kind: string
  readonly message: string
  readonly hint: string
  readonly traceback: string
  /** Seconds since the epoch. */
  readonly time: number
}

/** Report of torchrun about a rank that ended, or that torchrun then ended. */
interface EndedRank {
  readonly rank: number
  /** Negative for a signal. */
  readonly exitCode: number
  /** Time at which torchrun found it, to the second. */
  readonly time: string
}

/** Messages of a rank whose partner failed; they are a consequence, never the cause. */
const FOLLOW_UP =
  /connection (reset|closed|refused)|broken pipe|timed? ?out|socket closed|nccl|gloo|process ?group|remote process exited|heartbeat/i
const OUT_OF_MEMORY =
  /out of memory|can't allocate memory|cannot allocate memory|MemoryError|DefaultCPUAllocator/i
/** Message of C++ about a thread that ends while Python shuts down (followed by the stack of faulthandler). */
const ABORTED_AT_EXIT = 'terminate called without an active exception'
const LAST_LINES = 30
const SIGNALS: Readonly<Record<number, string>> = {
  6: 'SIGABRT',
  7: 'SIGBUS',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
}

export interface Failure {
  readonly logDirectory: string
  readonly end: ProcessEnd
  /** Value of `oomKills` at the start of the job. */
  readonly oomKillsBefore: number
  /** Rank of this node. Default: 0. */
  readonly node?: number
  /** True if the process was the only rank, without torchrun. Default: false. */
  readonly onlyRank?: boolean
  /** Failures that ranks reported, in addition to the files in their folder of failures. */
  readonly recorded?: readonly RecordedFailure[]
}

/** Return the folder in which the ranks of a node record why they ended. */
export function failureFolder(logDirectory: string, node = 0): string {
  return join(logDirectory, node === 0 ? 'failures' : `failures.node-${node}`)
}

/** Remove the failures that an earlier attempt recorded in the same folder. */
export async function clearFailures(logDirectory: string, node = 0): Promise<void> {
  await rm(failureFolder(logDirectory, node), { recursive: true, force: true })
}

/**
 * Return why a job's processes failed: the error of the first rank that failed by itself. Errors of its partners about a
 * lost connection are omitted. A failure that the user did not cause has a card (`facts.card`).
 */
export async function explainFailure(failure: Failure): Promise<FreetumorError> {
  const { logDirectory, end, oomKillsBefore, node = 0, onlyRank = false } = failure
  const found = [...(failure.recorded ?? []), ...(await recordedFailures(failureFolder(logDirectory, node)))]
  const recorded = [...found].sort((a, b) => a.time - b.time)
  const place = { logDirectory, node, end }
  const own = recorded.find(({ kind, message }) => kind !== 'stopped' && !FOLLOW_UP.test(message))
  if (own && own.kind !== 'runtime') return reviveFailure(own)
  const root = onlyRank ? endOf(end) : rootCause(end.tail)
  if (root && root.exitCode < 0 && !own) {
    const signal = SIGNALS[-root.exitCode] ?? `signal ${-root.exitCode}`
    const byKernel = signal === 'SIGKILL' && (await oomKills()) > oomKillsBefore
    const sender =
      signal === 'SIGABRT' && (await rankOutput(logDirectory, node, root.rank)).includes(ABORTED_AT_EXIT)
        ? `end the script with dist.destroy_process_group(), sys.stdout.flush() and os._exit(0), because most likely a thread of PyTorch aborted it at exit; its log is in ${logDirectory}`
        : `find the sender outside this program; the rank's log is in ${logDirectory}`
    return crash(
      byKernel
        ? `rank ${root.rank} was killed by the kernel: the machine ran out of memory`
        : `rank ${root.rank} was killed by ${signal}`,
      byKernel ? MEMORY_HINT : sender,
      { kind: byKernel ? 'outOfMemory' : 'signal', rank: root.rank, signal, traceback: '' },
      place,
    )
  }
  const silent = root !== null && !own && !recorded.some(({ rank }) => rank === root.rank)
  if (silent)
    return crash(
      `rank ${root.rank} ended with code ${root.exitCode}`,
      `read its output in ${logDirectory}`,
      { kind: 'exception', rank: root.rank, signal: null, traceback: '' },
      place,
    )
  const guilty = own ?? recorded[0]
  if (guilty) {
    const kind = OUT_OF_MEMORY.test(guilty.message) ? 'outOfMemory' : own ? 'exception' : 'lostConnection'
    // a line of a launcher belongs to no rank
    const who = guilty.rank < 0 ? '' : `rank ${guilty.rank}: `
    return crash(
      `${who}${guilty.message.split('\n')[0]}`,
      kind === 'outOfMemory' ? MEMORY_HINT : guilty.hint || `read the traceback in ${logDirectory}`,
      { kind, rank: guilty.rank < 0 ? null : guilty.rank, signal: null, traceback: guilty.traceback },
      place,
    )
  }
  const how = end.signal ? `was killed by ${end.signal}` : `ended with code ${end.code}`
  const output = lastLines(end.tail, 5).join('\n')
  return crash(
    `the Python runtime ${how} without a reason${output ? `:\n${output}` : ''}`,
    `run \`freetumor doctor\` to check the installation; logs are in ${logDirectory}`,
    { kind: end.signal ? 'signal' : 'exception', rank: null, signal: end.signal, traceback: '' },
    place,
  )
}

const MEMORY_HINT =
  'lower sampling.itemsPerStep, cropsPerVolume or patchVoxels, set networks.segmentor.activationCheckpointing, or use fewer processes'

export interface Hang {
  /** The limit. */
  readonly seconds: number
  readonly logDirectory: string
  /** Rank of this node. */
  readonly node: number
  readonly end: ProcessEnd
  /** The ranks that wrote their stacks. */
  readonly ranks: readonly RankProcess[]
  /** Setting of the limit. Default: `runtime.hangSeconds`. */
  readonly setting?: string
}

/** Return the error of a job that made no progress for too long. It names the rank that blocks the others, if known. */
export async function explainHang({
  seconds,
  logDirectory,
  node,
  end,
  ranks,
  setting = 'runtime.hangSeconds',
}: Hang): Promise<RuntimeCrashError> {
  const stands = await Promise.all(
    ranks.map(async (one) => ({
      ...one,
      place: one.suspended ? null : standingIn(await rankOutput(logDirectory, node, one.rank)),
    })),
  )
  const suspended = stands.filter((one) => one.suspended)
  const alone = stands.filter(({ place }) => place !== null && !place.waitsForOthers)
  const guilty = suspended.length > 0 ? suspended : alone.length > 0 ? alone : stands
  const named = guilty.map(({ rank, place, suspended }) =>
    suspended ? `rank ${rank} is suspended` : `rank ${rank} is in ${place?.where ?? 'an unknown place'}`,
  )
  const where = named.length > 0 ? `: ${named.join(', ')}` : ''
  return crash(
    `the job hangs: no step and no other event for ${seconds} s${where}`,
    suspended.length > 0
      ? `resume a suspended process with \`kill -CONT\`, or end it; ${setting} sets the limit`
      : `read the stack of each rank at the end of its log in ${logDirectory}; ${setting} sets the limit`,
    { kind: 'hang', rank: guilty.length === 1 ? guilty[0]!.rank : null, signal: null, traceback: '' },
    { logDirectory, node, end },
  )
}

/** Files of calls that wait for other ranks: collectives, and the backward pass of shared networks. */
const WAITS_FOR_OTHERS = /torch\/distributed\/|torch\/autograd\/graph\.py|training\/ranks\.py/

/** Return the place of a rank's main thread in its last recorded stacks (faulthandler). */
function standingIn(log: string): { readonly where: string; readonly waitsForOthers: boolean } | null {
  const at = Math.max(log.lastIndexOf('Current thread '), log.lastIndexOf('\nThread '))
  if (at < 0) return null
  const calls = [...log.slice(at).matchAll(/^ {2}File "(.+)", line (\d+) in (.+)$/gm)]
  const [top] = calls
  if (top === undefined) return null
  const [, file, line, name] = top
  const short = file!.split('/').slice(-2).join('/')
  return {
    where: `${name} (${short}:${line})`,
    waitsForOthers: calls.some(([, path]) => WAITS_FOR_OTHERS.test(path!)),
  }
}

/** Return the number of processes that the kernel has killed for memory; 0 if it does not report them. */
export async function oomKills(): Promise<number> {
  const text = await readFile('/proc/vmstat', 'utf8').catch(() => '')
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
}

async function crash(
  message: string,
  hint: string,
  known: Pick<FailureCard, 'kind' | 'rank' | 'signal' | 'traceback'>,
  { logDirectory, node, end }: { logDirectory: string; node: number; end: ProcessEnd },
): Promise<RuntimeCrashError> {
  const log = known.rank === null ? '' : await rankOutput(logDirectory, node, known.rank)
  const card: FailureCard = {
    ...known,
    message,
    hint,
    exitCode: end.code,
    lastLines: lastLines(log || end.tail, LAST_LINES),
    logs: logDirectory,
    time: new Date().toISOString(),
  }
  return new RuntimeCrashError(message, { hint, facts: { card } })
}

/** Return the file of a rank's own output (bridge/lifeline.py). */
export function rankLog(logDirectory: string, node: number, rank: number): string {
  return join(logDirectory, `node-${node}`, `rank-${rank}`, 'output.log')
}

async function rankOutput(logDirectory: string, node: number, rank: number): Promise<string> {
  return readFile(rankLog(logDirectory, node, rank), 'utf8').catch(() => '')
}

/**
 * Return the first rank that failed, from torchrun's own summary at the end of its output. torchrun checks the ranks ten
 * times per second; of those that it finds at once, it calls the lowest rank the cause. Here a killed rank precedes one
 * that ended, which may be a consequence. Ranks that torchrun ended have SIGTERM, or a later time.
 */
function rootCause(tail: string): EndedRank | null {
  const at = tail.lastIndexOf('Root Cause')
  if (at < 0) return null
  const others = tail.lastIndexOf('Failures:', at)
  const ended = [...endedRanks(tail.slice(at)), ...(others < 0 ? [] : endedRanks(tail.slice(others, at)))]
  const [first] = ended
  const killed = ended.find((one) => one.exitCode < 0 && one.exitCode !== -15 && one.time === first!.time)
  return killed ?? first ?? null
}

/** Return the end of the only rank in the form of torchrun's report. */
function endOf({ code, signal }: ProcessEnd): EndedRank | null {
  const exitCode = signal === null ? code : -constants.signals[signal]
  return exitCode === null ? null : { rank: 0, exitCode, time: '' }
}

function endedRanks(summary: string): EndedRank[] {
  const found = summary.matchAll(/time\s*: (\S+)[\s\S]*?rank\s*: (\d+)[\s\S]*?exitcode\s*: (-?\d+)/g)
  return [...found].map(([, time, rank, exitCode]) => ({
    time: time!,
    rank: Number(rank),
    exitCode: Number(exitCode),
  }))
}

function lastLines(text: string, count: number): string[] {
  return text.trim() === '' ? [] : text.trimEnd().split('\n').slice(-count)
}

async function recordedFailures(folder: string): Promise<RecordedFailure[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'))
  const read = names.map((name) => readForeignJson(join(folder, name)).catch(() => null))
  // a rank that was killed during the write leaves a damaged file
  return (await Promise.all(read)).filter((failure) => asRecord(failure) !== undefined) as RecordedFailure[]
}
