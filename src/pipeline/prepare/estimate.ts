import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cacheName } from '../../curation/case-file-names.js'
import { DataError } from '../../errors.js'
import { extentAlongWorld } from '../../volume/geometry.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { probeNifti } from '../../volume/nifti-probe.js'
import type { CaseToPrepare } from './run.js'
import type { PrepareSettings } from './settings.js'
import { cacheDirectory, cacheIdOf } from './spec.js'

/** Estimated cost of a preparation, from headers alone. */
export interface PrepareEstimate {
  readonly cases: number
  /** Cases that the cache holds already; they are prepared again only if their files or settings changed. */
  readonly cached: number
  /** Cases whose header cannot be read: they will fail. */
  readonly unreadable: number
  /** Bytes of the new cases, before the crop to the foreground. */
  readonly bytesAtMost: number
  readonly freeBytes: number
  /** On a machine like the one where it was measured, all workers together. */
  readonly secondsAbout: number
  readonly memoryBytesPerWorker: number
}

// Measured on one core of a server of 2023, MONAI 1.6: 512 x 512 x 200 voxels to 231 x 177 x 200.
const SECONDS_PER_SOURCE_VOXEL = 3e-8
const SECONDS_PER_PREPARED_VOXEL = 1.9e-7
const START_SECONDS = 6
/** MONAI resamples in float64, in addition to the volume as stored and as float32. */
const MEMORY_PER_SOURCE_VOXEL = 24
const MEMORY_PER_WORKER = 400e6
const BLOCK_VOXELS = 16 ** 3
const OPEN_FILES = 16

/** Estimate size, time and memory of preparing these cases. Reads the header of each image that is not cached. */
export async function estimatePreparation(
  settings: PrepareSettings,
  cases: readonly CaseToPrepare[],
): Promise<PrepareEstimate> {
  const directory = cacheDirectory(settings)
  const fresh = cases.filter((item) => !existsSync(join(directory, cacheName(cacheIdOf(item)))))
  const sizes = await sizesOf(fresh, settings)
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const sourceVoxels = sizes.map(({ source }) => source)
  const largestSource = sourceVoxels.reduce((most, voxels) => Math.max(most, voxels), 0)
  const preparedVoxels = sum(sizes.map(({ prepared }) => prepared))
  const numIds = LABEL_SCHEMES[settings.region].names.length
  const seconds = sum(sourceVoxels) * SECONDS_PER_SOURCE_VOXEL + preparedVoxels * SECONDS_PER_PREPARED_VOXEL
  return {
    cases: cases.length,
    cached: cases.length - fresh.length,
    unreadable: fresh.length - sizes.length,
    // int16 image, uint8 label, uint16 counts of each id in each block.
    bytesAtMost: Math.ceil(preparedVoxels * (3 + (2 * numIds) / BLOCK_VOXELS)),
    freeBytes: await freeBytes(directory),
    secondsAbout: Math.ceil(START_SECONDS + seconds / Math.min(settings.prepare.workers, fresh.length || 1)),
    memoryBytesPerWorker: MEMORY_PER_WORKER + largestSource * MEMORY_PER_SOURCE_VOXEL,
  }
}

interface CaseSize {
  readonly source: number
  readonly prepared: number
}

/** Return the voxels before and after preparation, of every case whose header can be read. */
async function sizesOf(cases: readonly CaseToPrepare[], { prepare }: PrepareSettings): Promise<CaseSize[]> {
  const sizes: CaseSize[] = []
  const queue = [...cases].reverse()
  const work = async () => {
    for (let item = queue.pop(); item; item = queue.pop()) {
      try {
        const { header } = await probeNifti(item.image)
        const mm = extentAlongWorld(header)
        const prepared = mm.map((extent, axis) => Math.round(extent / prepare.spacingMm[axis]!))
        sizes.push({ source: product(header.shape), prepared: product(prepared) })
      } catch (error) {
        if (!(error instanceof DataError)) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: OPEN_FILES }, work))
  return sizes
}

function product(sides: readonly number[]): number {
  return sides.reduce((voxels, side) => voxels * side, 1)
}

async function freeBytes(folder: string): Promise<number> {
  let existing = folder
  while (!existsSync(existing)) existing = dirname(existing)
  const { bavail, bsize } = await statfs(existing)
  return bavail * bsize
}
