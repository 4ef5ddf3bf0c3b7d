import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodePlace } from '../pipeline/ports/common.js'
import { runtimeFolder } from './python.js'

/** Programs that are run by their path, by any Python. */
export const LAUNCHER = join(runtimeFolder, 'freetumor_runtime', 'launcher')

/** File of a job's private directory through which the ranks of a single node find each other (FREETUMOR_STORE). */
export const RANK_STORE = 'ranks.store'

/** A started Python job: torchrun with its ranks, or one plain process. */
export interface RuntimeProcess {
  readonly pid: number
  /** Resolves when the process and its output are done. */
  readonly ended: Promise<ProcessEnd>
  /** Asks to stop (SIGTERM to the agent, which passes it on to its ranks). */
  terminate(): void
  /** Has every rank write the stacks of its threads to its log (bridge/lifeline.py); returns the ranks that were asked. */
  dumpStacks(signal?: NodeJS.Signals): Promise<RankProcess[]>
  /** Ends the whole family of this run at once, wherever torchrun put it. */
  kill(): Promise<void>
}

/** A process of a job that computes. */
export interface RankProcess {
  readonly rank: number
  /** Stopped by SIGSTOP, Ctrl-Z or a debugger. */
  readonly suspended: boolean
}

export interface ProcessEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Last lines of standard error of the agent. */
  readonly tail: string
}

export interface ProcessLaunch {
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly logDirectory: string
  /** In the environment of every process of the run; how stragglers are found. */
  readonly runId: string
  /** Default: that of this process. */
  readonly cwd?: string
  /** Rank of this node; default 0. */
  readonly node?: number
}

/** The argument list of a job: ranks under torchrun, or a plain process when `ranks` is null. */
export function runtimeArgv(
  python: string,
  ranks: number | null,
  logDirectory: string,
  jobFile: string,
  rendezvous?: Rendezvous,
): string[] {
  const job = ['-m', 'freetumor_runtime', '--job']
  if (ranks === null) return [python, ...job, jobFile]
  const program = [...job, literally(jobFile)]
  return torchrunArgv({ python, ranks, logDirectory, program, rendezvous, tcpStore: false })
}

/** An argument of a rank as torchrun passes it on unchanged: it replaces `$` and what follows. */
export function literally(argument: string): string {
  return argument.replaceAll('$', '$$$$')
}

/** Rendezvous of the nodes of a job, and the limit of the wait for the others. */
export interface Rendezvous extends NodePlace {
  readonly waitSeconds: number
}

export interface TorchrunSettings {
  readonly python: string
  /** Processes of this node. */
  readonly ranks: number
  readonly logDirectory: string
  readonly program: readonly string[]
  /** Place among several nodes. */
  readonly rendezvous?: Rendezvous | undefined
  /** Whether the program finds a store at MASTER_ADDR and MASTER_PORT; several nodes always have one. */
  readonly tcpStore: boolean
}

/**
 * torchrun with ranks on this node, without restarts (the supervisor makes them). A program of launcher/ sets up the
 * rendezvous, then becomes torchrun: single_node.py without a TCP port, or join.py for several nodes.
 */
export function torchrunArgv(given: TorchrunSettings): string[] {
  const { python, ranks, logDirectory, program, rendezvous, tcpStore } = given
  const settings = [
    `--nproc-per-node=${ranks}`,
    '--max-restarts=0',
    '--monitor-interval=0.1',
    `--log-dir=${join(logDirectory, 'torchrun')}`,
    '--redirects=3',
  ]
  if (rendezvous === undefined) {
    const store = tcpStore ? ['--tcp-store'] : []
    return [python, join(LAUNCHER, 'single_node.py'), ...store, '--', ...settings, ...program]
  }
  const { nodes, nodeRank, rendezvous: address, waitSeconds } = rendezvous
  return [
    python,
    join(LAUNCHER, 'join.py'),
    ...[nodes, nodeRank, address, waitSeconds].map(String),
    '--',
    `--nnodes=${nodes}`,
    `--node-rank=${nodeRank}`,
    '--rdzv-backend=static',
    `--rdzv-endpoint=${address}`,
    '--rdzv-id=freetumor',
    `--rdzv-conf=timeout=${Math.ceil(waitSeconds)}`,
    ...settings,
    ...program,
  ]
}

/** The name of the launcher's own log on a node. */
export function agentLog(node: number): string {
  return node === 0 ? 'agent.log' : `agent.node-${node}.log`
}

