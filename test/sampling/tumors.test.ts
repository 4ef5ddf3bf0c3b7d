import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { centresWithin, positionsOf } from '../../src/sampling/positions.js'
import type {
  PlannedTumor,
  SamplingPlan,
  TumorSampling,
  WeightedOrgan,
} from '../../src/sampling/sampling-plan.js'
import { drawOrgansAndSize, planTumors } from '../../src/sampling/tumors.js'
import { aimAt } from '../../src/simulation/curriculum.js'
import { openStream } from '../../src/simulation/random.js'
import { simulateTumor } from '../../src/simulation/tumor.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { makeVoxels } from './prepared-case-files.js'
import { makePlan } from './sampling-plan.js'

const PATCH: Vec3 = [40, 40, 32]
const GRID = { spacingMm: [1, 1, 1], windowHu: [-175, 250] } as const
const LIVER = 1
const LIVER_TUMOR = 2
const PANCREAS = 3
const KIDNEY_TUMOR = 6
const labelOf = (id: (x: number, y: number, z: number) => number): Uint8Array =>
  makeVoxels(PATCH, (x, y, z) => [0, id(x, y, z)]).label
const halves = labelOf((x) => (x < 20 ? LIVER : PANCREAS))

function planOf(tumors: Partial<TumorSampling>, organs?: readonly WeightedOrgan[]): SamplingPlan {
  const base = makePlan({})
  return makePlan({
    patchVoxels: PATCH,
    tumors: { ...base.tumors, draws: 1, ...tumors },
    ...(organs ? { organs } : {}),
  })
}

const weighted = (weights: Readonly<Record<string, number>>) =>
  makePlan({}).organs.map((organ) => ({ ...organ, weight: weights[organ.name] ?? 0 }))

function planMany(plan: SamplingPlan, label: Uint8Array, crops: number) {
  return Array.from({ length: crops }, (_, crop) =>
    planTumors(plan, label, (draw) => openStream([1, crop, draw])),
  )
}

/** Places of the crop that a tumor's shape covers, and the ids there. */
function covered(tumor: PlannedTumor, label: Uint8Array): Map<number, number> {
  const places = new Map<number, number>()
  let at = 0
  for (let x = 0; x < tumor.boxShape[0]; x++)
    for (let y = 0; y < tumor.boxShape[1]; y++)
      for (let z = 0; z < tumor.boxShape[2]; z++, at++) {
        if (tumor.box[at] === 0) continue
        const [a, b, c] = [x + tumor.boxOrigin[0], y + tumor.boxOrigin[1], z + tumor.boxOrigin[2]]
        const place = (a * PATCH[1] + b) * PATCH[2] + c
        places.set(place, label[place]!)
      }
  return places
}

describe('the crops with tumors', () => {
  const healthy = halves
  const withTumor = labelOf((x) => (x < 20 ? LIVER : LIVER_TUMOR))
  const withOtherTumor = labelOf((x) => (x < 20 ? LIVER : KIDNEY_TUMOR))
  const onlyTumor = labelOf(() => LIVER_TUMOR)
  const empty = labelOf(() => 0)
  test.each<[string, TumorSampling['condition'], Uint8Array, number]>([
    ['organ, healthy', 'organ', healthy, 1],
    ['organ, beside a real tumor', 'organ', withTumor, 1],
    ['organ, no organ', 'organ', empty, 0],
    ['organ, only real tumor', 'organ', onlyTumor, 0],
    ['organWithoutTumor, healthy', 'organWithoutTumor', healthy, 1],
    ['organWithoutTumor, beside a real tumor', 'organWithoutTumor', withTumor, 0],
    ['organWithoutTumor, beside a tumor of another organ', 'organWithoutTumor', withOtherTumor, 0],
  ])('%s', (_, condition, label, tumors) => {
    const planned = planTumors(planOf({ condition }), label, () => openStream([3]))
    expect(planned.tumors).toHaveLength(tumors)
    expect(planned.noRoom).toBeNull()
  })

  test('are none without draws', () => {
    expect(planTumors(planOf({ draws: 0 }), halves, () => openStream([3])).tumors).toHaveLength(0)
  })
})

