import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { ConfigError, DataError } from '../errors.js'
import { parseForeignJson, readForeignJson, readForeignText } from '../foreign-text.js'
import {
  type Calibration,
  calibratedThresholds,
  calibrationSchema,
  type UsedCalibration,
  usedCalibrationSchema,
} from '../quality/calibration.js'
import type { QualityPolicy } from '../quality/policy.js'
import { SIZE_CLASSES, sizeOfVoxels } from '../simulation/size.js'
import { cannotBeRead } from '../system-errors.js'
import type { Vec3 } from '../volume/volume.js'
import { writeWhole } from '../whole-file.js'

/** A calibration file that was read. */
export interface OpenedCalibration {
  readonly file: string
  readonly sha256: string
  readonly calibration: Calibration
}

/** The policy of a run, ready to judge. */
export interface OpenedPolicy {
  readonly policy: QualityPolicy
  /** Null for the published policy. */
  readonly calibration: OpenedCalibration | null
}

/**
 * Return the policy of a configuration, with the thresholds of its calibration.
 * @throws ConfigError without a file for policy calibrated, DataError for a damaged one
 */
export async function openPolicy(
  quality: RunConfig['quality'],
  { spacingMm }: { readonly spacingMm: Vec3 },
): Promise<OpenedPolicy> {
  if (quality.policy === 'published') return { policy: quality, calibration: null }
  if (quality.calibration === null)
    throw new ConfigError('quality.calibration: missing (expected for policy calibrated)', {
      hint: 'write one with `freetumor calibrate`, and name it',
    })
  const calibration = await readCalibration(quality.calibration)
  const voxelMl = (spacingMm[0] * spacingMm[1] * spacingMm[2]) / 1000
  const sizes = { names: SIZE_CLASSES, sizeOf: sizeOfVoxels, voxelMl }
  const thresholds = calibratedThresholds(calibration.calibration, quality.rejectedShare, sizes)
  return { policy: { ...quality, calibrated: { thresholds, sizeOf: sizeOfVoxels } }, calibration }
}

/**
 * Read a calibration file.
 * @throws ConfigError if it cannot be read, DataError if it is no calibration
 */
export async function readCalibration(file: string): Promise<OpenedCalibration> {
  const text = await readForeignText(file, {
    unreadable: (code, cause) =>
      new ConfigError(cannotBeRead(file, code), { hint: 'write it with `freetumor calibrate`', cause }),
  })
  const parsed = calibrationSchema.safeParse(parseForeignJson(text, file))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const where = issue.path.length > 0 ? ` at ${issue.path.join('.')}` : ''
    throw new DataError(`${file}: not a calibration${where} (${issue.message})`, {
      hint: 'write it with `freetumor calibrate`',
    })
  }
  return { file, sha256: createHash('sha256').update(text).digest('hex'), calibration: parsed.data }
}

/** Name of the record in a run directory. */
const USED = 'calibration.json'

/** Record the calibration of a run for its report; without one, remove an earlier record. */
export async function writeUsedCalibration(
  run: string,
  { policy, calibration }: OpenedPolicy,
  { rejectedShare }: RunConfig['quality'],
): Promise<void> {
  const path = join(run, USED)
  if (calibration === null) return await rm(path, { force: true })
  const { file, sha256 } = calibration
  const { healthy } = calibration.calibration
  const used = { file, sha256, rejectedShare, thresholds: policy.calibrated?.thresholds ?? [], healthy }
  await writeWhole(path, `${JSON.stringify(used, null, 2)}\n`)
}

/** Read the calibration that a run used; null if it used none, or its record is damaged. */
export async function readUsedCalibration(run: string): Promise<UsedCalibration | null> {
  const found = await readForeignJson(join(run, USED)).catch(() => null)
  return usedCalibrationSchema.safeParse(found).data ?? null
}

/**
 * Check that a calibration was measured with the baseline that judges.
 * @param baseline SHA-256 of its checkpoint
 * @throws DataError if it was another
 */
export function refuseOtherBaseline(opened: OpenedCalibration | null, baseline: string | null): void {
  const measured = opened?.calibration.segmentor ?? null
  if (opened === null || measured === null || baseline === null || measured === baseline) return
  throw new DataError(
    `${opened.file}: measured with another baseline (expected ${baseline.slice(0, 12)}, found ${measured.slice(0, 12)})`,
    { hint: 'predict the held-out cases with this baseline, and run `freetumor calibrate` again' },
  )
}
