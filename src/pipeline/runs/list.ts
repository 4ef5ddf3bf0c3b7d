import { access, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import { UsageError } from '../../errors.js'
import type { RunStatus } from '../../training/run.js'
import { brokenRun, type RunSummary, summariseRun } from '../../training/run-summary.js'
import { holderInWords } from '../locks.js'
import type { Holder } from '../ports/common.js'
import type { RunProcesses } from '../ports/runs.js'

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

function isRun(folder: string): Promise<boolean> {
  return access(join(folder, 'config.resolved.yaml')).then(
    () => true,
    () => false,
  )
}

async function summariesOf(directories: readonly string[], processes: RunProcesses): Promise<RunSummary[]> {
  const statuses = await Promise.all(directories.map(processes.status))
  const silent = directories.filter((_, at) => statuses[at] === null)
  // without Python no lock can be inspected: then each run with a lock file is broken, and the others are not
  const holders = await processes.holders(silent).catch(() => null)
  const holderOf = async (directory: string): Promise<Holder | undefined> =>
    (holders ?? (await processes.holders([directory]))).get(directory)
  return await Promise.all(
    directories.map((directory, at) => summarise(directory, statuses[at] ?? null, holderOf)),
  )
}

/** One run that cannot be read must not hide the others. */
async function summarise(
  directory: string,
  status: RunStatus | null,
  holderOf: (directory: string) => Promise<Holder | undefined>,
): Promise<RunSummary> {
  try {
    const holder = status === null ? await holderOf(directory) : undefined
    const config = await loadConfig(join(directory, 'config.resolved.yaml'))
    return await summariseRun(directory, config, status, holder ? holderInWords(holder) : null)
  } catch (error) {
    return brokenRun(directory, error instanceof Error ? error.message : String(error))
  }
}
