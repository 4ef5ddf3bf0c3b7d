import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { readForeignJson } from '../foreign-text.js'
import { sweepUnfinished, writeWhole } from '../whole-file.js'

/**
 * A checkpoint of a run, as python_runtime/freetumor_runtime/training/state.py writes it: `checkpoints/step_00000100` is
 * complete or absent, `latest` names the newest, `best` that of the best validation. The Python side writes checkpoints;
 * this side removes old ones, marks the best one and chooses the one to resume from.
 */
export interface Checkpoint {
  readonly directory: string
  /** The next step to run. */
  readonly step: number
  readonly manifest: CheckpointManifest
}

/** Content of `manifest.json`, which is written last in its directory. */
export interface CheckpointManifest {
  readonly step: number
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly bytes: number }>>
  /** Hashes of the inputs that made it. */
  readonly madeBy: MadeBy
}

export interface MadeBy {
  /** Hash of the keys of the configuration that decide the run. */
  readonly config: string
  /** Hash of the cases and of the weights that the run builds on. */
  readonly data: string
  readonly ranks: number
  readonly threadsPerProcess: number
  readonly device: string
  readonly torch: string
}

const STEP = /^step_(\d{8})$/

/** Return the directory of the newest complete checkpoint of a run, or null. */
export async function latestCheckpoint(run: string): Promise<string | null> {
  for (const name of (await stepNames(run)).reverse())
    if (await readable(join(folderOf(run), name, 'manifest.json'))) return join(folderOf(run), name)
  return null
}

/** Return the directory of the checkpoint that `best` names, or null. */
export async function bestCheckpoint(run: string): Promise<string | null> {
  const name = await readFile(join(folderOf(run), 'best'), 'utf8').catch(() => '')
  return (await stepNames(run)).includes(name.trim()) ? join(folderOf(run), name.trim()) : null
}

/**
 * Repair a run's checkpoints and return the newest one whose files match its manifest; null if there is none. Files of an
 * interrupted save are removed. A damaged checkpoint is renamed to `step_....damaged` and reported.
 * @param report called with a sentence for every damaged checkpoint
 */
export async function openNewestGood(
  run: string,
  report: (text: string) => void,
): Promise<Checkpoint | null> {
  const folder = folderOf(run)
  await finishReplacements(folder)
  await sweepUnfinished(folder)
  for (const name of (await stepNames(run)).reverse()) {
    const directory = join(folder, name)
    const found = await verify(directory)
    if ('damage' in found) {
      await setAside(directory)
      report(
        `checkpoint ${name} is damaged (${found.damage}): it was renamed to ${name}.damaged and is not used`,
      )
      continue
    }
    await writeWhole(join(folder, 'latest'), name)
    return { directory, step: found.manifest.step, manifest: found.manifest }
  }
  return null
}

/** Point `best` to the checkpoint of a step; remove the pointer for null or for a step without a checkpoint. */
export async function markBest(run: string, step: number | null): Promise<void> {
  const pointer = join(folderOf(run), 'best')
  const name = step === null ? null : stepName(step)
  if (name !== null && (await stepNames(run)).includes(name)) await writeWhole(pointer, name)
  else await rm(pointer, { force: true })
}

/** Remove all but the newest `keep` checkpoints and the best one. */
export async function pruneCheckpoints(run: string, keep: number): Promise<void> {
  const best = await bestCheckpoint(run)
  for (const name of (await stepNames(run)).slice(0, -keep)) {
    const directory = join(folderOf(run), name)
    if (directory === best) continue
    // renamed first, so that the rest of an interrupted removal is never used as a checkpoint
    await rename(directory, `${directory}.tmp`)
    await rm(`${directory}.tmp`, { recursive: true, force: true })
  }
}

function folderOf(run: string): string {
  return join(run, 'checkpoints')
}

function stepName(step: number): string {
  return `step_${String(step).padStart(8, '0')}`
}

/** Return the names of the checkpoints, oldest first. */
async function stepNames(run: string): Promise<string[]> {
  const names = await readdir(folderOf(run)).catch(() => [] as string[])
  return names.filter((name) => STEP.test(name)).sort()
}

/** Complete interrupted saves over an existing step: the old directory is `.replaced` until the new one exists. */
async function finishReplacements(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[])
  for (const name of names.filter((one) => one.endsWith('.replaced'))) {
    const original = name.slice(0, -'.replaced'.length)
    if (names.includes(original)) await rm(join(folder, name), { recursive: true, force: true })
    else await rename(join(folder, name), join(folder, original))
  }
}

async function setAside(directory: string): Promise<void> {
  await rm(`${directory}.damaged`, { recursive: true, force: true })
  await rename(directory, `${directory}.damaged`)
}

async function verify(directory: string): Promise<{ manifest: CheckpointManifest } | { damage: string }> {
  const manifest = await readManifest(directory)
  if (manifest === null) return { damage: 'it has no readable manifest.json' }
  if (stepName(manifest.step) !== basename(directory))
    return { damage: `its manifest.json is of step ${manifest.step}` }
  for (const [name, expected] of Object.entries(manifest.files)) {
    const path = join(directory, name)
    const bytes = await stat(path).then(
      (found) => found.size,
      () => null,
    )
    if (bytes === null) return { damage: `${name} is missing` }
    if (bytes !== expected.bytes) return { damage: `${name} has ${bytes} bytes instead of ${expected.bytes}` }
    const sha256 = await sha256Of(path).catch((error: NodeJS.ErrnoException) => error.code ?? 'unreadable')
    if (sha256 !== expected.sha256) return { damage: `the content of ${name} does not match its hash` }
  }
  return { manifest }
}

async function readManifest(directory: string): Promise<CheckpointManifest | null> {
  try {
    const manifest = (await readForeignJson(join(directory, 'manifest.json'))) as Partial<CheckpointManifest>
    const whole =
      Number.isInteger(manifest.step) &&
      isObject(manifest.files) &&
      Object.values(manifest.files!).every(isObject) &&
      isObject(manifest.madeBy)
    return whole ? (manifest as CheckpointManifest) : null
  } catch {
    return null
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 4 << 20 }), hash)
  return hash.digest('hex')
}

async function readable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
