import { describe, expect, it } from 'vitest'
import { DataError, UsageError } from '../../src/errors.js'
import { findCentre } from '../../src/simulation/centre.js'
import { measureMask } from '../../src/simulation/measure.js'
import { type SimulationRequest, simulateOnLabels } from '../../src/simulation/on-labels.js'
import { openStream } from '../../src/simulation/random.js'
import { organSlices } from '../../src/simulation/site.js'
import type { LabelMap, Vec3 } from '../../src/volume/volume.js'
import { siteOf } from './phantom-sites.js'

const UNIT = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

function mapOf(shape: Vec3, id: (x: number, y: number, z: number) => number): LabelMap {
  return { data: siteOf(shape, id).label, shape, affine: UNIT }
}

const isLiver = (x: number, y: number, z: number) =>
  ((x - 60) / 25) ** 2 + ((y - 30) / 20) ** 2 + ((z - 40) / 30) ** 2 < 1
const labels = mapOf([90, 70, 81], (x, y, z) =>
  x === 60 && y === 30 ? 2 : isLiver(x, y, z) ? 1 : x < 5 ? 3 : 0,
)
const small: SimulationRequest = { organLabel: 1, size: 'small', count: 20, seed: 7 }

describe('simulateOnLabels', () => {
  it('returns tumors within the organ, measured in voxels of the map', () => {
    const made = [...simulateOnLabels(labels, small)]
    expect(made.map((one) => one.outcome)).toEqual(Array(20).fill('placed'))
    made.forEach((one, index) => {
      if (one.outcome !== 'placed') throw new Error('not placed')
      const { tumor, mask } = one
      const { data, shape } = mask.box
      for (let at = 0; at < data.length; at++) {
        if (data[at] === 0) continue
        const x = mask.origin[0] + Math.floor(at / (shape[1] * shape[2]))
        const y = mask.origin[1] + (Math.floor(at / shape[2]) % shape[1])
        const z = mask.origin[2] + (at % shape[2])
        expect(labels.data[(x * 70 + y) * 81 + z]).toBe(1)
      }
      expect(tumor).toEqual({
        index,
        size: 'small',
        centre: tumor.centre,
        radii: tumor.radii,
        edgeSigma: tumor.edgeSigma,
        ...measureMask(mask),
      })
      expect(isLiver(...(tumor.centre as [number, number, number]))).toBe(true)
      expect(tumor.edgeSigma >= 1 && tumor.edgeSigma < 2).toBe(true)
    })
  })

  it('derives tumor i from the seed and i only', () => {
    const twenty = [...simulateOnLabels(labels, small)]
    expect([...simulateOnLabels(labels, { ...small, count: 5 })]).toEqual(twenty.slice(0, 5))
    expect([...simulateOnLabels(labels, { ...small, count: 5, seed: 8 })]).not.toEqual(twenty.slice(0, 5))
  })

  it('keeps the same centres whether the organ is cropped or not', () => {
    const site = { label: labels.data, shape: labels.shape, organLabel: 1 }
    const allowed = (centre: Vec3) => {
      const [x, y, z] = centre
      const near = [-2, -1, 0, 1, 2]
      return near.every((dx) => near.every((dy) => labels.data[((x + dx) * 70 + y + dy) * 81 + z] === 1))
    }
    expect(allowed(findCentre(site, organSlices(site)!, openStream([0]))!)).toBe(true)
    for (const one of simulateOnLabels(labels, { ...small, size: 'tiny', count: 300 }))
      if (one.outcome === 'placed') expect(allowed(one.tumor.centre)).toBe(true)
  })

  it('places tumors at the faces of the map in an organ that the map truncates', () => {
    const all = mapOf([6, 6, 6], () => 4)
    const centres = [...simulateOnLabels(all, { ...small, organLabel: 4, size: 'tiny', count: 200 })].map(
      (one) => (one.outcome === 'placed' ? one.tumor.centre[0] : -1),
    )
    expect(new Set(centres)).toEqual(new Set([0, 1, 2, 3, 4, 5]))
  })

  it('places tumors on given centres in turn, anywhere in the map', () => {
    const centres: Vec3[] = [
      [60, 40, 40],
      [50, 30, 50],
    ]
    const made = [...simulateOnLabels(labels, { ...small, size: 'tiny', count: 4, centres })]
    const found = made.map((one) => (one.outcome === 'placed' ? one.tumor.centre : null))
    expect(found).toEqual([centres[0], centres[1], centres[0], centres[1]])
    const far = [...simulateOnLabels(labels, { ...small, size: 'tiny', count: 1, centres: [[1, 1, 1]] })]
    expect(far).toEqual([{ outcome: 'noRoom', index: 0 }])
  })

  it('draws a class for each tumor of a mixed request, and uses radii instead of the classes', () => {
    const sizes = (request: Partial<SimulationRequest>) =>
      new Set(
        [...simulateOnLabels(labels, { ...small, size: 'mixed', count: 40, ...request })].map((one) =>
          one.outcome === 'placed' ? one.tumor.size : 'none',
        ),
      )
    expect(sizes({})).toEqual(new Set(['tiny', 'small', 'medium', 'large']))
    expect(sizes({ listedRadii: [[4, 4, 4]] })).toEqual(new Set(['tiny']))
  })

  it('reports an organ that is missing or too thin, and a wrong request', () => {
    const run = (map: LabelMap, request: Partial<SimulationRequest>) => () =>
      [...simulateOnLabels(map, { ...small, ...request })].length
    expect(run(labels, { organLabel: 9 })).toThrow(DataError)
    expect(run(labels, { organLabel: 9 })).toThrow('id 9')
    const thin = mapOf([20, 20, 20], (x) => (x === 3 ? 1 : 0))
    expect([...simulateOnLabels(thin, { ...small, count: 1 })]).toEqual([
      { outcome: 'organTooSmall', index: 0 },
    ])
    expect(run(labels, { centres: [[90, 0, 0]] })).toThrow(UsageError)
    expect(run(labels, { count: 0 })).toThrow(UsageError)
    expect(run(labels, { organLabel: 300 })).toThrow(UsageError)
    expect(run(labels, { seed: 0.5 })).toThrow(UsageError)
  })
})
