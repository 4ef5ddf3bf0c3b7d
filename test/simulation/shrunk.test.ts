import { describe, expect, it } from 'vitest'
import { findCentre } from '../../src/simulation/centre.js'
import { measureMask } from '../../src/simulation/measure.js'
import { openStream, type RandomStream } from '../../src/simulation/random.js'
import {
  drawShrunk,
  planShrunk,
  realTumors,
  type ShrunkOptions,
  shrunkMask,
} from '../../src/simulation/shrunk.js'
import { organSlices, type TumorSite } from '../../src/simulation/site.js'
import type { TumorPlan } from '../../src/simulation/tumor.js'
import { readNifti } from '../../src/volume/nifti.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { sharedFile } from '../helpers/shared.js'
import { siteOf } from './phantom-sites.js'

const SPACING: Vec3 = [1.5, 1.5, 1.5]
const SIDE = 64
const [ORGAN, TUMOR] = [1, 2]

const isBall = (centre: Vec3, radius: number) => (x: number, y: number, z: number) =>
  (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius ** 2

const large = isBall([16, 16, 20], 11)
const small = isBall([50, 48, 40], 3)
/** An organ with two real tumors, of about 33 and 9 mm. */
const site = siteOf([SIDE, SIDE, SIDE], (x, y, z) => {
  if ([x, y, z].some((at) => at < 2 || at >= SIDE - 2)) return 0
  return large(x, y, z) || small(x, y, z) ? TUMOR : ORGAN
})
const tumors = realTumors(site, TUMOR, SPACING)
const options: ShrunkOptions = { diameterMm: [5, 10], spacingMm: SPACING, tumorLabels: [TUMOR], earlier: [] }

const stream = (...words: (string | number)[]) => openStream(['shrunk', ...words])
const diameterOf = (voxels: number, spacing = SPACING): number =>
  Math.cbrt((6 * voxels * spacing[0] * spacing[1] * spacing[2]) / Math.PI)
const voxelsOf = ({ box }: Pick<TumorPlan, 'box'>): number => box.data.reduce((sum, one) => sum + one, 0)

function placed(seed: number, earlier: readonly TumorPlan[] = []) {
  const source = drawShrunk(tumors, options.diameterMm, stream(seed, 'source'))
  const found = planShrunk(site, source, { ...options, earlier }, stream(seed))
  if (found.outcome !== 'placed') throw new Error(found.outcome)
  return found
}

describe('the real tumors of a site', () => {
  it('are the components of their id, with diameter, centroid and a voxel of each', () => {
    expect(tumors.map(({ component }) => component)).toEqual([0, 1])
    expect(tumors[0]!.centroid.map(Math.round)).toEqual([16, 16, 20])
    expect(tumors[0]!.diameterMm).toBeCloseTo(diameterOf(tumors[0]!.voxels), 9)
    expect(tumors[1]!.diameterMm).toBeGreaterThan(8)
    for (const { voxel, mask, voxels } of tumors) {
      expect(site.label[(voxel[0] * SIDE + voxel[1]) * SIDE + voxel[2]]).toBe(TUMOR)
      expect(measureMask(mask)!.volume).toBe(voxels)
    }
    expect(realTumors(site, 7, SPACING)).toEqual([])
  })
})

describe('a drawn source', () => {
  it('is never enlarged, and diameters fill the range up to the largest tumor', () => {
    const drawn = Array.from({ length: 300 }, (_, at) => drawShrunk(tumors, [5, 10], stream(at))!)
    const diameters = drawn.map(({ tumor, factor }) => tumor.diameterMm * factor)
    for (const { factor } of drawn) expect(factor).toBeLessThanOrEqual(1)
    expect(Math.min(...diameters)).toBeGreaterThanOrEqual(5)
    expect(Math.max(...diameters)).toBeLessThanOrEqual(10)
    expect(diameters.reduce((sum, one) => sum + one, 0) / 300).toBeCloseTo(7.5, 0)
    expect(new Set(drawn.map(({ tumor }) => tumor.component))).toEqual(new Set([0, 1]))
    const onlySmall = drawShrunk([tumors[1]!], [5, 100], stream('small'))!
    expect(onlySmall.tumor.diameterMm * onlySmall.factor).toBeLessThanOrEqual(tumors[1]!.diameterMm)
  })

  it('is null if every tumor is smaller than the range', () => {
    expect(drawShrunk([tumors[1]!], [12, 20], stream('none'))).toBeNull()
    expect(drawShrunk([], [5, 10], stream('none'))).toBeNull()
  })
})

describe('the mask of a copy', () => {
  it.each([0.15, 0.3, 0.5, 0.77, 1])(
    'has the volume of its source times %f cubed, around its centroid',
    (factor) => {
      const mask = shrunkMask({ tumor: tumors[0]!, factor })
      const { volume, centroid, components } = measureMask(mask)!
      expect(diameterOf(volume)).toBeCloseTo(tumors[0]!.diameterMm * factor, 0)
      for (const at of centroid) expect(Math.abs(at)).toBeLessThan(0.5)
      expect(components).toBe(1)
    },
  )

  it('is the source itself for factor 1', () => {
    const { mask, centroid } = tumors[0]!
    const copy = shrunkMask({ tumor: tumors[0]!, factor: 1 })
    expect(copy.box).toEqual(mask.box)
    expect(copy.origin).toEqual(mask.origin.map((at, axis) => at - Math.round(centroid[axis]!)))
  })

  it('keeps the proportions of its source, also on a grid of unequal spacing', () => {
    const flat: Vec3 = [1, 1, 2.5]
    const rod = siteOf([60, 20, 20], (x, y, z) =>
      Math.abs(x - 30) <= 20 && Math.abs(y - 10) <= 4 && Math.abs(z - 10) <= 2 ? TUMOR : ORGAN,
    )
    const [tumor] = realTumors(rod, TUMOR, flat)
    const mask = shrunkMask({ tumor: tumor!, factor: 0.5 })
    expect(Math.abs(measureMask(mask)!.extent[0] - 20.5)).toBeLessThan(1)
    expect(measureMask(mask)!.extent[2]).toBeLessThanOrEqual(3)
    const wanted = 0.5 * tumor!.diameterMm
    expect(Math.abs(diameterOf(voxelsOf(mask), flat) - wanted)).toBeLessThan(0.5)
  })

  it('has the wanted volume for a ragged source, too', () => {
    const ragged = siteOf([40, 40, 40], (x, y, z) =>
      isBall([20, 20, 20], 12)(x, y, z) && (x * 7 + y * 3 + z * 5) % 3 !== 0 ? TUMOR : ORGAN,
    )
    const [tumor] = realTumors(ragged, TUMOR, SPACING)
    for (const factor of [0.2, 0.4, 0.6]) {
      const { volume } = measureMask(shrunkMask({ tumor: tumor!, factor }))!
      expect(volume).toBe(Math.round(tumor!.voxels * factor ** 3))
    }
  })
})

describe('a planned copy', () => {
  it('has its drawn diameter to a tenth of a voxel, lies in the organ and touches no tumor', () => {
    for (let seed = 0; seed < 40; seed++) {
      const { plan, source } = placed(seed)
      const wanted = source.tumor.diameterMm * source.factor
      expect(Math.abs(diameterOf(voxelsOf(plan)) - wanted)).toBeLessThan(0.15)
      expect(idsUnder(plan)).toEqual([ORGAN])
      expect(idsBeside(plan)).not.toContain(TUMOR)
    }
  })

  it('depends on its streams only', () => {
    expect(placed(3)).toEqual(placed(3))
    expect(placed(3).plan.centre).not.toEqual(placed(4).plan.centre)
  })

  it('does not touch earlier copies', () => {
    const narrow = siteOf([24, 9, 24], (_x, y) => (y > 0 && y < 8 ? ORGAN : 0))
    const source = { tumor: tumors[0]!, factor: 6 / tumors[0]!.diameterMm }
    const earlier: TumorPlan[] = []
    for (let seed = 0; seed < 30; seed++) {
      const found = planShrunk(narrow, source, { ...options, earlier }, stream('narrow', seed))
      if (found.outcome === 'placed') earlier.push(found.plan)
    }
    expect(earlier.length).toBeGreaterThan(2)
    const owner = new Map<string, number>()
    for (const [number, plan] of earlier.entries())
      for (const voxel of voxelsIn(plan)) owner.set(voxel.join(), number)
    for (const [number, plan] of earlier.entries())
      for (const voxel of voxelsIn(plan))
        for (const step of NEIGHBOURS) expect(owner.get(moved(voxel, step).join()) ?? number).toBe(number)
  })

  it('lies at a given centre, or nowhere', () => {
    const source = { tumor: tumors[0]!, factor: 0.2 }
    const at = (centre: Vec3) => planShrunk(site, source, { ...options, centre }, stream('at'))
    expect(at([32, 32, 50])).toMatchObject({ outcome: 'placed', plan: { centre: [32, 32, 50] } })
    expect(at([16, 16, 30])).toEqual({ outcome: 'noRoom' })
    expect(at([2, 2, 2])).toEqual({ outcome: 'noRoom' })
  })

  it('is refused for a tumor that is too small, and for an organ without a place', () => {
    const thin = siteOf([40, 40, 40], (x) => (x > 10 && x < 16 ? ORGAN : 0))
    const source = { tumor: tumors[0]!, factor: 0.5 }
    expect(planShrunk(site, null, options, stream('none'))).toEqual({ outcome: 'tumorTooSmall' })
    expect(planShrunk(thin, source, options, stream('thin'))).toEqual({ outcome: 'noRoom' })
    const without = siteOf([9, 9, 9], () => TUMOR)
    expect(planShrunk(without, source, options, stream('no'))).toEqual({ outcome: 'organTooSmall' })
  })
})

const realLabel = sharedFile('data/totalsegmentator/example_seg_fast_force_split.nii.gz')

it.skipIf(!realLabel)(
  'a copy of 10 mm finds a place in a real pancreas, where most single centres fail',
  async () => {
    const pancreas = await organOf(realLabel!, 7)
    const slices = organSlices(pancreas)!
    const source = { tumor: tumors[0]!, factor: 10 / tumors[0]!.diameterMm }
    const outcomes = (plan: (random: RandomStream) => string) =>
      Array.from({ length: 400 }, (_, seed) => plan(stream('real', seed)))
    const single = outcomes((random) => {
      const centre = findCentre(pancreas, slices, random)!
      return planShrunk(pancreas, source, { ...options, centre }, random).outcome
    })
    expect(single.filter((outcome) => outcome === 'noRoom').length / 400).toBeGreaterThan(0.5)
    const whole = outcomes((random) => planShrunk(pancreas, source, options, random).outcome)
    expect(whole.filter((outcome) => outcome !== 'placed')).toEqual([])
  },
)

/** Return an organ of a label map of 3 mm on a grid of 1.5 mm, as a site of its own. */
async function organOf(file: string, id: number): Promise<TumorSite> {
  const { data, shape } = await readNifti(file)
  const parts = realTumors({ label: Uint8Array.from(data), shape }, id, SPACING)
  const { box } = parts.reduce((a, b) => (b.voxels > a.voxels ? b : a)).mask
  const [, ny, nz] = box.shape
  const fine = box.shape.map((side) => 2 * side) as unknown as Vec3
  return siteOf(fine, (x, y, z) => box.data[((x >> 1) * ny + (y >> 1)) * nz + (z >> 1)]!)
}

const STEPS = [-1, 0, 1]
const NEIGHBOURS = STEPS.flatMap((x) => STEPS.flatMap((y) => STEPS.map((z): Vec3 => [x, y, z])))

function* voxelsIn({ box, boxOrigin }: TumorPlan): Generator<Vec3> {
  const [, ny, nz] = box.shape
  for (const [at, isSet] of box.data.entries())
    if (isSet) yield moved(boxOrigin, [Math.floor(at / (ny * nz)), Math.floor(at / nz) % ny, at % nz])
}

const moved = ([x, y, z]: Vec3, [dx, dy, dz]: Vec3): Vec3 => [x + dx, y + dy, z + dz]
const idAt = ([x, y, z]: Vec3): number => site.label[(x * SIDE + y) * SIDE + z]!

/** Return the ids of the site under a copy. */
function idsUnder(plan: TumorPlan): number[] {
  return [...new Set([...voxelsIn(plan)].map(idAt))]
}

/** Return the ids of the site under a copy and its 26 neighbours. */
function idsBeside(plan: TumorPlan): number[] {
  return [
    ...new Set([...voxelsIn(plan)].flatMap((voxel) => NEIGHBOURS.map((step) => idAt(moved(voxel, step))))),
  ]
}
