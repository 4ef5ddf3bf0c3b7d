import { expect, test } from 'vitest'
import { mergeOrgans } from '../../../src/curation/datasets/organ-merge.js'
import { openStream } from '../../../src/simulation/random.js'
import type { Region } from '../../../src/volume/labels.js'
import type { LabelMap, Vec3 } from '../../../src/volume/volume.js'
import { runPython } from '../../helpers/python.js'

const AFFINE = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
const IDS = { abdomen: [1, 2, 3, 4, 5, 6], chest: [1, 2] } as const

type Draw = (below: number) => number

function drawsOf(map: number): Draw {
  const stream = openStream(['organ-merge', map])
  return (below) => Math.floor(stream.uniform() * below)
}

/** A map of boxes of ids, with cuts: holes, gaps between organs and open cavities occur. */
function randomLabel(shape: Vec3, ids: readonly number[], boxes: number, draw: Draw): LabelMap {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2])
  for (let n = 0; n < boxes; n++) {
    // a large box, then small ones, two of three cut it
    const id = n > 0 && draw(3) > 0 ? 0 : ids[draw(ids.length)]!
    const longest = n === 0 ? 9 : 2
    const box = shape.map((length) => {
      const from = draw(n === 0 ? Math.min(2, length) : length)
      return [from, Math.min(length, from + 1 + (n === 0 ? longest : draw(longest)))] as const
    })
    const [[i0, i1], [j0, j1], [k0, k1]] = box as [[number, number], [number, number], [number, number]]
    for (let i = i0; i < i1; i++)
      for (let j = j0; j < j1; j++)
        data.fill(id, (i * shape[1] + j) * shape[2] + k0, (i * shape[1] + j) * shape[2] + k1)
  }
  return { data, shape, affine: AFFINE }
}

/** A map of a few small boxes on background: annotated tumors and parts of organs. */
function smallLabel(shape: Vec3, ids: readonly number[], boxes: number, draw: Draw): LabelMap {
  const label = randomLabel(shape, ids, 1 + boxes, draw)
  return { ...label, data: label.data.map((id) => (draw(8) === 0 ? id : 0)) }
}

test('equals an independent implementation by SciPy on 5,000 random maps', () => {
  const lines: string[] = []
  for (let map = 0; map < 5000; map++) {
    const draw = drawsOf(map)
    const region: Region = draw(4) === 0 ? 'chest' : 'abdomen'
    const shape = [2 + draw(9), 4 + draw(7), 4 + draw(7)] as const
    const organs = randomLabel(shape, [...IDS[region], 255], 3 + draw(9), draw)
    const given = draw(3) === 0 ? null : smallLabel(shape, [...IDS[region], 255], 1 + draw(4), draw)
    const inputs = [organs, given].map((one) => (one === null ? null : [...one.data]))
    const { label, holes } = mergeOrgans(organs, given, region)
    expect([organs, given].map((one) => (one === null ? null : [...one.data]))).toEqual(inputs)
    lines.push(
      JSON.stringify({
        ...{ region, shape, organs: inputs[0], given: inputs[1], label: [...label.data] },
        holes: Object.values(holes).map(({ count, voxels }) => [count, voxels]),
      }),
    )
  }
  const compared = JSON.parse(runPython('test/curation/datasets/organ_merge_by_scipy.py', lines.join('\n')))
  expect(compared).toMatchObject({ maps: 5000, wrong: 0 })
  // the maps have holes at all
  expect(compared.filled).toBeGreaterThan(500)
})
