import { describe, expect, it } from 'vitest'
import { depthMm, findCentreAtDepth } from '../../src/simulation/depth.js'
import { openStream } from '../../src/simulation/random.js'
import type { TumorSite } from '../../src/simulation/site.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { siteOf } from './phantom-sites.js'

const SHAPE: Vec3 = [14, 12, 9]
const SPACING: Vec3 = [1, 1.3, 2.5]
const [ORGAN, TUMOR, IGNORED] = [1, 2, 255]

const siteWith = (id: (x: number) => number) => ({ ...siteOf(SHAPE, id, ORGAN), tumorLabel: TUMOR })

const random = openStream(['labels'])
const ids = [0, ...Array<number>(40).fill(ORGAN), TUMOR, TUMOR, IGNORED]
const speckled = siteWith(() => ids[random.integer(0, ids.length - 1)]!)

/** Search all voxels of the site, and a margin of unknown ones around it. */
function depthByHand({ label }: TumorSite, [x, y, z]: Vec3, toMm: number): number | null {
  let [outside, unknown] = [Infinity, Infinity]
  for (let i = -1; i <= SHAPE[0]; i++)
    for (let j = -1; j <= SHAPE[1]; j++)
      for (let k = -1; k <= SHAPE[2]; k++) {
        const mm = Math.hypot((x - i) * SPACING[0], (y - j) * SPACING[1], (z - k) * SPACING[2])
        const isBeyond = i < 0 || j < 0 || k < 0 || i === SHAPE[0] || j === SHAPE[1] || k === SHAPE[2]
        if (isBeyond) unknown = Math.min(unknown, mm)
        else if (label[(i * SHAPE[1] + j) * SHAPE[2] + k] === 0) outside = Math.min(outside, mm)
      }
  return outside < unknown && outside < toMm ? outside : null
}

const voxelsOf = ({ label }: TumorSite): Vec3[] =>
  [...label.keys()]
    .filter((at) => label[at] === ORGAN)
    .map((at) => {
      const row = Math.floor(at / SHAPE[2])
      return [Math.floor(row / SHAPE[1]), row % SHAPE[1], at % SHAPE[2]]
    })

describe('the depth of a voxel', () => {
  it.each([4, 100])('is that of a search over all voxels, below %d mm', (toMm) => {
    const known = voxelsOf(speckled).map((voxel) => {
      const found = depthMm(speckled, voxel, { toMm, spacingMm: SPACING })
      const expected = depthByHand(speckled, voxel, toMm)
      if (expected === null) expect(found).toBeNull()
      else expect(found).toBeCloseTo(expected, 10)
      return found
    })
    expect(known.filter((mm) => mm !== null).length).toBeGreaterThan(200)
    expect(known.filter((mm) => mm === null).length).toBeGreaterThan(50)
  })
})

describe('a centre at a depth', () => {
  const range = { fromMm: 2, toMm: 4, spacingMm: SPACING }

  it('is uniform over the organ voxels of the range', () => {
    const wanted = voxelsOf(speckled).filter((voxel) => {
      const mm = depthByHand(speckled, voxel, range.toMm)
      return mm !== null && mm >= range.fromMm
    })
    const each = 60
    const counts = new Map(wanted.map((voxel) => [voxel.join(), 0]))
    for (let at = 0; at < each * wanted.length; at++) {
      const voxel = findCentreAtDepth(speckled, range, openStream(['centre', at]))!.join()
      expect(counts.has(voxel)).toBe(true)
      counts.set(voxel, counts.get(voxel)! + 1)
    }
    const chi = [...counts.values()].reduce((sum, count) => sum + (count - each) ** 2 / each, 0)
    const freedom = wanted.length - 1
    // four standard deviations of chi-square
    expect(chi).toBeLessThan(freedom + 4 * Math.sqrt(2 * freedom))
  })

  it('is none without such a voxel, or without the organ', () => {
    const slab = siteWith((x) => (x >= 5 && x < 8 ? ORGAN : 0))
    expect(findCentreAtDepth(slab, range, openStream(['slab']))).not.toBeNull()
    expect(findCentreAtDepth(slab, { ...range, fromMm: 3 }, openStream(['slab']))).toBeNull()
    expect(
      findCentreAtDepth(
        siteWith(() => 0),
        range,
        openStream(['slab']),
      ),
    ).toBeNull()
    // the organ may go on beyond the site
    expect(
      findCentreAtDepth(
        siteWith(() => ORGAN),
        range,
        openStream(['slab']),
      ),
    ).toBeNull()
  })
})
