import type { Vec3, Volume } from './volume.js'

/** Voxels [start, end) of one row (fixed i and j) that belong to one component. */
export interface VoxelRun {
  readonly row: number
  readonly start: number
  readonly end: number
  readonly component: number
}

export interface Components {
  /** Sorted by row and start. */
  readonly runs: readonly VoxelRun[]
  /** Voxels of each component; components are numbered from 0 in order of their first voxel. */
  readonly voxels: readonly number[]
}

/** Find the connected components of the voxels with an id (26 neighbours: touching corners connect). */
export function findComponents(label: Volume, id: number): Components {
  const runs = findRuns(label, id)
  const parent = runs.map((_, n) => n)
  joinNeighbours(runs, parent, label.shape)
  const numbers = new Map<number, number>()
  const voxels: number[] = []
  const found = runs.map(({ row, start, end }, n) => {
    const root = rootOf(parent, n)
    const component = numbers.get(root) ?? numbers.size
    numbers.set(root, component)
    voxels[component] = (voxels[component] ?? 0) + end - start
    return { row, start, end, component }
  })
  return { runs: found, voxels }
}

/** Return for each component whether a voxel of `id` is among its 26 neighbours. */
export function componentsTouching(label: Volume, { runs, voxels }: Components, id: number): boolean[] {
  const [nx, ny, nz] = label.shape
  const touching = voxels.map(() => false)
  for (const { row, start, end, component } of runs) {
    if (touching[component]) continue
    for (const neighbour of rowsAround(row, nx, ny)) {
      const [from, to] = [neighbour * nz + Math.max(0, start - 1), neighbour * nz + Math.min(nz, end + 1)]
      const at = label.data.subarray(from, to).indexOf(id)
      if (at >= 0) touching[component] = true
    }
  }
  return touching
}

type BareRun = Omit<VoxelRun, 'component'>

/** Return all runs of an id, in order. */
export function findRuns({ data, shape }: Volume, id: number): BareRun[] {
  const [nx, ny, nz] = shape
  const runs: BareRun[] = []
  // native searches skip empty space far faster than a loop
  for (let n = data.indexOf(id); n >= 0 && n < nx * ny * nz; ) {
    const row = Math.floor(n / nz)
    const rowEnd = (row + 1) * nz
    let end = n
    while (end < rowEnd && data[end] === id) end++
    runs.push({ row, start: n - row * nz, end: end - row * nz })
    n = data.indexOf(id, end)
  }
  return runs
}

/** Unite each run with the overlapping runs (a corner is enough) of the previous rows. */
function joinNeighbours(runs: readonly BareRun[], parent: number[], [nx, ny]: Vec3): void {
  const firstOfRow = new Map<number, number>()
  for (const [n, { row }] of runs.entries()) if (!firstOfRow.has(row)) firstOfRow.set(row, n)
  for (const [n, run] of runs.entries())
    for (const neighbour of rowsAround(run.row, nx, ny)) {
      if (neighbour >= run.row) continue
      const first = firstOfRow.get(neighbour)
      if (first === undefined) continue
      for (let m = first; m < runs.length && runs[m]!.row === neighbour && runs[m]!.start <= run.end; m++)
        if (runs[m]!.end >= run.start) unite(parent, n, m)
    }
}

function* rowsAround(row: number, nx: number, ny: number): Generator<number> {
  const [i, j] = [Math.floor(row / ny), row % ny]
  for (let a = Math.max(0, i - 1); a <= Math.min(nx - 1, i + 1); a++)
    for (let b = Math.max(0, j - 1); b <= Math.min(ny - 1, j + 1); b++) yield a * ny + b
}

function unite(parent: number[], a: number, b: number): void {
  const [rootA, rootB] = [rootOf(parent, a), rootOf(parent, b)]
  if (rootA < rootB) parent[rootB] = rootA
  else parent[rootA] = rootB
}

function rootOf(parent: number[], n: number): number {
  let root = n
  while (parent[root] !== root) {
    parent[root] = parent[parent[root]!]!
    root = parent[root]!
  }
  return root
}
