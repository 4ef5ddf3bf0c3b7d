import type { Vec3 } from '../volume/volume.js'
import { scratchInt32 } from './scratch.js'
import type { BoxMask, PlacedMask } from './shape.js'
import type { TumorSite } from './site.js'
import type { TumorPlan } from './tumor.js'

/** Measures of a mask, in voxels of its surroundings. */
export interface MaskMeasures {
  readonly volume: number
  /** Sides of the bounding box. */
  readonly extent: Vec3
  /** Voxel faces between the mask and everything else; faces at the border of the site count. */
  readonly faces: number
  /** Number of components; voxels are connected by their faces. */
  readonly components: number
  /** Mean voxel position. */
  readonly centroid: Vec3
}

/** Return the part of a planned tumor that becomes label: shape AND organ, in the box of the plan. */
export function tumorMask({ box, boxOrigin, organLabel }: TumorPlan, site: TumorSite): PlacedMask {
  const [nx, ny, nz] = box.shape
  const data = new Uint8Array(box.data.length)
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) {
      const start = (x * ny + y) * nz
      const inSite = ((boxOrigin[0] + x) * site.shape[1] + boxOrigin[1] + y) * site.shape[2] + boxOrigin[2]
      for (let z = 0; z < nz; z++)
        if (box.data[start + z] === 1 && site.label[inSite + z] === organLabel) data[start + z] = 1
    }
  return { box: { data, shape: box.shape }, origin: boxOrigin }
}

/**
 * Measure a mask in one pass over its runs (voxels in a row along the third axis). Faces and connections
 * between neighbouring rows are overlaps of runs. Null for an empty mask.
 */
export function measureMask({ box, origin }: PlacedMask): MaskMeasures | null {
  const runs = findRuns(box)
  if (runs.count === 0) return null
  const { volume, low, high, sums } = sumRuns(runs, box.shape)
  const { shared, components } = joinRuns(runs, box.shape)
  return {
    volume,
    extent: [high[0] - low[0] + 1, high[1] - low[1] + 1, high[2] - low[2] + 1],
    faces: 2 * (2 * volume - shared) + 2 * runs.count,
    components,
    centroid: [origin[0] + sums[0] / volume, origin[1] + sums[1] / volume, origin[2] + sums[2] / volume],
  }
}

/** Run r covers z `starts[r]` to `ends[r] - 1`; row i (x * ny + y) has runs `firsts[i]` to `firsts[i + 1] - 1`. */
interface Runs {
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly firsts: Int32Array
  readonly count: number
}

function findRuns({ data, shape }: BoxMask): Runs {
  const [nx, ny, nz] = shape
  const most = nx * ny * Math.ceil(nz / 2)
  const starts = scratchInt32('measure.starts', most)
  const ends = scratchInt32('measure.ends', most)
  const firsts = scratchInt32('measure.firsts', nx * ny + 1)
  let count = 0
  for (let row = 0; row < nx * ny; row++) {
    firsts[row] = count
    let before = 0
    const start = row * nz
    for (let z = 0; z < nz; z++) {
      const value = data[start + z]!
      if (value === before) continue
      if (value === 1) starts[count] = z
      else ends[count++] = z
      before = value
    }
    if (before === 1) ends[count++] = nz
  }
  firsts[nx * ny] = count
  return { starts, ends, firsts, count }
}

function sumRuns({ starts, ends, firsts }: Runs, [nx, ny, nz]: Vec3) {
  let volume = 0
  const low = [nx, ny, nz] as [number, number, number]
  const high = [-1, -1, -1] as [number, number, number]
  const sums = [0, 0, 0] as [number, number, number]
  for (let row = 0; row < nx * ny; row++) {
    const [from, to] = [firsts[row]!, firsts[row + 1]!]
    if (from === to) continue
    const x = Math.floor(row / ny)
    const y = row % ny
    low[0] = Math.min(low[0], x)
    high[0] = x
    low[1] = Math.min(low[1], y)
    high[1] = Math.max(high[1], y)
    low[2] = Math.min(low[2], starts[from]!)
    high[2] = Math.max(high[2], ends[to - 1]! - 1)
    for (let run = from; run < to; run++) {
      const length = ends[run]! - starts[run]!
      volume += length
      sums[0] += length * x
      sums[1] += length * y
      sums[2] += (length * (starts[run]! + ends[run]! - 1)) / 2
    }
  }
  return { volume, low, high, sums }
}

/**
 * Count the voxel pairs that touch across the first two axes (`shared`) and the components, by union of
 * touching runs.
 */
function joinRuns(runs: Runs, [nx, ny]: Vec3): { readonly shared: number; readonly components: number } {
  const parents = scratchInt32('measure.parents', runs.count)
  for (let run = 0; run < runs.count; run++) parents[run] = run
  let shared = 0
  for (let row = 0; row < nx * ny; row++) {
    if (row % ny > 0) shared += joinRows(runs, row - 1, row, parents)
    if (row >= ny) shared += joinRows(runs, row - ny, row, parents)
  }
  let components = 0
  for (let run = 0; run < runs.count; run++) if (parents[run] === run) components++
  return { shared, components }
}

/** Join the overlapping runs of two neighbouring rows and return the number of overlapping voxels. */
function joinRows({ starts, ends, firsts }: Runs, rowA: number, rowB: number, parents: Int32Array): number {
  let a = firsts[rowA]!
  let b = firsts[rowB]!
  let shared = 0
  while (a < firsts[rowA + 1]! && b < firsts[rowB + 1]!) {
    const overlap = Math.min(ends[a]!, ends[b]!) - Math.max(starts[a]!, starts[b]!)
    if (overlap > 0) {
      shared += overlap
      join(parents, a, b)
    }
    if (ends[a]! < ends[b]!) a++
    else b++
  }
  return shared
}

function join(parents: Int32Array, a: number, b: number): void {
  const [rootA, rootB] = [rootOf(parents, a), rootOf(parents, b)]
  if (rootA < rootB) parents[rootB] = rootA
  else parents[rootA] = rootB
}

function rootOf(parents: Int32Array, run: number): number {
  let root = run
  while (parents[root] !== root) {
    parents[root] = parents[parents[root]!]!
    root = parents[root]!
  }
  return root
}