describe('the organ', () => {
  test('is drawn by weight among those in the crop', () => {
    // The kidney weighs most and is not there.
    const plan = planOf({}, weighted({ liver: 3, pancreas: 1, kidney: 50 }))
    const organs = planMany(plan, halves, 400).flatMap(({ tumors }) => tumors.map(({ organ }) => organ))
    expect(organs).toHaveLength(400)
    const liver = organs.filter((organ) => organ === 'liver').length
    expect(organs.filter((organ) => organ === 'pancreas')).toHaveLength(400 - liver)
    expect(Math.abs(liver - 300)).toBeLessThan(5 * Math.sqrt(400 * 0.75 * 0.25))
  })

  test('of weight 0 never has a tumor', () => {
    const plan = planOf({}, weighted({ pancreas: 1 }))
    const planned = planMany(plan, halves, 50).flatMap(({ tumors }) => tumors)
    expect(new Set(planned.map(({ organ }) => organ))).toEqual(new Set(['pancreas']))
    expect(
      planTumors(
        plan,
        labelOf(() => LIVER),
        () => openStream([1]),
      ),
    ).toEqual({ tumors: [], noRoom: null })
  })

  test('replaces one without room', () => {
    // One voxel of liver: nowhere a 5x5 square.
    const label = labelOf((x, y, z) => (x + y + z === 0 ? LIVER : x < 20 ? 0 : PANCREAS))
    const plan = planOf({}, weighted({ liver: 1000, pancreas: 1 }))
    const planned = planMany(plan, label, 20)
    expect(planned.flatMap(({ tumors }) => tumors.map(({ organ }) => organ))).toEqual(
      Array.from({ length: 20 }, () => 'pancreas'),
    )
    expect(planned.some(({ noRoom }) => noRoom !== null)).toBe(false)
  })

  test('that is alone and without room is reported as too small', () => {
    const label = labelOf((x, y, z) => (x + y + z === 0 ? LIVER : 0))
    expect(planTumors(planOf({}), label, () => openStream([1]))).toEqual({
      tumors: [],
      noRoom: 'organTooSmall',
    })
  })
})

test('every tumor lies in the crop, covers voxels of its organ, and has its numbers in range', () => {
  const plan = planOf({ sizeOdds: { tiny: 1, small: 1, medium: 1, large: 1 } })
  const tumors = planMany(plan, halves, 200).flatMap((planned) => planned.tumors)
  expect(tumors).toHaveLength(200)
  expect(new Set(tumors.map(({ size }) => size)).size).toBe(4)
  expect(new Set(tumors.map(({ textureIndex }) => textureIndex)).size).toBe(10)
  for (const tumor of tumors) {
    expect(tumor.box).toHaveLength(tumor.boxShape[0] * tumor.boxShape[1] * tumor.boxShape[2])
    for (const axis of [0, 1, 2] as const) {
      expect(tumor.boxOrigin[axis]).toBeGreaterThanOrEqual(0)
      expect(tumor.boxOrigin[axis] + tumor.boxShape[axis]).toBeLessThanOrEqual(PATCH[axis])
      expect(tumor.textureStart[axis]).toBeGreaterThanOrEqual(0)
      expect(tumor.textureStart[axis]).toBeLessThanOrEqual(64 - PATCH[axis] - 1)
    }
    const id = tumor.organ === 'liver' ? LIVER : PANCREAS
    expect([...covered(tumor, halves).values()]).toContain(id)
    expect(tumor.edgeSigma).toBeGreaterThanOrEqual(1)
    expect(tumor.edgeSigma).toBeLessThanOrEqual(2)
    expect(tumor.handcraftedDifference).toBeGreaterThanOrEqual(0.2)
    expect(tumor.handcraftedDifference).toBeLessThanOrEqual(0.7)
  }
})

