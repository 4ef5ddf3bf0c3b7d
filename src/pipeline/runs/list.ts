import { access, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SUBMISSION_FILE } from '../../cluster/folders.js'
import { loadConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import type { RunStatus } from '../../training/run.js'
import { brokenRun, type QueuedJob, type RunSummary, summariseRun } from '../../training/run-summary.js'
import { holderInWords } from '../locks.js'
import type { Holder } from '../ports/common.js'
import type { RunProcesses } from '../ports/runs.js'
import { knownJob } from './job-state.js'
import { readSubmission } from './submission.js'

/** Folders below the root in which runs are searched. */
const LEVELS = 3

/**
 * Summarise the runs below a folder, oldest first. A run that cannot be read is listed as `broken`.
 * @param root searched three levels deep; itself a run directory: that run only
 */
export async function summariseRuns(root: string, processes: RunProcesses): Promise<RunSummary[]> {
  const summaries = await summariesOf(await runsBelow(root), processes)
  return summaries.sort((a, b) => (a.begun ?? '').localeCompare(b.begun ?? ''))
}

/**
 * Summarise one run.
 * @throws UsageError if the directory holds no run
 */
export async function summaryOfRun(directory: string, processes: RunProcesses): Promise<RunSummary> {
  const folder = resolve(directory)
  if (!(await isRun(folder))) throw noRun(directory)
  const [summary] = await summariesOf([folder], processes)
  return summary!
}

/**
 * Return the run directory that a user names: a path, or the last part of one below `runs/`.
 * @throws UsageError if there is none or more than one
 */
export async function findRun(named: string, cwd: string): Promise<string> {
  const given = resolve(cwd, named)
  if (await isRun(given)) return given
  const matches = (await runsBelow(resolve(cwd, 'runs'))).filter((path) => path.endsWith(`/${named}`))
  if (matches.length === 1) return matches[0]!
  if (matches.length === 0) throw noRun(named)
  throw new UsageError(`${named}: ${matches.length} runs have this name (found ${matches.join(', ')})`, {
    hint: 'name the whole directory of the run',
  })
}

function noRun(named: string): UsageError {
  return new UsageError(`${named}: no run directory (expected a folder with config.resolved.yaml)`, {
    hint: 'list the runs with `freetumor runs list [FOLDER]`',
  })
}

/** Return the run directories below a folder, at most `levels` deep; the folder itself if it is one. Links are not followed. */
export async function runsBelow(folder: string, levels = LEVELS): Promise<string[]> {
  if (await isRun(folder)) return [folder]
  if (levels === 0) return []
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name))
  return (await Promise.all(folders.map((path) => runsBelow(path, levels - 1)))).flat()
}

async function isRun(folder: string): Promise<boolean> {
  const has = (name: string): Promise<boolean> =>
    access(join(folder, name)).then(
      () => true,
      () => false,
    )
  return (await has('config.resolved.yaml')) || (await has(SUBMISSION_FILE))
}

async function summariesOf(directories: readonly string[], processes: RunProcesses): Promise<RunSummary[]> {
  const statuses = await Promise.all(directories.map(processes.status))
  const silent = directories.filter((_, at) => statuses[at] === null)
  // without Python no lock can be inspected: then each run with a lock file is broken, and the others are not
  const holders = await processes.holders(silent).catch(() => null)
  const holderOf = async (directory: string): Promise<Holder | undefined> =>
    (holders ?? (await processes.holders([directory]))).get(directory)
  const jobs = await jobsOf(directories, processes)
  return await Promise.all(
    directories.map((directory, at) => summarise(directory, statuses[at] ?? null, holderOf, jobs[at]!)),
  )
}

type Job = QueuedJob | string | null

/** Return the job of each directory; null without one, a text if the scheduler does not answer. */
async function jobsOf(directories: readonly string[], processes: RunProcesses): Promise<Job[]> {
  const known = await Promise.all(
    directories.map(async (directory) => {
      const submission = await readSubmission(directory)
      return submission && (await knownJob(directory, submission))
    }),
  )
  const open = known.flatMap((one) => one?.open ?? [])
  const states = await processes.jobs(open).catch((error: unknown) => String((error as Error).message))
  return await Promise.all(
    known.map(async (one) => {
      if (one === null) return null
      if (typeof states === 'string') return one.open.length > 0 ? states : await one.state(new Map())
      return await one.state(states)
    }),
  )
}

/** One run that cannot be read must not hide the others. */
async function summarise(
  directory: string,
  status: RunStatus | null,
  holderOf: (directory: string) => Promise<Holder | undefined>,
  job: Job,
): Promise<RunSummary> {
  try {
    const holder = status === null ? await holderOf(directory) : undefined
    const { name, job: kind } = await configOf(directory)
    const queue = typeof job === 'string' ? null : job
    const words = holder ? holderInWords(holder) : typeof job === 'string' ? job : null
    return await summariseRun(directory, { name, job: kind }, status, words, undefined, queue)
  } catch (error) {
    return brokenRun(directory, error instanceof Error ? error.message : String(error))
  }
}

/** Return the configuration of a run; before its first start that of its job. */
async function configOf(directory: string): Promise<{ name: string; job: RunConfig['job'] | null }> {
  const own = join(directory, 'config.resolved.yaml')
  const submission = await readSubmission(directory)
  const started = await access(own).then(
    () => true,
    () => false,
  )
  if (submission?.scheduler === 'slurm' && submission.config === null)
    return { name: submission.name, job: null }
  return await loadConfig(started || !submission?.config ? own : submission.config)
}
