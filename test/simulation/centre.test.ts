import { describe, expect, it } from 'vitest'
import { findCentre } from '../../src/simulation/centre.js'
import { openStream } from '../../src/simulation/random.js'
import { organSlices, type TumorSite } from '../../src/simulation/site.js'
import { siteOf } from './phantom-sites.js'

const centresOf = (site: TumorSite, count: number) =>
  Array.from({ length: count }, (_, at) => findCentre(site, organSlices(site)!, openStream(['centre', at])))

describe('findCentre', () => {
  it('takes slices from 0.3 to 0.7 of the extent, uniformly, halves to the ends', () => {
    const site = siteOf([9, 9, 40], (_x, _y, z) => (z >= 10 && z <= 30 ? 1 : 0))
    const counts = new Map<number, number>()
    for (const centre of centresOf(site, 4000)) counts.set(centre![2], (counts.get(centre![2]) ?? 0) + 1)
    const slices = [...counts.keys()].sort((a, b) => a - b)
    expect(slices).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24])
    const chi = slices.reduce((sum, slice) => {
      const expected = slice === 16 || slice === 24 ? 250 : 500
      return sum + (counts.get(slice)! - expected) ** 2 / expected
    }, 0)
    expect(chi).toBeLessThan(31.8) // 8 degrees of freedom, one in 10,000
  })

  it.each([
    ['where many are', (x: number, y: number) => (x > 2 && x < 21 && y > 3 && y < 20 ? 1 : 0)],
    ['where few are', (x: number, y: number) => (x > 4 && x < 11 && y > 5 && y < 11 ? 1 : 0)],
  ])('is uniform over the voxels with a whole 5 x 5 neighbourhood, %s', (_name, id) => {
    const site = siteOf([60, 40, 3], id)
    const allowed = new Set<string>()
    for (let x = 2; x < 58; x++)
      for (let y = 2; y < 38; y++) {
        const offsets = [-2, -1, 0, 1, 2]
        if (offsets.every((dx) => offsets.every((dy) => id(x + dx, y + dy) === 1))) allowed.add(`${x},${y}`)
      }
    const each = 60
    const counts = new Map([...allowed].map((voxel) => [voxel, 0]))
    for (const centre of centresOf(site, each * allowed.size)) {
      const voxel = `${centre![0]},${centre![1]}`
      expect(counts.has(voxel)).toBe(true)
      counts.set(voxel, counts.get(voxel)! + 1)
    }
    const chi = [...counts.values()].reduce((sum, count) => sum + (count - each) ** 2 / each, 0)
    const free = allowed.size - 1
    expect(chi).toBeLessThan(free + 4 * Math.sqrt(2 * free) + 8)
  })

  it('may lie at the faces of the site, where the organ may continue', () => {
    const site = siteOf([4, 3, 5], () => 1)
    const voxels = new Set(centresOf(site, 400).map((centre) => centre!.slice(0, 2).join()))
    expect(voxels.size).toBe(12)
  })

  it('keeps two voxels away from holes and real tumors in its slice', () => {
    const site = siteOf([11, 11, 1], (x, y) => (x === 5 && y === 5 ? 2 : 1))
    for (const centre of centresOf(site, 300))
      expect(Math.max(Math.abs(centre![0] - 5), Math.abs(centre![1] - 5))).toBeGreaterThan(2)
  })

  it('uses other slices if the drawn one has no centre, the middle ones first', () => {
    const room = (slice: number) =>
      siteOf([15, 15, 21], (x, y, z) => (z === slice || (x === y && x < 2) ? 1 : 0))
    for (const centre of centresOf(room(12), 50)) expect(centre![2]).toBe(12)
    for (const centre of centresOf(room(1), 50)) expect(centre![2]).toBe(1)
    const both = siteOf([15, 15, 21], (x, y, z) => (z === 1 || z === 9 || (x === y && x < 2) ? 1 : 0))
    for (const centre of centresOf(both, 50)) expect(centre![2]).toBe(9)
  })

  it('is null if no slice has a centre', () => {
    const thin = siteOf([30, 30, 10], (x) => (x >= 10 && x < 14 ? 1 : 0))
    expect(findCentre(thin, [0, 9], openStream([1]))).toBeNull()
  })
})