test('sizes follow their odds', () => {
  const plan = planOf({ sizeOdds: { tiny: 3, small: 1, medium: 0, large: 0 } })
  const sizes = planMany(plan, halves, 400).flatMap(({ tumors }) => tumors.map(({ size }) => size))
  const tiny = sizes.filter((size) => size === 'tiny').length
  expect(sizes.filter((size) => size === 'small')).toHaveLength(400 - tiny)
  expect(Math.abs(tiny - 300)).toBeLessThan(5 * Math.sqrt(400 * 0.75 * 0.25))
})

test('two draws are two independent plans, and the first does not depend on the second', () => {
  const two = planMany(planOf({ draws: 2 }), halves, 10)
  const one = planMany(planOf({ draws: 1 }), halves, 10)
  for (const [at, { tumors }] of two.entries()) {
    expect(tumors.map(({ draw }) => draw)).toEqual([0, 1])
    expect(tumors[0]).toEqual(one[at]!.tumors[0])
    expect(tumors[1]!.edgeSigma).not.toBe(tumors[0]!.edgeSigma)
  }
})

test('several tumors of a crop do not overlap in their organ', () => {
  for (const { tumors } of planMany(planOf({ perCrop: 3 }), halves, 20)) {
    expect(tumors).toHaveLength(3)
    const taken = new Set<string>()
    for (const tumor of tumors) {
      const organ = tumor.organ === 'liver' ? LIVER : PANCREAS
      const places = [...covered(tumor, halves)].filter(([, id]) => id === organ)
      expect(places.length).toBeGreaterThan(0)
      for (const [place] of places) {
        expect(taken.has(String(place))).toBe(false)
        taken.add(String(place))
      }
    }
  }
})

describe('positions of a list', () => {
  const centres = [
    { voxel: [10, 20, 16], organ: null },
    { voxel: [30, 12, 9], organ: null },
    { voxel: [5, 5, 5], organ: 'pancreas' },
  ] as const

  test('are where the tumors lie, each in the organ at this place or in the requested organ', () => {
    const plan = planOf({})
    const seen = new Set<string>()
    for (let crop = 0; crop < 40; crop++) {
      const { tumors, noRoom } = planTumors(plan, halves, (draw) => openStream([1, crop, draw]), centres)
      expect(noRoom).toBeNull()
      const [tumor] = tumors
      const middle = tumor!.boxOrigin.map((at, axis) => at + tumor!.boxShape[axis]! / 2)
      const near = centres.findIndex(({ voxel }) =>
        voxel.every((at, axis) => Math.abs(at - middle[axis]!) < 5),
      )
      seen.add(`${near} ${tumor!.organ}`)
    }
    // The third wants a pancreas where the liver is.
    expect([...seen].sort()).toEqual(['0 liver', '1 pancreas'])
  })

  test('outside the crop leave it without a tumor and without a reason', () => {
    expect(planTumors(planOf({}), halves, () => openStream([1]), [])).toEqual({ tumors: [], noRoom: null })
  })

  test('come from millimetres of the scan, per case', () => {
    const affine = [1.5, 0, 0, -30, 0, 1.5, 0, 12, 0, 0, 3, 0, 0, 0, 0, 1]
    const list = [
      { case: 'a', mm: [-15, 42, 48], organ: null },
      { case: 'b', mm: [0, 0, 0], organ: 'liver' },
    ] as const
    expect(positionsOf('a', list, affine)).toEqual([{ voxel: [10, 20, 16], organ: null }])
    expect(positionsOf('c', list, affine)).toBeNull()
    const own = positionsOf('a', list, affine)!
    expect(centresWithin(own, [4, 20, 10], [16, 16, 16])).toEqual([{ voxel: [6, 0, 6], organ: null }])
    expect(centresWithin(own, [11, 0, 0], [16, 40, 40])).toEqual([])
  })
})

test('sizes follow a list of radii if there is one', () => {
  const plan = planOf({ listedRadii: [[4, 4, 4]], sizeOdds: { tiny: 0, small: 0, medium: 0, large: 1 } })
  const sizes = planMany(plan, halves, 10).flatMap(({ tumors }) => tumors.map(({ size }) => size))
  expect(new Set(sizes)).toEqual(new Set(['tiny']))
})

