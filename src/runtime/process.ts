import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodePlace } from '../pipeline/ports/common.js'
import { makeFolderSync } from '../whole-file.js'
import { runtimeFolder } from './python.js'

/** Folder of the programs that any Python runs by their path. */
export const LAUNCHER = join(runtimeFolder, 'freetumor_runtime', 'launcher')

/** File in a job's private directory for the rendezvous of the ranks of a single node (FREETUMOR_STORE). */
export const RANK_STORE = 'ranks.store'

/** A started Python job: torchrun with its ranks, or one process. */
export interface RuntimeProcess {
  readonly pid: number
  /** Resolves when the process and its output have ended. */
  readonly ended: Promise<ProcessEnd>
  /** Request a stop: send SIGTERM to the only process, or to the agent, which forwards it to its ranks. */
  terminate(): void
  /** Make every rank write the stacks of its threads to its log (bridge/lifeline.py); return these ranks. */
  dumpStacks(signal?: NodeJS.Signals): Promise<RankProcess[]>
  /** Kill all processes of this run at once, in whatever process group torchrun put them. */
  kill(): Promise<void>
}

/** A computing process of a job. */
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
  /** Id in the environment of every process of the run, by which they are found. */
  readonly runId: string
  /** Default: that of this process. */
  readonly cwd?: string
  /** Rank of this node. Default: 0. */
  readonly node?: number
}

/**
 * Return whether a job has one rank on one node: it starts without torchrun, which has nothing to distribute and whose
 * start takes as long as the import of PyTorch.
 */
export function isOnlyRank(ranks: number | null, rendezvous?: Rendezvous): boolean {
  return ranks === 1 && rendezvous === undefined
}

/** Variables that torchrun would set for the only rank of a job. */
export const ONLY_RANK: Readonly<Record<string, string>> = {
  RANK: '0',
  LOCAL_RANK: '0',
  GROUP_RANK: '0',
  WORLD_SIZE: '1',
  LOCAL_WORLD_SIZE: '1',
  GROUP_WORLD_SIZE: '1',
}

/** Return the argument list of a job: several ranks under torchrun, or one process. `ranks` is null for work by case. */
export function runtimeArgv(
  python: string,
  ranks: number | null,
  logDirectory: string,
  jobFile: string,
  rendezvous?: Rendezvous,
): string[] {
  const job = ['-m', 'freetumor_runtime', '--job']
  if (ranks === null || isOnlyRank(ranks, rendezvous)) return [python, ...job, jobFile]
  const program = [...job, literally(jobFile)]
  return torchrunArgv({ python, ranks, logDirectory, program, rendezvous, tcpStore: false })
}

/** Escape an argument of a rank, so that torchrun passes it unchanged: it would replace `$` and the following name. */
export function literally(argument: string): string {
  return argument.replaceAll('$', '$$$$')
}

/** Rendezvous of the nodes of a job, and the limit of the wait for the others. */
export interface Rendezvous extends NodePlace {
  readonly waitSeconds: number
}

export interface TorchrunSettings {
  readonly python: string
  /** Number of processes on this node. */
  readonly ranks: number
  readonly logDirectory: string
  readonly program: readonly string[]
  /** Place among several nodes. */
  readonly rendezvous?: Rendezvous | undefined
  /** True for a store at MASTER_ADDR and MASTER_PORT; several nodes always have one. */
  readonly tcpStore: boolean
}

/**
 * Return the command of torchrun with ranks on this node, without restarts, which the restart policy makes. A program of
 * launcher/ sets up the rendezvous, then becomes torchrun: single_node.py without a TCP port, or join.py for several nodes.
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

/** Return the name of the launcher's own log on a node. */
export function agentLog(node: number): string {
  return node === 0 ? 'agent.log' : `agent.node-${node}.log`
}

/**
 * Start a job that cannot outlive this process: every rank watches its standard input, a pipe that ends with this process,
 * and with `setpriv` the kernel kills the agent too. The job has its own session, because a terminal sends Ctrl-C and
 * SIGHUP to its whole foreground group: a command stops the job, between two steps. Call it on the main thread.
 */
export function startProcess(launch: ProcessLaunch): RuntimeProcess {
  makeFolderSync(launch.logDirectory)
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

/** Kill every process whose environment names the run; resolve when none is left. */
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

/** Send a signal to the ranks only, because it would kill the launcher. */
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
  // child processes of a rank have its number too
  const numbers = [...new Set(ranks.map(({ rank }) => rank))].sort((a, b) => a - b)
  return numbers.map((rank) => ({ rank, suspended: ranks.some((one) => one.rank === rank && one.suspended) }))
}

async function rankOf(pid: number): Promise<RankProcess> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8')
  const state = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '')[0]!
  return { rank: Number(/(^|\0)RANK=(\d+)/.exec(environment)?.[2] ?? 0), suspended: 'Tt'.includes(state) }
}

/**
 * Return the ids of the running processes of a run (Linux: found by their environment).
 * @param having pattern that their environment (NAME=value, separated by zero bytes) must match
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
  // A job survives the loss of its log (a full disk, a missing folder): its last lines report it.
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
  // A pipe whose reader has exited must not become an unhandled error.
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

/** Return the command prefix that makes the kernel kill the launcher with this process; empty if unsupported. */
export function parentDeathPrefix(): readonly string[] {
  prefix ??= canSetParentDeathSignal() ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []
  return prefix
}

function canSetParentDeathSignal(): boolean {
  const { status, signal } = spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true'], { stdio: 'ignore' })
  // after an interrupt by the terminal, the program exists
  return status === 0 || signal !== null
}
