import { randomBytes } from 'node:crypto'
import { access, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ConfigError, EnvironmentError, UsageError } from '../errors.js'
import type { Outcome } from './events.js'
import type { FailureCard } from './failure.js'

/** What `exit.json` says; written once, when a run ended. */
export interface ExitRecord {
  readonly outcome: Outcome
  readonly reason: string
  /** The next step to run. */
  readonly step: number
  readonly exitCode: number
}

/** A sortable id: UTC time and four random characters. */
export function newRunId(now: Date = new Date()): string {
  const stamp = now
    .toISOString()
    .replace(/[-:]/g, '')
    .replace(/\.\d+Z$/, 'Z')
  return `${stamp}-${randomBytes(2).toString('hex')}`
}

/** Makes the directory of a new run; it may exist. */
export async function makeRunDirectory(path: string): Promise<string> {
  const directory = resolve(path)
  try {
    await mkdir(join(directory, 'logs'), { recursive: true })
  } catch (error) {
    throw new ConfigError(
      `run directory ${directory} cannot be made: ${(error as NodeJS.ErrnoException).code}`,
      {
        hint: 'choose another --out',
        cause: error,
      },
    )
  }
  return directory
}

/** @throws UsageError when the directory holds a run already */
export async function refuseExistingRun(directory: string): Promise<void> {
  if (await exists(join(directory, 'config.resolved.yaml')))
    throw new UsageError(`${directory} already holds a run`, {
      hint: `continue it with --resume ${directory}, or choose another --out`,
    })
}

/**
 * Writes a small file whole or not at all.
 * @throws EnvironmentError that names the file and why (disk full, no permission); nothing is left beside it
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const aside = `${path}.tmp.${process.pid}`
  try {
    await writeThrough(aside, text)
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new EnvironmentError(`${path} cannot be written: ${code}`, {
      hint: code === 'ENOSPC' ? 'free space on that disk' : 'is the folder there, and may it be written?',
      cause: error,
    })
  }
}

/** Removes what a killed writer left half-written in a folder; a folder that does not exist holds nothing. */
export async function sweepUnfinished(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[])
  for (const name of names.filter((one) => /\.tmp(\.\d+)?$/.test(one)))
    await rm(join(folder, name), { recursive: true, force: true })
}

export async function writeExit(directory: string, record: ExitRecord, file = 'exit.json'): Promise<void> {
  await writeWhole(join(directory, file), `${JSON.stringify(record, null, 2)}\n`)
}

/** What is known of the death of a run's runtime, the last one. */
export async function writeFailure(
  directory: string,
  card: FailureCard,
  file = 'failure.json',
): Promise<void> {
  await writeWhole(join(directory, file), `${JSON.stringify(card, null, 2)}\n`)
}

export async function readExit(directory: string): Promise<ExitRecord | null> {
  try {
    return JSON.parse(await readFile(join(directory, 'exit.json'), 'utf8')) as ExitRecord
  } catch {
    return null
  }
}

async function writeThrough(path: string, text: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