const GOLDEN = [
  { organ: 'liver', diameterMm: [5, 10], found: 3, missed: 9 },
  { organ: 'liver', diameterMm: [10, null], found: 9, missed: 1 },
] as const

describe('a curriculum', () => {
  const bins = (...missed: readonly number[]) =>
    missed.map((count, at) => ({
      organ: 'liver' as const,
      diameterMm: [8 * (at + 1), 8 * (at + 2)] as const,
      found: 20 - count,
      missed: count,
    }))
  const curriculum = aimAt(bins(19, 1), 0, GRID)

  test('draws the sizes that are missed in an organ, in the wanted number of voxels', () => {
    const plan = planOf({ curriculum }, weighted({ liver: 1 }))
    const tumors = planMany(
      plan,
      labelOf(() => LIVER),
      60,
    ).flatMap((crop) => crop.tumors)
    const diameters = tumors.map(({ box }) =>
      Math.cbrt((6 * box.filter((one) => one === 1).length) / Math.PI),
    )
    expect(tumors).toHaveLength(60)
    expect(diameters.filter((mm) => mm < 17).length).toBeGreaterThan(48)
    expect(diameters.filter((mm) => mm < 7).length).toBeLessThan(6)
  })

  test('draws organs by weight times their rate of missed tumors, and leaves others their sizes', () => {
    const organs = weighted({ liver: 1, pancreas: 1 })
    const all = planMany(planOf({ curriculum: aimAt(bins(20, 20), 0, GRID) }, organs), halves, 300)
    const named = (organ: string) => all.flatMap(({ tumors }) => tumors).filter((one) => one.organ === organ)
    // 40.5 / 41 against 1/2
    expect(named('liver').length / 300).toBeGreaterThan(0.58)
    expect(named('liver').length / 300).toBeLessThan(0.75)
    expect(new Set(named('pancreas').map(({ size }) => size))).toEqual(new Set(['tiny']))
  })

  test('is a pure function of the stream, and absent changes nothing', () => {
    const plan = planOf({ curriculum })
    expect(planMany(plan, halves, 5)).toEqual(planMany(plan, halves, 5))
    expect(planMany(plan, halves, 5)).not.toEqual(planMany(planOf({}), halves, 5))
  })

  test.each([
    ['absent', null, 'e0175b7ea2ea8217e5742a1e255d1d10e9210a12ceea0ee604dfb5721621143f'],
    [
      'of sizes alone',
      aimAt(GOLDEN, 0.2, GRID),
      'a129f1fb9be2867382b37479be1f9b934cba5801b10d873fc2d43949536be5a7',
    ],
  ])('%s gives the plans of version 0.1.0', (_name, curriculum, hash) => {
    const plan = planOf({ curriculum, draws: 2, sizeOdds: { tiny: 1, small: 1, medium: 0, large: 0 } })
    expect(hashOf(planMany(plan, halves, 6))).toBe(hash)
  })
})

function hashOf(plans: unknown): string {
  const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex')
  return sha256(JSON.stringify(plans, (_, value) => (value instanceof Uint8Array ? sha256(value) : value)))
}

