import { open } from 'node:fs/promises'
import { UsageError } from '../../errors.js'
import { cropMask, cropScan, cropStart, runsOf, type StudyGrid } from '../../readers/crop.js'
import { type CueName, cuesOf } from '../../readers/cues.js'
import { STUDY_BOUNDS, studyMm } from '../../readers/study.js'
import { openStream } from '../../simulation/random.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import type { Vec3 } from '../../volume/volume.js'
import { lesionMask, readLabels, type StudyTumor } from './candidates.js'
import type { ReaderStudySettings } from './settings.js'

/** Longest side of a crop, and the fraction of a scan that leaves room for the displacement of the tumor. */
const CROP = { longestMm: 128, share: 0.8, shortestMm: 32 } as const
/** Largest displacement of a tumor from the middle, as a fraction of the side. */
const JITTER = 0.125

/** A tumor whose crop is written. */
export interface CroppedTumor {
  readonly file: string
  readonly lesionMm: Vec3
  readonly lesion: number[]
  readonly cues: Record<CueName, number>
  readonly others: boolean
}

/** Return the grid of the volumes: as large as wanted, where nine of ten scans have room for it. */
export function gridOf(
  tumors: readonly StudyTumor[],
  { cropMm, spacingMm = 1 }: ReaderStudySettings,
): StudyGrid {
  const sides = [0, 1, 2].map((axis) => {
    const lengths = tumors.map(({ extent }) => extent[1][axis]! - extent[0][axis]!).sort((a, b) => a - b)
    const room = CROP.share * (lengths[Math.floor(lengths.length / 10)] ?? CROP.longestMm)
    const mm = cropMm ?? Math.max(CROP.shortestMm, Math.min(CROP.longestMm, room))
    return Math.floor(mm / spacingMm)
  }) as [number, number, number]
  if (Math.max(...sides) > STUDY_BOUNDS.side || Math.min(...sides) < 8)
    throw new UsageError(
      `crop: wrong size (expected 8 to ${STUDY_BOUNDS.side} voxels, found ${sides.join(' x ')})`,
      { hint: 'change --crop-mm or --spacing-mm' },
    )
  return { shape: sides, spacingMm }
}

/** Write the crop of a tumor; return why there is none. */
export async function cropTumor(
  one: StudyTumor,
  grid: StudyGrid,
  seed: number,
  file: string,
): Promise<CroppedTumor | string> {
  const random = openStream([seed, 'readers', 'jitter', one.case.id, one.number])
  const jitter = [0, 1, 2].map(
    (axis) => random.uniformIn(-JITTER, JITTER) * grid.shape[axis]! * grid.spacingMm,
  ) as unknown as Vec3
  const start = cropStart(one.extent, grid, one.centreMm, jitter)
  if (start === null) return 'scan smaller than the crop'
  const scan = await readNifti(one.case.image)
  const labels = await readLabels(one.case, one.tumorsFile, scan)
  const tumorIds = new Set(LABEL_SCHEMES[one.case.region].organs.map(({ tumorLabel }) => tumorLabel))
  const inCrop = (isWanted: (voxel: number) => boolean): Uint8Array =>
    cropMask(labels.label, start, grid, isWanted)
  const own = lesionMask(labels, one)
  const lesion = inCrop((at) => own[at] === 1)
  if (!lesion.includes(1)) return 'tumor smaller than a voxel of the crop'
  const all = inCrop((at) => tumorIds.has(labels.label.data[at]!))
  const organ = inCrop((at) => labels.label.data[at] === one.organData.label)
  const { tumors } = labels
  if (
    tumors !== null &&
    inCrop((at) => tumorIds.has(labels.label.data[at]!) && tumors.data[at] === 0).includes(1)
  )
    return 'the host CT has a tumor of its own in the crop'
  const voxels = cropScan(scan, start, grid)
  await writeVolume(file, voxels)
  const lesionMm = middleOf(lesion, grid)
  return {
    file,
    lesionMm,
    lesion: runsOf(lesion),
    cues: cuesOf(voxels, all, organ, grid, lesionMm),
    others: all.some((value, at) => value === 1 && lesion[at] === 0),
  }
}

function middleOf(mask: Uint8Array, grid: StudyGrid): Vec3 {
  const [nx, ny] = grid.shape
  let [i, j, k, n] = [0, 0, 0, 0]
  for (let at = mask.indexOf(1); at >= 0; at = mask.indexOf(1, at + 1)) {
    i += at % nx
    j += Math.floor(at / nx) % ny
    k += Math.floor(at / (nx * ny))
    n++
  }
  return studyMm(grid, [i / n, j / n, k / n]).map((mm) => Math.round(mm * 10) / 10) as unknown as Vec3
}

/** Write the voxels and nothing else: every volume has the same number of bytes. */
async function writeVolume(file: string, voxels: Int16Array): Promise<void> {
  await using handle = await open(file, 'wx', 0o600)
  // every machine that runs Node stores int16 with the low byte first
  await handle.writeFile(new Uint8Array(voxels.buffer))
  await handle.sync()
}
