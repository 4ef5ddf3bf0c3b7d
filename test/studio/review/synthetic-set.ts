import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { encodeNiftiHeader, type NiftiDataType } from '../../../src/volume/nifti-header.js'
import type { Affine, Vec3 } from '../../../src/volume/volume.js'
import { linesOf } from '../runs.js'

/** Voxel to RAS millimetres: axes reversed and exchanged, so that a mistake in the orientation is seen. */
export const AFFINE: Affine = [0, -1.5, 0, 30, 1.5, 0, 0, -20, 0, 0, 2, -10, 0, 0, 0, 1]
export const SHAPE: Vec3 = [24, 28, 20]
/** HU of tissue, and what a tumor adds. */
export const TISSUE_HU = 60
export const TUMOR_HU = -90
const LIVER = 1
const LIVER_TUMOR = 2

export interface SyntheticSet {
  /** Holds `set/` and `hosts/`. */
  readonly folder: string
  readonly set: string
  readonly hosts: string
  readonly tumors: readonly TestTumor[]
}

export interface TestTumor {
  readonly case: string
  readonly variant: number
  readonly tumor: number
  readonly centreMm: Vec3
  readonly sha256: string
}

/** Write a volume; the first axis is the fastest. Return the SHA-256 of the file. */
export function writeVolume(
  file: string,
  type: Extract<NiftiDataType, 'int16' | 'uint8'>,
  valueAt: (i: number, j: number, k: number) => number,
  shape = SHAPE,
  affine = AFFINE,
): string {
  const values = new (type === 'int16' ? Int16Array : Uint8Array)(shape[0] * shape[1] * shape[2])
  for (let k = 0, at = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++) for (let i = 0; i < shape[0]; i++, at++) values[at] = valueAt(i, j, k)
  const bytes = Buffer.concat([encodeNiftiHeader(shape, affine, type), Buffer.from(values.buffer)])
  const stored = file.endsWith('.gz') ? gzipSync(bytes, { level: 1 }) : bytes
  writeFileSync(file, stored)
  return createHash('sha256').update(stored).digest('hex')
}

/** Write a synthetic data set with its hosts: each scan has tumors of 3 x 3 x 3 voxels in a row, one rejected attempt has no scan. */
export function writeSyntheticSet(folder: string, scans = 2, tumorsPerScan = 3): SyntheticSet {
  const [set, hosts] = [join(folder, 'set'), join(folder, 'hosts')]
  for (const one of ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'])
    mkdirSync(join(set, one), { recursive: true })
  mkdirSync(hosts, { recursive: true })
  const tumors: TestTumor[] = []
  const lines: unknown[] = []
  for (let scan = 0; scan < scans; scan++) {
    const caseId = `case_${String(scan).padStart(3, '0')}`
    const tissue = (i: number, j: number, k: number): number =>
      TISSUE_HU + ((i * 7 + j * 3 + k * 5 + scan) % 9)
    const tumorAt = (i: number, j: number, k: number): number =>
      Array.from({ length: tumorsPerScan }, (_, tumor) => tumor).find((tumor) =>
        isInside(voxelOf(tumor), [i, j, k]),
      ) ?? -1
    const host = writeVolume(join(hosts, `${caseId}.nii.gz`), 'int16', tissue)
    const name = `${caseId}_v000.nii.gz`
    const sha256 = writeVolume(join(set, 'imagesTr', name), 'int16', (i, j, k) =>
      tumorAt(i, j, k) < 0 ? tissue(i, j, k) : tissue(i, j, k) + TUMOR_HU,
    )
    writeVolume(join(set, 'labelsTr', name), 'uint8', (...at) => (tumorAt(...at) < 0 ? LIVER : LIVER_TUMOR))
    writeVolume(join(set, 'changeTr', name), 'uint8', (...at) => Number(tumorAt(...at) >= 0))
    writeVolume(join(set, 'tumorsTr', name), 'uint8', (...at) => tumorAt(...at) + 1)
    for (let tumor = 0; tumor < tumorsPerScan; tumor++) {
      const centreMm = inMm(voxelOf(tumor))
      const line = {
        case: caseId,
        host,
        variant: 0,
        tumor,
        attempt: 0,
        organ: 'liver',
        size: tumor % 2 === 0 ? 'small' : 'large',
        plan: { boxShape: [3, 3, 3], centreMm },
        verdict: 'accepted',
        reason: 'seen',
        measures: { shareSeen: 0.5 + tumor / 100, contrastHu: TUMOR_HU },
        time: '2026-11-29T12:00:00.000Z',
      }
      if (tumor === 0) lines.push({ ...line, verdict: 'rejected', reason: 'notSeen' })
      lines.push({ ...line, attempt: tumor === 0 ? 1 : 0, file: name, sha256 })
      tumors.push({ case: caseId, variant: 0, tumor, centreMm, sha256 })
    }
  }
  writeFileSync(join(set, 'ledger.jsonl'), linesOf(lines))
  writeFileSync(
    join(set, 'dataset.json'),
    JSON.stringify({ labels: { 0: 'background', [LIVER]: 'liver', [LIVER_TUMOR]: 'liver tumor' } }),
  )
  writeFileSync(join(set, 'synthesis.json'), JSON.stringify({ spacingMm: [1.5, 1.5, 2] }))
  return { folder, set, hosts, tumors }
}

function voxelOf(tumor: number): Vec3 {
  return [4 + (tumor % 3) * 5, 5 + (Math.floor(tumor / 3) % 4) * 5, 4 + (Math.floor(tumor / 12) % 3) * 5]
}

function isInside(centre: Vec3, voxel: Vec3): boolean {
  return centre.every((at, axis) => Math.abs(voxel[axis]! - at) <= 1)
}

function inMm([i, j, k]: Vec3): Vec3 {
  const row = (at: number): number =>
    AFFINE[at]! * i + AFFINE[at + 1]! * j + AFFINE[at + 2]! * k + AFFINE[at + 3]!
  return [row(0), row(4), row(8)]
}
