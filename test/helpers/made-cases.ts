import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ManifestCase } from '../../src/curation/datasets/manifest.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import type { LabelMap, Volume, VoxelArray } from '../../src/volume/volume.js'
import { diagonal, filled } from './nifti-fixtures.js'

const SHAPE = [24, 24, 24] as const
const AFFINE = diagonal([2, 2, 2], [-24, -24, -24])

/** A body of soft tissue in air: liver (1) with a tumor (2) on the right, pancreas (3) left of it. */
export function madeLabel(
  edit: (i: number, j: number, k: number, id: number) => number = (_i, _j, _k, id) => id,
): LabelMap {
  return filled(Uint8Array, SHAPE, (i, j, k) => edit(i, j, k, idAt(i, j, k)), AFFINE)
}

/** HU of that body, as `edit` changes them. */
export function madeImage<T extends VoxelArray = Int16Array>(
  edit: (hu: number, i: number, j: number, k: number) => number = (hu) => hu,
  type: new (length: number) => T = Int16Array as unknown as new (
    length: number,
  ) => T,
): Volume<T> {
  return filled(type, SHAPE, (i, j, k) => edit(huAt(i, j, k), i, j, k), AFFINE)
}

export async function madeCase(
  folder: string,
  image: Volume,
  label: Volume | null,
  more: Partial<ManifestCase> = {},
): Promise<ManifestCase> {
  mkdirSync(folder, { recursive: true })
  const item: ManifestCase = {
    id: 'Made/a',
    dataset: 'Made',
    patient: 'Made/a',
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver'] },
    image: join(folder, 'image.nii.gz'),
    label: label && join(folder, 'label.nii.gz'),
    fold: null,
    split: 'training',
    labelMap: { '1': 1, '2': 2, '3': 3 },
    ...more,
  }
  await writeNifti(item.image, image)
  if (label && item.label) await writeNifti(item.label, label)
  return item
}

function inBody(i: number, j: number, k: number): boolean {
  return Math.min(i, j, k) >= 3 && Math.max(i, j, k) < 21
}

function idAt(i: number, j: number, k: number): number {
  const organ = j >= 8 && j < 16 && k >= 8 && k < 16
  if (organ && i >= 13 && i < 19) return i === 16 && j >= 10 && j < 13 && k >= 10 && k < 13 ? 2 : 1
  return organ && i >= 6 && i < 9 ? 3 : 0
}

function huAt(i: number, j: number, k: number): number {
  if (!inBody(i, j, k)) return -1000
  // Some texture, and a little bone.
  if (i === 12 && j === 18) return 700 + k
  return 40 + ((7 * i + 5 * j + 3 * k) % 21)
}
