import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { EnvironmentError } from '../errors.js'
import type { JobOrder, JobScheduler, QueueLimits, QueueState } from '../pipeline/ports/scheduler.js'
import { oneLine } from '../plain-text.js'

const MAX_OUTPUT_BYTES = 16 << 20
/** A controller that is busy answers late. */
const ANSWER_WITHIN_MS = 60_000

/** States after which Slurm starts the job no more. */
const ENDED = new Set([
  'boot_fail',
  'cancelled',
  'completed',
  'deadline',
  'failed',
  'node_fail',
  'out_of_memory',
  'timeout',
  'unknown',
])

const UNKNOWN: QueueState = { state: 'unknown', reason: null, restarts: 0, ended: true }

/** Slurm, through its own commands. */
export const slurm: JobScheduler = {
  kind: 'slurm',
  async submit(file, after) {
    const order = after === null ? [] : orderOf(after)
    const output = await call('sbatch', ['--parsable', ...order, file])
    const id = output.trim().split('\n').at(-1)?.split(';')[0] ?? ''
    if (!/^\d+$/.test(id))
      throw new EnvironmentError(
        `sbatch: unexpected answer (expected the id of a job, found ${oneLine(output.slice(0, 200))})`,
        {
          hint: 'run `squeue --me` to see whether the job was submitted',
        },
      )
    return id
  },
  async states(ids) {
    if (ids.length === 0) return new Map()
    const format = 'JobArrayID:|,ArrayJobID:|,State:|,Reason:|,RestartCnt:'
    const output = await call('squeue', [
      '--noheader',
      '--states=all',
      // a row for each task, also while it is pending
      '--array',
      `--jobs=${ids.join(',')}`,
      `--Format=${format}`,
    ]).catch((error: unknown) => {
      // a single id that it has forgotten is an error
      if (error instanceof Error && /Invalid job id/i.test(error.message)) return ''
      throw error
    })
    const rows = output.split('\n').filter(Boolean).map(rowOf)
    return new Map(ids.map((id) => [id, together(rows.filter((row) => row.id === id))]))
  },
  async cancel(...ids) {
    await call('scancel', ids)
  },
  limits,
}

function orderOf({ ids, until }: JobOrder): string[] {
  if (until === 'ended') return [`--dependency=afterany:${ids.join(':')}`]
  return [`--dependency=afterok:${ids.join(':')}`, '--kill-on-invalid-dep=yes']
}

interface Row {
  readonly id: string
  /** It is a task of an array. */
  readonly isTask: boolean
  readonly state: QueueState
}

function rowOf(line: string): Row {
  const [own = '', array = '', state = '', reason = '', restarts = ''] = line
    .split('|')
    .map((one) => one.trim())
  const name = state.toLowerCase()
  return {
    id: /^\d+$/.test(array) ? array : own,
    isTask: own.includes('_'),
    state: {
      state: name,
      reason: reason === 'None' || reason === '' ? null : reason,
      restarts: Number(restarts) || 0,
      ended: ENDED.has(name),
    },
  }
}

/** Return the state of all tasks of an array: the one that is least finished, with the number of tasks. */
function together(rows: readonly Row[]): QueueState {
  const states = rows.map(({ state }) => state)
  const [first] = states
  if (first === undefined) return UNKNOWN
  if (states.length === 1 && !rows[0]!.isTask) return first
  const counts = new Map<string, number>()
  for (const { state } of states) counts.set(state, (counts.get(state) ?? 0) + 1)
  const open = states.find(({ state }) => state === 'running') ?? states.find(({ ended }) => !ended)
  const failed = states.find(({ state }) => state !== 'completed')
  const { state } = open ?? failed ?? first
  return {
    state,
    reason: [...counts].map(([name, count]) => `${count} ${name}`).join(', '),
    restarts: Math.max(...states.map(({ restarts }) => restarts)),
    ended: states.every(({ ended }) => ended),
    tasks: Object.fromEntries(counts),
  }
}

async function limits(partition: string | null): Promise<QueueLimits> {
  const [config, partitions, own, all, associations] = await Promise.all([
    call('scontrol', ['show', 'config']),
    call('scontrol', ['show', 'partition', '--oneliner', ...(partition === null ? [] : [partition])]),
    call('squeue', ['--noheader', '--array', '--me', '--format=%i']),
    call('squeue', ['--noheader', '--array', '--states=all', '--format=%i']),
    // needs the accounting database, which many clusters do not have
    call('sacctmgr', [
      '--noheader',
      '--parsable2',
      'show',
      'assoc',
      'where',
      `user=${process.env.USER ?? ''}`,
      'format=MaxSubmitJobs',
    ]).catch(() => ''),
  ])
  const rows = partitions.split('\n').filter((line) => partition !== null || / Default=YES /.test(line))
  const [row = ''] = rows
  const field = (name: string): string => new RegExp(` ${name}=(\\S+)`).exec(row)?.[1] ?? ''
  const submits = associations
    .split('\n')
    .map(Number)
    .filter((value) => value > 0)
  const linesOf = (text: string): number => text.split('\n').filter(Boolean).length
  const maxJobs = numberOf(/^MaxJobCount\s*=\s*(\d+)/m.exec(config)?.[1] ?? '')
  return {
    maxHours: hoursOf(field('MaxTime')),
    maxNodes: numberOf(field('MaxNodes')) ?? numberOf(field('TotalNodes')),
    maxArraySize: numberOf(/^MaxArraySize\s*=\s*(\d+)/m.exec(config)?.[1] ?? ''),
    maxSubmitJobs: submits.length === 0 ? null : Math.min(...submits),
    submittedJobs: linesOf(own),
    // it counts those of the past minutes, too
    freeJobs: maxJobs === null ? null : Math.max(0, maxJobs - linesOf(all)),
  }
}

function numberOf(text: string): number | null {
  return /^\d+$/.test(text) ? Number(text) : null
}

/** Return the hours of a time of Slurm, `D-HH:MM:SS`; null for UNLIMITED. */
function hoursOf(text: string): number | null {
  const found = /^(?:(\d+)-)?(\d+):(\d+):(\d+)$/.exec(text)
  if (found === null) return null
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = found.slice(1).map((one) => Number(one ?? 0))
  return days * 24 + hours + minutes / 60 + seconds / 3600
}

/**
 * Run a command of Slurm. Variables such as SBATCH_EXPORT would override the script.
 * @throws EnvironmentError with the last line that the command wrote
 */
async function call(program: string, args: readonly string[]): Promise<string> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SBATCH|SQUEUE|SCANCEL|SALLOC)_/.test(name)),
  )
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      env,
      maxBuffer: MAX_OUTPUT_BYTES,
      timeout: ANSWER_WITHIN_MS,
    })
    return stdout
  } catch (error) {
    const { code, stderr = '', message } = error as NodeJS.ErrnoException & { stderr?: string }
    if (code === 'ENOENT')
      throw new EnvironmentError(`${program}: program not found`, {
        hint: 'run this command on a login node of the Slurm cluster',
        cause: error,
      })
    const words =
      stderr
        .trim()
        .split('\n')
        .findLast((line) => /error:/.test(line)) ??
      (stderr.trim() || message)
    const isUnreachable = /fetch config|contact.*controller|slurm\.conf/i.test(words)
    throw new EnvironmentError(oneLine(words.replace(/^.*?error: /, `${program}: `).slice(0, 400)), {
      hint: isUnreachable
        ? 'run this command on a login node of the Slurm cluster; `sinfo` must answer there'
        : 'correct `cluster:` of the configuration; `sinfo` lists partitions and limits',
      cause: error,
    })
  }
}
