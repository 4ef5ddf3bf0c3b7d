import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { UsageError } from '../../errors.js'
import { asRecord, parseForeignJson } from '../../foreign-text.js'
import { type JsonLog, openJsonLog, readJsonLog } from '../../jsonl.js'
import { type FileState, statesOfScan } from '../../volume/scan-files.js'
import { sweepUnfinished, writeWhole } from '../../whole-file.js'
import type { PredictedCase } from '../ports/cases.js'
import type { ScanCase } from './cases.js'

/** A line of `predictions.jsonl`: a case whose files are complete. */
export interface PredictionLine extends PredictedCase {
  readonly case: string
  readonly image: string
  /** Size and time of the input files. If another scan takes the name, it is predicted again. */
  readonly input: readonly FileState[]
}

export interface PredictionRecord {
  /** Requested scans whose files are already in the folder. */
  readonly done: ReadonlyMap<string, PredictionLine>
  readonly log: JsonLog<PredictionLine>
}

/** Names of partially written masks of a killed writer. */
const UNFINISHED = /\.nii\.gz\.[0-9a-f]{32}\.tmp$/

/** Name of the record, in the output folder or that of a shard. */
export const PREDICTIONS = 'predictions.jsonl'

/**
 * Open the folder of a new or an interrupted prediction. `settings` are all settings that decide a mask.
 * @param path `predictions.jsonl` of the folder or of a shard
 * @throws UsageError if it holds masks of other settings, or files that no recorded prediction made
 */
export async function openPrediction(
  out: string,
  settings: Readonly<Record<string, unknown>>,
  scans: readonly ScanCase[],
  path: string,
): Promise<PredictionRecord> {
  await refuseOtherSettings(out, settings, scans)
  const done = await wholeCases<PredictionLine>(path, out, scans)
  const asked = new Set(scans.map(({ id }) => id))
  const log = await openJsonLog<PredictionLine>(path, {
    // keep lines of scans that are not requested now
    keep: (line) => !asked.has(line.case) || done.has(line.case),
  })
  return { done, log }
}

/** Remove the temporary files of killed writers; no other process may write. */
export async function sweepPrediction(out: string): Promise<void> {
  for (const folder of [out, join(out, 'probabilities'), join(out, 'labels')])
    for (const name of await readdir(folder).catch(() => []))
      if (UNFINISHED.test(name)) await rm(join(folder, name))
  await sweepUnfinished(out)
}

/** Return the present state of a scan's files. */
export async function inputOf(scan: ScanCase): Promise<readonly FileState[]> {
  const files = [scan.image, scan.organMask, scan.label].filter((file) => file !== null)
  return (await Promise.all(files.map(statesOfScan))).flat()
}

/** Remove the record and the masks of scans. */
export async function removeEarlier(out: string, scans: readonly ScanCase[]): Promise<void> {
  for (const name of ['prediction.json', PREDICTIONS, ...scans.map(maskOf)])
    await rm(join(out, name), { force: true })
}

async function refuseOtherSettings(
  out: string,
  settings: Readonly<Record<string, unknown>>,
  scans: readonly ScanCase[],
): Promise<void> {
  const path = join(out, 'prediction.json')
  const text = `${JSON.stringify(settings, null, 2)}\n`
  const before = await readFile(path, 'utf8').catch(() => null)
  const hint = 'choose another --out, or replace the masks with --overwrite'
  if (before === null) {
    const present = new Set(await readdir(out))
    const strange = scans.find((scan) => present.has(maskOf(scan)))
    if (strange)
      throw new UsageError(`${join(out, maskOf(strange))}: exists without a prediction.json`, { hint })
    await writeWhole(path, text)
  } else if (before !== text) {
    throw new UsageError(
      `${out}: holds a prediction with other settings (${differences(before, settings)})`,
      {
        hint,
      },
    )
  }
}

function differences(before: string, settings: Readonly<Record<string, unknown>>): string {
  try {
    return differingKeys(asRecord(parseForeignJson(before, 'prediction.json')) ?? {}, settings).join(', ')
  } catch {
    return 'its prediction.json is damaged'
  }
}

/** Return the keys whose values differ in JSON. */
export function differingKeys(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  return keys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]))
}

/** Return the requested scans whose recorded inputs and files are unchanged. */
export async function wholeCases<T extends Pick<PredictionLine, 'case' | 'input' | 'files'>>(
  path: string,
  out: string,
  scans: readonly ScanCase[],
): Promise<Map<string, T>> {
  const lines = new Map<string, T>()
  const exists = await access(path).then(
    () => true,
    () => false,
  )
  if (exists) for await (const line of readJsonLog<T>(path)) lines.set(line.case, line)
  const whole = new Map<string, T>()
  for (const scan of scans) {
    const line = lines.get(scan.id)
    if (line === undefined || JSON.stringify(line.input) !== JSON.stringify(await inputOf(scan))) continue
    const files = await Promise.all(
      Object.entries(line.files).map(async ([name, sha256]) => (await hashOf(join(out, name))) === sha256),
    )
    if (files.every(Boolean)) whole.set(scan.id, line)
  }
  return whole
}

/** Return the SHA-256 of a file; null if it cannot be read. */
export async function hashOf(path: string): Promise<string | null> {
  const hash = createHash('sha256')
  return pipeline(createReadStream(path), hash).then(
    () => hash.digest('hex'),
    () => null,
  )
}

export function maskOf(scan: ScanCase): string {
  return `${scan.id}.nii.gz`
}
