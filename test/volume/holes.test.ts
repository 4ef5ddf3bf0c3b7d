import { describe, expect, test } from 'vitest'
import { findHoles } from '../../src/volume/holes.js'
import type { LabelMap, Vec3 } from '../../src/volume/volume.js'

const SHAPE: Vec3 = [5, 5, 5]

function block(
  id: number,
  without: readonly Vec3[],
  others: readonly (readonly [Vec3, number])[] = [],
): LabelMap {
  const data = new Uint8Array(125)
  const at = ([i, j, k]: Vec3): number => (i * 5 + j) * 5 + k
  for (let i = 0; i < 5; i++) for (let j = 0; j < 5; j++) for (let k = 0; k < 5; k++) data[at([i, j, k])] = id
  for (const voxel of without) data[at(voxel)] = 0
  for (const [voxel, other] of others) data[at(voxel)] = other
  return { data, shape: SHAPE, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
}

/** Ids 1 and 2 belong to owner 1, ids 3 and 4 to owner 2. */
const owners = new Uint8Array(256).fill(255)
owners.set([1, 1, 2, 2], 1)

const found = (label: LabelMap) => findHoles(label, owners).map(({ owner, voxels }) => [owner, voxels])

describe('findHoles', () => {
  test('finds enclosed background, in the order of the first voxel', () => {
    const label = block(1, [
      [1, 1, 1],
      [3, 3, 3],
      [3, 3, 2],
    ])
    expect(findHoles(label, owners)).toEqual([
      { owner: 1, voxels: 1, runs: [[31, 32]] },
      { owner: 1, voxels: 2, runs: [[92, 94]] },
    ])
  })

  test('leaves background that reaches the border of the volume', () => {
    expect(
      found(
        block(1, [
          [2, 2, 2],
          [2, 2, 3],
          [2, 2, 4],
        ]),
      ),
    ).toEqual([])
    expect(found(block(1, [[0, 2, 2]]))).toEqual([])
  })

  test('treats background that touches by a corner as separate', () => {
    expect(
      found(
        block(1, [
          [1, 1, 1],
          [2, 2, 2],
        ]),
      ),
    ).toEqual([
      [1, 1],
      [1, 1],
    ])
  })

  test('gives a hole next to a tumor to the organ of the tumor', () => {
    expect(found(block(1, [[2, 2, 2]], [[[2, 2, 3], 2]]))).toEqual([[1, 1]])
  })

  test('leaves background between two organs, or next to ignored voxels', () => {
    expect(found(block(1, [[2, 2, 2]], [[[1, 2, 2], 3]]))).toEqual([])
    expect(found(block(1, [[2, 2, 2]], [[[2, 1, 2], 255]]))).toEqual([])
  })
})