describe('aimed depths and contrasts', () => {
  const liver = weighted({ liver: 1 }).filter(({ weight }) => weight > 0)
  // 36 x 36 x 28 voxels: depths are 1 to 14 mm
  const organ = labelOf((x, y, z) => (Math.min(x, 39 - x, y, 39 - y, z, 31 - z) >= 2 ? LIVER : 0))
  const deep = (from: number, to: number, found: number, missed: number) =>
    ({ organ: 'liver', depthMm: [from, to], found, missed }) as const

  test('place centres at their depths, by the probabilities of the ranges', () => {
    const curriculum = aimAt([deep(1, 4, 2, 8), deep(4, 8, 5, 5), deep(8, 15, 9, 1)], 0.2, GRID)
    const crops = 500
    const plans = planMany(planOf({ curriculum }, liver), organ, crops).flatMap(({ tumors }) => tumors)
    expect(plans).toHaveLength(crops)
    const depths = [...Array(crops).keys()].map((crop) => {
      const stream = openStream([1, crop, 0])
      const { organs: _, ...kind } = drawOrgansAndSize(planOf({ curriculum }, liver).tumors, liver, stream)
      const site = { label: organ, shape: PATCH, organLabel: LIVER, tumorLabel: LIVER_TUMOR }
      const found = simulateTumor(
        site,
        { ...kind, textureSizeVoxels: [64, 64, 64], textureCount: 10 },
        stream,
      )
      if (found.outcome !== 'placed') throw new Error(found.outcome)
      // the plan that was sent
      expect(plans[crop]!.boxOrigin).toEqual(found.plan.boxOrigin)
      expect(found.plan.aimed).toMatchObject({ depth: { reached: true } })
      const [x, y, z] = found.plan.centre
      return Math.min(x - 1, 38 - x, y - 1, 38 - y, z - 1, 30 - z)
    })
    const chi = curriculum[0]!.depthsMm.reduce((sum, { from, to, probability }) => {
      const seen = depths.filter((mm) => mm >= from && mm < to).length
      return sum + (seen - crops * probability) ** 2 / (crops * probability)
    }, 0)
    expect(chi).toBeLessThan(18.4) // 2 degrees of freedom, one in 10,000
  })

  test('leave a centre without room at its depth where it was, and state it', () => {
    const kind = (curriculum: ReturnType<typeof aimAt>) => {
      const stream = openStream(['deep'])
      const { organs: _, ...drawn } = drawOrgansAndSize(planOf({ curriculum }, liver).tumors, liver, stream)
      return simulateTumor({ label: organ, shape: PATCH, organLabel: LIVER }, drawn, openStream(['place']))
    }
    const found = kind(aimAt([deep(40, 50, 0, 1)], 0, GRID))
    expect(found).toMatchObject({ plan: { aimed: { depth: { fromMm: 40, toMm: 50, reached: false } } } })
  })

  test('set the difference of a hand-crafted tumor, and nothing else of its plan', () => {
    const hu = (from: number, to: number) =>
      aimAt([{ organ: 'liver', contrastHu: [from, to], found: 0, missed: 1 }], 0, GRID)
    const of = (curriculum: ReturnType<typeof aimAt>) =>
      planMany(planOf({ curriculum }, liver), organ, 8).flatMap(({ tumors }) => tumors)
    const [dark, bright] = [of(hu(-50, -40)), of(hu(40, 50))]
    for (const [at, { handcraftedDifference, ...one }] of dark!.entries()) {
      const { handcraftedDifference: other, ...same } = bright![at]!
      expect(one).toEqual(same)
      // the mean texture is 0.525, and the soft edge weakens a small tumor
      expect(handcraftedDifference).toBeGreaterThan(40 / 425 / 0.525)
      expect(handcraftedDifference).toBeLessThan(50 / 425 / 0.525 / 0.4)
      expect(other).toBeLessThan(-40 / 425 / 0.525)
    }
  })
})

describe('alternatives of a crop', () => {
  test('have the first plan of a crop without alternatives, then others', () => {
    const [single, several] = [{ draws: 1 }, { draws: 3, alternatives: true }].map((change) =>
      planMany(planOf(change), halves, 6),
    )
    for (const [at, { tumors, noRoom }] of several!.entries()) {
      expect(tumors.slice(0, 1)).toEqual(single![at]!.tumors)
      expect(tumors.map(({ draw }) => draw)).toEqual([0, 1, 2])
      expect(new Set(tumors.map(({ boxOrigin }) => boxOrigin.join())).size).toBe(3)
      expect(noRoom).toBeNull()
    }
  })

  test('are none where the first plan finds no room', () => {
    const thin = labelOf((x, y) => (x > 17 && x < 21 && y > 17 && y < 21 ? LIVER : 0))
    const one = planMany(planOf({ draws: 1 }), thin, 4)
    expect(planMany(planOf({ draws: 3, alternatives: true }), thin, 4)).toEqual(one)
    expect(one.every(({ tumors, noRoom }) => tumors.length === 0 && noRoom !== null)).toBe(true)
  })
})
