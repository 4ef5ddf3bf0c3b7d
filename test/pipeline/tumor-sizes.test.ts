import { expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'
import { sizeSettings, unaimedSizes } from '../../src/pipeline/tumor-sizes.js'
import type { Vec3 } from '../../src/volume/volume.js'

const simulationOf = (simulation: object) =>
  resolveConfig({ job: 'baseline', data: { datasets: [{ name: 'Mine' }] }, simulation }).simulation

const on = (spacingMm: Vec3) => ({ spacingMm, windowHu: [-175, 250] as const })

it('keeps radii in voxels, and converts those in millimetres by the spacing of each axis', () => {
  const voxels = { tiny: 4, small: 8, medium: 16, large: 32 }
  expect(sizeSettings(simulationOf({ radiusVoxels: voxels }), on([1, 1, 2])).radiusVoxels).toEqual(voxels)
  const inMm = simulationOf({ radiusMm: { tiny: 2, small: 4, medium: 8, large: 16 } })
  expect(sizeSettings(inMm, on([1, 1, 2])).radiusVoxels).toMatchObject({
    tiny: [2, 2, 1],
    large: [16, 16, 8],
  })
})

it('lists one radius for each volume, and none without volumes', () => {
  expect(sizeSettings(simulationOf({}), on([1, 1, 1])).listedRadii).toBeNull()
  const ofBall = sizeSettings(simulationOf({ volumesMl: [(4 / 3) * Math.PI] }), on([1, 1, 2])).listedRadii
  expect(ofBall).toHaveLength(1)
  for (const [axis, radius] of [10, 10, 5].entries())
    expect(ofBall![0]).toHaveProperty(`${axis}`, expect.closeTo(radius, 9))
})

it('aims at the missed sizes on the prepared grid, and at nothing without them', () => {
  expect(sizeSettings(simulationOf({}), on([1, 1, 1])).curriculum).toBeNull()
  const curriculum = [{ organ: 'liver', diameterMm: [5, 10], found: 0, missed: 3 }]
  const { curriculum: aimed } = sizeSettings(simulationOf({ curriculum }), on([1, 1, 2]))
  expect(aimed).toMatchObject([{ organ: 'liver', diametersMm: [{ from: 6, to: 10, probability: 1 }] }])
})

it('refuses a curriculum whose diameters are all too small for the grid', () => {
  const small = { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 3 }
  const larger = { organ: 'kidney', diameterMm: [5, 10], found: 0, missed: 3 }
  const sizes = (curriculum: object[], spacing: Vec3) =>
    sizeSettings(simulationOf({ curriculum }), on(spacing))
  expect(() => sizes([small], [1, 1, 1])).toThrow(
    /simulation\.curriculum: aims at no tumor \(expected a range that ends above 5 mm/,
  )
  expect(() => sizes([small, larger], [1, 1, 4])).toThrow(/ends above 12 mm/)
  expect(sizes([small, larger], [1, 1, 1]).curriculum).toMatchObject([{ organ: 'kidney' }])
  expect(sizes([{ ...small, diameterMm: undefined, depthMm: [0, 5] }], [1, 1, 1]).curriculum).toHaveLength(1)
})

it('warns of an organ whose diameters are all too small, next to others', () => {
  const small = { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 3 }
  const larger = { organ: 'kidney', diameterMm: [5, 10], found: 0, missed: 3 }
  const warnings = (curriculum: object[] | null, spacing: Vec3 = [1, 1, 1]) =>
    unaimedSizes(simulationOf({ curriculum }), on(spacing))
  const ofLiver =
    'simulation.curriculum: aims at no diameter of the liver (expected a range that ends above 5 mm, the larger of 5 mm and 3 voxels of prepare.spacingMm); the other keys decide its sizes'
  expect(warnings([small, larger])).toEqual([ofLiver])
  // depths are aimed at, diameters are not
  expect(warnings([small, { organ: 'liver', depthMm: [0, 5], found: 0, missed: 3 }])).toEqual([ofLiver])
  expect(warnings([small, { ...small, diameterMm: [5, 10] }])).toEqual([])
  expect(warnings([{ organ: 'liver', depthMm: [0, 5], found: 0, missed: 3 }])).toEqual([])
  expect(warnings(null)).toEqual([])
  const large = { organ: 'kidney', diameterMm: [20, 50], found: 0, missed: 3 }
  const coarse = warnings([small, { ...larger, organ: 'pancreas' }, large], [1, 1, 4])
  expect(coarse.map((text) => /of the (\w+) .* above (\d+) mm/.exec(text)?.slice(1))).toEqual([
    ['liver', '12'],
    ['pancreas', '12'],
  ])
  expect(() => warnings([small])).toThrow(/aims at no tumor/)
})
