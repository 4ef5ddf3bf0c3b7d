import { expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'
import { sizeSettings } from '../../src/pipeline/tumor-sizes.js'

const simulationOf = (simulation: object) =>
  resolveConfig({ job: 'baseline', data: { datasets: [{ name: 'Mine' }] }, simulation }).simulation

it('keeps radii in voxels, and converts those in millimetres by the spacing of each axis', () => {
  const voxels = { tiny: 4, small: 8, medium: 16, large: 32 }
  expect(sizeSettings(simulationOf({ radiusVoxels: voxels }), [1, 1, 2]).radiusVoxels).toEqual(voxels)
  const inMm = simulationOf({ radiusMm: { tiny: 2, small: 4, medium: 8, large: 16 } })
  expect(sizeSettings(inMm, [1, 1, 2]).radiusVoxels).toMatchObject({ tiny: [2, 2, 1], large: [16, 16, 8] })
})

it('lists one radius for each volume, and none without volumes', () => {
  expect(sizeSettings(simulationOf({}), [1, 1, 1]).listedRadii).toBeNull()
  const ofBall = sizeSettings(simulationOf({ volumesMl: [(4 / 3) * Math.PI] }), [1, 1, 2]).listedRadii
  expect(ofBall).toHaveLength(1)
  for (const [axis, radius] of [10, 10, 5].entries())
    expect(ofBall![0]).toHaveProperty(`${axis}`, expect.closeTo(radius, 9))
})

it('aims at the missed sizes on the prepared grid, and at nothing without them', () => {
  expect(sizeSettings(simulationOf({}), [1, 1, 1]).curriculum).toBeNull()
  const curriculum = [{ organ: 'liver', diameterMm: [5, 10], found: 0, missed: 3 }]
  const { curriculum: aimed } = sizeSettings(simulationOf({ curriculum }), [1, 1, 2])
  expect(aimed).toMatchObject([{ organ: 'liver', bins: [{ fromMm: 6, toMm: 10, probability: 1 }] }])
})
