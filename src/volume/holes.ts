import { findRuns } from './components.js'
import type { LabelMap } from './volume.js'

/** Background that one owner encloses. */
export interface Hole {
  readonly owner: number
  readonly voxels: number
  /** Positions [start, end) in the data of the label map. */
  readonly runs: readonly (readonly [start: number, end: number])[]
}

/** Owner of a hole whose neighbours have no owner yet, and of one that is not enclosed by one owner. */
const [UNKNOWN, NONE] = [0, 255]

/**
 * Find the holes of a label map: components of id 0 (6 neighbours: faces connect) that do not reach the border of the
 * volume, and whose neighbours all have one owner.
 * @param ownerOf owner (1 to 254) of each of the 256 ids; 255 for ids that enclose nothing
 * @returns in the order of their first voxel
 */
export function findHoles(label: LabelMap, ownerOf: Uint8Array): Hole[] {
  const { data, shape } = label
  const [, ny, nz] = shape
  const runs = findRuns(label, 0)
  const parent = joinedRuns(runs, shape)
  const owners = new Uint8Array(runs.length)
  for (const [n, run] of runs.entries()) if (isAtBorder(run, shape)) owners[rootOf(parent, n)] = NONE
  for (const [n, { row, start, end }] of runs.entries()) {
    const root = rootOf(parent, n)
    if (owners[root] === NONE) continue
    const meet = (id: number): void => {
      const owner = ownerOf[id]!
      if (owners[root] === UNKNOWN) owners[root] = owner
      else if (owners[root] !== owner) owners[root] = NONE
    }
    meet(data[row * nz + start - 1]!)
    meet(data[row * nz + end]!)
    for (const neighbour of [row - ny, row - 1, row + 1, row + ny])
      for (let at = neighbour * nz + start; at < neighbour * nz + end; at++)
        if (data[at] !== 0) meet(data[at]!)
  }
  const holes = new Map<number, { owner: number; voxels: number; runs: [number, number][] }>()
  for (const [n, { row, start, end }] of runs.entries()) {
    const root = rootOf(parent, n)
    const owner = owners[root]!
    if (owner === NONE) continue
    const hole = holes.get(root) ?? { owner, voxels: 0, runs: [] }
    hole.voxels += end - start
    hole.runs.push([row * nz + start, row * nz + end])
    holes.set(root, hole)
  }
  return [...holes.values()]
}

type Run = ReturnType<typeof findRuns>[number]

function isAtBorder({ row, start, end }: Run, [nx, ny, nz]: LabelMap['shape']): boolean {
  const [i, j] = [Math.floor(row / ny), row % ny]
  return start === 0 || end === nz || i === 0 || i === nx - 1 || j === 0 || j === ny - 1
}

/** Return the parent of each run in the trees of connected runs. */
function joinedRuns(runs: readonly Run[], [nx, ny]: LabelMap['shape']): Int32Array {
  const firstOfRow = new Int32Array(nx * ny + 1).fill(runs.length)
  for (let n = runs.length - 1; n >= 0; n--) firstOfRow[runs[n]!.row] = n
  const parent = Int32Array.from(runs.keys())
  for (const [n, { row, start, end }] of runs.entries()) {
    const above = row >= ny ? [row - ny] : []
    for (const neighbour of row % ny > 0 ? [...above, row - 1] : above)
      for (let m = firstOfRow[neighbour]!; m < n && runs[m]!.row === neighbour && runs[m]!.start < end; m++)
        if (runs[m]!.end > start) unite(parent, n, m)
  }
  return parent
}

function unite(parent: Int32Array, a: number, b: number): void {
  const [rootA, rootB] = [rootOf(parent, a), rootOf(parent, b)]
  if (rootA < rootB) parent[rootB] = rootA
  else parent[rootA] = rootB
}

function rootOf(parent: Int32Array, n: number): number {
  let root = n
  while (parent[root] !== root) {
    parent[root] = parent[parent[root]!]!
    root = parent[root]!
  }
  return root
}
