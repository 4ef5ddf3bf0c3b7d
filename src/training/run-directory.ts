import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, open, readFile, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ConfigError, UsageError } from '../errors.js'
import type { Outcome } from './events.js'

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

/** Makes the directory of a new run; refuses one that already holds a run. */
export async function makeRunDirectory(path: string): Promise<string> {
  const directory = resolve(path)
  await refuseExistingRun(directory)
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

/** Writes a small file whole or not at all. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const aside = `${path}.tmp.${process.pid}`
  const file = await open(aside, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
}

export async function writeExit(directory: string, record: ExitRecord): Promise<void> {
  await writeWhole(join(directory, 'exit.json'), `${JSON.stringify(record, null, 2)}\n`)
}

export async function readExit(directory: string): Promise<ExitRecord | null> {
  try {
    return JSON.parse(await readFile(join(directory, 'exit.json'), 'utf8')) as ExitRecord
  } catch {
    return null
  }
}

/** The newest complete checkpoint directory of a run, or null. */
export async function latestCheckpoint(directory: string): Promise<string | null> {
  const folder = join(directory, 'checkpoints')
  try {
    const name = (await readFile(join(folder, 'latest'), 'utf8')).trim()
    await access(join(folder, name, 'manifest.json'), constants.R_OK)
    return join(folder, name)
  } catch {
    return null
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
