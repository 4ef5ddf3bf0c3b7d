import { randomBytes } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { FailureCard } from '../errors.js'
import { UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import { makeFolder, makeWritableFolder, writeWhole } from '../whole-file.js'
import type { Outcome } from './events.js'

/** Content of `exit.json`; written once, at the end of a run. */
export interface ExitRecord {
  readonly outcome: Outcome
  readonly reason: string
  /** The next step to run. */
  readonly step: number
  readonly exitCode: number
}

const OUTCOMES: readonly Outcome[] = ['completed', 'stopped', 'failed']

/** Return a new sortable id: UTC time and four random characters. */
export function newRunId(now: Date = new Date()): string {
  const stamp = now
    .toISOString()
    .replace(/[-:]/g, '')
    .replace(/\.\d+Z$/, 'Z')
  return `${stamp}-${randomBytes(2).toString('hex')}`
}

/** Create the directory of a new run; it may exist. */
export async function makeRunDirectory(path: string): Promise<string> {
  const directory = resolve(path)
  await makeWritableFolder(directory)
  await makeFolder(join(directory, 'logs'))
  return directory
}

/** Refuse a directory that already holds a run. @throws UsageError */
export async function refuseExistingRun(directory: string): Promise<void> {
  if (await holdsRun(directory))
    throw new UsageError(`${directory} already holds a run`, {
      hint: `resume it with --resume ${directory}, or choose another --out`,
    })
}

export async function writeExit(directory: string, record: ExitRecord, file = 'exit.json'): Promise<void> {
  await writeWhole(join(directory, file), `${JSON.stringify(record, null, 2)}\n`)
}

/** Record the last failure of a run's runtime. */
export async function writeFailure(
  directory: string,
  card: FailureCard,
  file = 'failure.json',
): Promise<void> {
  await writeWhole(join(directory, file), `${JSON.stringify(card, null, 2)}\n`)
}

/** Return the end of a run; null without a complete record. */
export async function readExit(directory: string): Promise<ExitRecord | null> {
  try {
    const record = (await readForeignJson(join(directory, 'exit.json'))) as ExitRecord
    const { outcome, reason, step, exitCode } = record
    const whole =
      OUTCOMES.includes(outcome) &&
      typeof reason === 'string' &&
      Number.isInteger(step) &&
      Number.isInteger(exitCode)
    return whole ? record : null
  } catch {
    return null
  }
}

/**
 * Return whether a run was started in the directory. On a shared disk, another node may have written the configuration
 * before node 0 starts; the other files are of node 0. Runs of early versions have no `version.json`.
 */
export async function holdsRun(directory: string): Promise<boolean> {
  const has = (name: string): Promise<boolean> =>
    access(join(directory, name)).then(
      () => true,
      () => false,
    )
  if (!(await has('config.resolved.yaml'))) return false
  return (await has('version.json')) || (await has('events.jsonl'))
}