/**
 * Starts a job that cannot outlive this process: its standard input is a pipe that ends with us (every rank watches it),
 * and where `setpriv` exists the kernel kills the agent with us. It has a session of its own, since a terminal sends Ctrl-C
 * and SIGHUP to all of its foreground group: the job is stopped by command, between two steps. Call it on the main thread.
 */
export function startProcess(launch: ProcessLaunch): RuntimeProcess {
  mkdirSync(launch.logDirectory, { recursive: true })
  const argv = [...parentDeathPrefix(), ...launch.argv]
  const child = spawn(argv[0]!, argv.slice(1), {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: { ...launch.environment, FREETUMOR_RUN_ID: launch.runId },
    ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
  })
  const ended = watch(child, join(launch.logDirectory, agentLog(launch.node ?? 0)))
  return {
    pid: child.pid ?? -1,
    ended,
    terminate: () => void child.kill('SIGTERM'),
    dumpStacks: (signal = 'SIGUSR1') => signalRanks(launch.runId, signal),
    kill: async () => {
      child.kill('SIGKILL')
      child.stdin?.destroy()
      await endFamily(launch.runId)
      await ended
    },
  }
}

/** Kills every process whose environment names the run; resolves when none is left. */
export async function endFamily(runId: string): Promise<void> {
  for (let round = 0; round < 100; round++) {
    const members = await familyOf(runId)
    if (members.length === 0) return
    for (const pid of members) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // gone in the meantime
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The launcher itself would die of such a signal: only ranks get it. */
async function signalRanks(runId: string, signal: NodeJS.Signals): Promise<RankProcess[]> {
  const ranks: RankProcess[] = []
  for (const pid of await familyOf(runId, /(^|\0)LOCAL_RANK=/)) {
    try {
      ranks.push(await rankOf(pid))
      process.kill(pid, signal)
    } catch {
      // gone in the meantime
    }
  }
  // what a rank has started carries its number, too
  const numbers = [...new Set(ranks.map(({ rank }) => rank))].sort((a, b) => a - b)
  return numbers.map((rank) => ({ rank, suspended: ranks.some((one) => one.rank === rank && one.suspended) }))
}

async function rankOf(pid: number): Promise<RankProcess> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8')
  const state = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '')[0]!
  return { rank: Number(/(^|\0)RANK=(\d+)/.exec(environment)?.[2] ?? 0), suspended: 'Tt'.includes(state) }
}

/**
 * Ids of the living processes of a run (Linux: found by their environment).
 * @param having only those whose environment (NAME=value, separated by zero bytes) matches
 */
export async function familyOf(runId: string, having?: RegExp): Promise<number[]> {
  const names = await readdir('/proc').catch(() => [] as string[])
  const found = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map(async (name) => {
        const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')
        const belongs = environment.split('\0').includes(`FREETUMOR_RUN_ID=${runId}`)
        return belongs && (!having || having.test(environment)) ? Number(name) : null
      }),
  )
  return found.filter((pid) => pid !== null)
}

async function watch(child: ChildProcess, path: string): Promise<ProcessEnd> {
  const log = createWriteStream(path, { flags: 'a' })
  let tail = ''
  const add = (text: string): void => {
    tail = (tail + text).slice(-8192)
  }
  // A job is not lost because its log is (a full disk, a folder that is gone): its last lines say so.
  const logged = new Promise<void>((resolve) => {
    log.on('error', (error) => add(`\n${path} could not be written: ${error.message}\n`))
    log.once('close', resolve)
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      if (log.writable) log.write(chunk)
      add(chunk.toString('utf8'))
    })
  }
  // A pipe whose reader died must not become an unhandled error.
  child.stdin?.on('error', () => {})
  const end = await new Promise<Omit<ProcessEnd, 'tail'>>((resolve) => {
    child.once('error', (error) => {
      add(error.message)
      resolve({ code: null, signal: null })
    })
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  log.end()
  await logged
  return { ...end, tail }
}

let prefix: readonly string[] | undefined

/** Has the kernel kill the launcher with us, where the machine can. */
export function parentDeathPrefix(): readonly string[] {
  prefix ??= canSetParentDeathSignal() ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []
  return prefix
}

function canSetParentDeathSignal(): boolean {
  const { status, signal } = spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true'], { stdio: 'ignore' })
  // one that a signal of the terminal interrupted exists
  return status === 0 || signal !== null
}
