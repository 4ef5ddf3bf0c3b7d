import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { measureMask, tumorMask } from '../../src/simulation/measure.js'
import { openStream } from '../../src/simulation/random.js'
import { organSlices } from '../../src/simulation/site.js'
import { SIZE_CLASSES } from '../../src/simulation/size.js'
import { simulateTumor } from '../../src/simulation/tumor.js'
import { sharedFile } from '../helpers/shared.js'
import { ellipsoidSite, siteOf } from './phantom-sites.js'

const MEASURES = ['volume', 'max_extent', 'min_extent', 'faces', 'centroid_x', 'centroid_z'] as const
type Samples = Record<(typeof MEASURES)[number] | 'components', number[]>

const file = sharedFile('reference/simulation_distribution.json')
const reference: Record<string, Record<string, Samples>> = file === null
  ? {}
  : JSON.parse(readFileSync(file, 'utf8'))

const SITES = { ellipsoid_96: ellipsoidSite, free_160: () => siteOf([160, 160, 160], () => 1) }
const TUMORS = 400
// The seed is fixed, so a test that passes stays so. Of 48 comparisons of equal distributions none should exceed the
// Kolmogorov-Smirnov distance that one in 1,000 does: c = sqrt(ln(2 / 0.001) / 2).
const CRITICAL = 1.95

describe.skipIf(file === null).each(['ellipsoid_96', 'free_160'] as const)('tumors in %s', (name) => {
  const site = SITES[name]()
  const slices = organSlices(site)!

  it.each(SIZE_CLASSES)('of size %s are distributed as those of the published simulation', (size) => {
    const published = reference[name]![size]!
    const ours: Samples = {
      volume: [],
      max_extent: [],
      min_extent: [],
      faces: [],
      centroid_x: [],
      centroid_z: [],
      components: [],
    }
    for (let at = 0; at < TUMORS; at++) {
      const found = simulateTumor(site, { size, slices }, openStream([0, 'distribution', name, size, at]))
      if (found.outcome !== 'placed') throw new Error(`tumor ${at}: ${found.outcome} where there is room`)
      const measures = measureMask(tumorMask(found.plan, site))!
      ours.volume.push(measures.volume)
      ours.max_extent.push(Math.max(...measures.extent))
      ours.min_extent.push(Math.min(...measures.extent))
      ours.faces.push(measures.faces)
      ours.centroid_x.push(measures.centroid[0])
      ours.centroid_z.push(measures.centroid[2])
      ours.components.push(measures.components)
    }
    const n = published.volume.length
    const limit = CRITICAL * Math.sqrt((TUMORS + n) / (TUMORS * n))
    for (const measure of MEASURES)
      expect(ksDistance(ours[measure], published[measure]), measure).toBeLessThan(limit)
    // Share of tumors in several pieces, by the normal test of two shares at the same level of one in 1,000.
    const [a, b] = [shareOfSeveral(ours.components), shareOfSeveral(published.components)]
    const pooled = (a * TUMORS + b * n) / (TUMORS + n)
    expect(Math.abs(a - b)).toBeLessThan(3.29 * Math.sqrt(pooled * (1 - pooled) * (1 / TUMORS + 1 / n)))
  })
})

function shareOfSeveral(components: readonly number[]): number {
  return components.filter((count) => count > 1).length / components.length
}

/** Largest distance between two empirical distribution functions. */
function ksDistance(a: readonly number[], b: readonly number[]): number {
  const [first, second] = [a, b].map((values) => [...values].sort((x, y) => x - y)) as [number[], number[]]
  let [i, j, distance] = [0, 0, 0]
  while (i < first.length && j < second.length) {
    const value = Math.min(first[i]!, second[j]!)
    while (first[i]! <= value) i++
    while (second[j]! <= value) j++
    distance = Math.max(distance, Math.abs(i / first.length - j / second.length))
  }
  return distance
}
