import { describe, expect, it } from 'vitest'
import { measureMask, tumorMask } from '../../src/simulation/measure.js'
import { openStream } from '../../src/simulation/random.js'
import { organSlices, type TumorSite } from '../../src/simulation/site.js'
import { simulateTumor, type TumorOptions, type TumorPlan } from '../../src/simulation/tumor.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { siteOf } from './phantom-sites.js'

const full = siteOf([64, 64, 64], () => 1)

function planOf(site: TumorSite, options: TumorOptions, seed = 0): TumorPlan {
  const found = simulateTumor(site, options, openStream([seed, 'plan']))
  if (found.outcome !== 'placed') throw new Error(found.outcome)
  return found.plan
}

const plansOf = (options: TumorOptions, count: number) =>
  Array.from({ length: count }, (_, seed) => planOf(full, options, seed))

describe('simulateTumor', () => {
  it('returns the same plan for the same stream and another for another', () => {
    const options = { size: 'medium', textureSizeVoxels: [80, 80, 80], textureCount: 10 } as const
    expect(planOf(full, options)).toEqual(planOf(full, options))
    expect(planOf(full, options, 1).box.data).not.toEqual(planOf(full, options).box.data)
  })

  it('draws each radius from 0.75 R to 1.25 R and the strength of its size', () => {
    const wanted = { tiny: [3, 5], small: [6, 10], medium: [12, 20], large: [24, 40] } as const
    for (const size of ['tiny', 'small', 'medium', 'large'] as const) {
      const radii = plansOf({ size }, 120).flatMap((plan) => plan.radii)
      expect([Math.min(...radii), Math.max(...radii)]).toEqual(wanted[size])
      expect(radii.every(Number.isInteger)).toBe(true)
    }
    const sigmas = (size: TumorOptions['size']) =>
      new Set(plansOf({ size }, 120).map((plan) => plan.warpSigma))
    expect([...sigmas('medium')].sort()).toEqual([3, 4, 5, 6])
    for (const sigma of sigmas('tiny')) expect(sigma >= 0.5 && sigma < 1).toBe(true)
  })

  it('draws the edge, the texture and the hand-crafted difference within their ranges, ends included', () => {
    const plans = plansOf({ size: 'tiny', textureSizeVoxels: [67, 66, 65], textureCount: 3 }, 400)
    const all = (of: (plan: TumorPlan) => number) => [...new Set(plans.map(of))].sort((a, b) => a - b)
    expect(all((plan) => plan.textureIndex)).toEqual([0, 1, 2])
    expect(all((plan) => plan.textureStart[0])).toEqual([0, 1, 2])
    expect(all((plan) => plan.textureStart[1])).toEqual([0, 1])
    expect(all((plan) => plan.textureStart[2])).toEqual([0])
    for (const { edgeSigma, handcraftedDifference } of plans) {
      expect(edgeSigma >= 1 && edgeSigma < 2).toBe(true)
      expect(handcraftedDifference >= 0.2 && handcraftedDifference < 0.7).toBe(true)
    }
  })

  it('does not let the choice of texture change the tumor', () => {
    const plain = planOf(full, { size: 'small' })
    const textured = planOf(full, { size: 'small', textureSizeVoxels: [90, 90, 90], textureCount: 10 })
    expect({ ...textured, textureIndex: 0, textureStart: [0, 0, 0] }).toEqual(plain)
  })

  it('has the wanted number of voxels if one of eight shapes has, else that of the nearest shape', () => {
    const voxels = [200, 300] as const
    const sizes = (options: Partial<TumorOptions>) =>
      plansOf({ size: 'tiny', ...options }, 60).map((plan) => measureMask(tumorMask(plan, full))!.volume)
    const inside = (all: readonly number[]) => all.filter((n) => n >= voxels[0] && n <= voxels[1]).length
    expect(inside(sizes({}))).toBeLessThan(40)
    expect(inside(sizes({ voxels }))).toBeGreaterThan(55)
    // no shape has 10,000 voxels: the largest of eight is taken
    const largest = sizes({ voxels: [10_000, 11_000] })
    expect(Math.min(...largest)).toBeGreaterThan(Math.min(...sizes({})))
    expect(largest).toEqual(sizes({ voxels: [10_000, 11_000] }))
  })

  it('places the box on the centre, and keeps the part inside the site', () => {
    for (const centre of [
      [32, 32, 32],
      [0, 63, 5],
    ] as const) {
      const plan = planOf(full, { size: 'small', centre })
      expect(plan.centre).toEqual(centre)
      for (const axis of [0, 1, 2] as const) {
        expect(plan.boxOrigin[axis]).toBeGreaterThanOrEqual(0)
        expect(plan.boxOrigin[axis] + plan.box.shape[axis]).toBeLessThanOrEqual(64)
      }
      const { centroid } = measureMask(tumorMask(plan, full))!
      centroid.forEach((at, axis) => void expect(Math.abs(at - centre[axis]!)).toBeLessThan(12))
    }
  })

  it('keeps the shape beyond the organ, and counts as placed only with organ in it', () => {
    const site = siteOf([64, 64, 64], (x) => (x < 30 ? 1 : 0))
    const plan = planOf(site, { size: 'medium', centre: [29, 32, 32] })
    expect(plan.boxOrigin[0] + plan.box.shape[0]).toBeGreaterThan(30)
    const mask = tumorMask(plan, site)
    expect(mask.origin[0] + measureMask(mask)!.extent[0]).toBeLessThanOrEqual(30)
    const far = simulateTumor(site, { size: 'tiny', centre: [60, 32, 32] }, openStream([0]))
    expect(far).toEqual({ outcome: 'noRoom' })
  })

  it('accepts given base radii: a number, one per axis, or a function of the stream', () => {
    expect(planOf(full, { size: 'small', radiusVoxels: 1 }).radii.every((r) => r === 1)).toBe(true)
    const flat = planOf(full, { size: 'small', radiusVoxels: [12, 12, 4 / 3] })
    expect(flat.radii[0]).toBeGreaterThanOrEqual(9)
    expect(flat.radii[2]).toBe(1)
    const drawn = planOf(full, { size: 'small', radiusVoxels: (random) => random.integer(20, 20) })
    expect(drawn.radii.every((r) => r >= 15 && r <= 25)).toBe(true)
  })

  it('gives a tumor the same form on a grid of another spacing', () => {
    // 1.5 mm cubes, and the same place in voxels half as long along the third axis.
    const fine = siteOf([64, 64, 128], () => 1)
    const fill = (site: TumorSite, radiusVoxels: number | Vec3, centre: Vec3) => {
      const shares = Array.from({ length: 150 }, (_, seed) => {
        const plan = planOf(site, { size: 'medium', radiusVoxels, centre }, seed)
        const { volume, extent } = measureMask(tumorMask(plan, site))!
        return [volume, ...extent]
      })
      return [0, 1, 2, 3].map((at) => shares.reduce((sum, values) => sum + values[at]!, 0) / shares.length)
    }
    const plain = fill(full, 8, [32, 32, 32])
    const flat = fill(fine, [8, 8, 16], [32, 32, 64])
    // Means of 150: their standard error is below 4 % of them.
    flat.forEach((value, at) => {
      const ratio = value / plain[at]! / (at === 0 || at === 3 ? 2 : 1)
      expect(Math.abs(ratio - 1)).toBeLessThan(0.15)
    })
  })

  it('returns organTooSmall without an organ or without a place for a centre', () => {
    const none = siteOf([20, 20, 20], () => 2)
    const thin = siteOf([20, 20, 20], (x) => (x > 7 && x < 12 ? 1 : 0))
    for (const site of [none, thin])
      expect(simulateTumor(site, { size: 'tiny' }, openStream([0]))).toEqual({ outcome: 'organTooSmall' })
  })

  it('places several tumors in one site without overlapping labels', () => {
    const earlier: TumorPlan[] = []
    const owner = new Uint8Array(full.label.length)
    for (let tumor = 0; tumor < 6; tumor++) {
      const found = simulateTumor(full, { size: 'small', earlier }, openStream([3, tumor]))
      if (found.outcome !== 'placed') continue
      earlier.push(found.plan)
      const { box, origin } = tumorMask(found.plan, full)
      for (let at = 0; at < box.data.length; at++) {
        if (box.data[at] === 0) continue
        const x = origin[0] + Math.floor(at / (box.shape[1] * box.shape[2]))
        const y = origin[1] + (Math.floor(at / box.shape[2]) % box.shape[1])
        owner[(x * 64 + y) * 64 + origin[2] + (at % box.shape[2])]!++
      }
    }
    expect(earlier.length).toBeGreaterThan(3)
    expect(owner.reduce((most, count) => Math.max(most, count))).toBe(1)
    const same = planOf(full, { size: 'tiny', centre: [32, 32, 32] })
    const again = { size: 'tiny', centre: [32, 32, 32], earlier: [same] } as const
    expect(simulateTumor(full, again, openStream([9]))).toEqual({ outcome: 'noRoom' })
  })

  it('returns the same plan whether the slices of the organ are given or found', () => {
    const site = siteOf([40, 40, 40], (_x, _y, z) => (z > 5 && z < 31 ? 1 : 0))
    const given = planOf(site, { size: 'small', slices: organSlices(site)! })
    expect(given).toEqual(planOf(site, { size: 'small' }))
  })

  it('refuses a site and options that do not match', () => {
    const plan = (site: TumorSite, options: TumorOptions) => () =>
      simulateTumor(site, options, openStream([0]))
    expect(plan({ ...full, shape: [64, 64, 63] }, { size: 'tiny' })).toThrow(/voxels/)
    expect(plan({ ...full, organLabel: 0 }, { size: 'tiny' })).toThrow(/organ/)
    expect(plan(full, { size: 'tiny', centre: [1.5, 2, 3] })).toThrow(/centre/)
    expect(plan(full, { size: 'tiny', textureSizeVoxels: [64, 90, 90] })).toThrow(/texture/)
    expect(plan(full, { size: 'tiny', radiusVoxels: 0 })).toThrow(/radius/)
  })
})
