import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError, DataError } from '../../src/errors.js'
import { closePreparedCase, type OpenCase, openPreparedCase } from '../../src/sampling/cache-reader.js'
import { startAround } from '../../src/sampling/centre.js'
import { caseOfItem, checkPlan, planItem } from '../../src/sampling/item.js'
import type { PlannedCrop, SamplingPlan } from '../../src/sampling/sampling-plan.js'
import { aimAt } from '../../src/simulation/curriculum.js'
import { IGNORED_LABEL } from '../../src/volume/labels.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { type CaseVoxels, makeVoxels, voxelAt, writePreparedCase } from './prepared-case-files.js'
import { makePlan } from './sampling-plan.js'

const SHAPE: Vec3 = [40, 36, 44]
const PATCH: Vec3 = [16, 16, 16]
// A value says where a voxel lies, and 1 in 9 is air.
const huOf = (x: number, y: number, z: number) =>
  (x + y + z) % 9 === 0 ? -1000 : x * 256 + y * 16 + (z % 16)
const voxels = {
  // Liver, with a tumor in it, and a small pancreas.
  labelled: makeVoxels(SHAPE, (x, y, z) => {
    const id =
      x < 20 && y < 20 && z < 24 ? (x < 3 && y < 3 && z < 4 ? 2 : 1) : x > 34 && y > 30 && z > 40 ? 3 : 0
    return [huOf(x, y, z), id]
  }),
  unlabelled: makeVoxels(SHAPE, (x, y, z) => [huOf(x, y, z), 0]),
  allOrgan: makeVoxels(SHAPE, (x, y, z) => [huOf(x, y, z), 1]),
  air: makeVoxels(SHAPE, () => [-1000, 0]),
  // A value is the place in the array, less 170.
  coded: makeVoxels([32, 32, 30], (x, y, z) => [
    (x * 32 + y) * 30 + z - 170,
    (x - 12) ** 2 + (y - 15) ** 2 + (z - 16) ** 2 < 160 ? 1 : 0,
  ]),
  // two thirds of the voxels are ignored, in stripes through organ, tumor, tissue and air
  sparse: makeVoxels(SHAPE, (x, y, z) => {
    const id = x < 20 && y < 20 && z < 24 ? (x < 9 && y < 9 ? 2 : 1) : 0
    return [huOf(x, y, z), (x + 2 * y + z) % 3 === 0 ? id : IGNORED_LABEL]
  }),
  ignored: makeVoxels(SHAPE, (x, y, z) => [huOf(x, y, z), IGNORED_LABEL]),
  thin: makeVoxels([40, 11, 9], (x, y, z) => [huOf(x, y, z), x > 20 ? 1 : 0]),
} satisfies Record<string, CaseVoxels>
type Name = keyof typeof voxels

let directory: string
const open = new Map<Name, OpenCase>()
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'freetumor-item-'))
  for (const name of Object.keys(voxels) as Name[]) {
    const path = writePreparedCase(directory, name, voxels[name], 7, [-175, 250])
    open.set(name, await openPreparedCase({ caseId: name, path }, -175))
  }
})
afterAll(() => {
  for (const prepared of open.values()) closePreparedCase(prepared)
  rmSync(directory, { recursive: true, force: true })
})

function planOf(name: Name, changes: Partial<SamplingPlan> = {}): SamplingPlan {
  const path = join(directory, `${name}.zarr`)
  return makePlan({
    cases: [{ id: name, path, repeat: 1, kind: 'labelled' }],
    patchVoxels: PATCH,
    ...changes,
  })
}

async function cropsOf(plan: SamplingPlan, items: number): Promise<PlannedCrop[]> {
  const crops: PlannedCrop[] = []
  for (let item = 0; item < items; item++)
    crops.push(...(await planItem(plan, item, open.get(caseOfItem(plan, item).id as Name)!)))
  return crops
}

describe('the order of cases', () => {
  const cases = [3, 1, 5, 2].map((repeat, at) => ({
    id: `case ${at}`,
    path: '',
    repeat,
    kind: 'labelled' as const,
  }))
  const epoch = (plan: SamplingPlan, number: number) =>
    Array.from({ length: 11 }, (_, at) => caseOfItem(plan, number * 11 + at).id)

  test('an epoch visits every case exactly its repeat count', () => {
    for (let number = 0; number < 20; number++) {
      const visits = epoch(makePlan({ cases }), number)
      expect(cases.map(({ id }) => visits.filter((visited) => visited === id).length)).toEqual([3, 1, 5, 2])
    }
  })

  test('each epoch, seed and job has its own order', () => {
    const orders = [
      ...Array.from({ length: 10 }, (_, number) => epoch(makePlan({ cases }), number)),
      epoch(makePlan({ cases, seed: 8 }), 0),
      epoch(makePlan({ cases, job: 'synthesis' }), 0),
    ]
    expect(new Set(orders.map(String)).size).toBeGreaterThanOrEqual(11)
  })
})

describe('crop centres', () => {
  const organs = makePlan({}).organs

  test.each([
    [1, 0],
    [0, 1],
    [1, 1],
  ])('are never ignored voxels, with odds %i to %i', async (positiveOdds, negativeOdds) => {
    const patchVoxels: Vec3 = [1, 1, 1]
    const plan = planOf('sparse', { patchVoxels, positiveOdds, negativeOdds, tumorOdds: 0.3 })
    const crops = await cropsOf(plan, 1500)
    const ids = new Set(crops.map(({ label }) => label[0]))
    expect(ids).toEqual(new Set([...(negativeOdds > 0 ? [0] : []), ...(positiveOdds > 0 ? [1, 2] : [])]))
    await expect(cropsOf(planOf('ignored', { patchVoxels }), 1)).rejects.toThrow(/no usable voxel/)
  })

  test('crops are slices of their volume', async () => {
    const { shape, label } = voxels.coded
    const starts = new Set<string>()
    for (const crop of await cropsOf(planOf('coded', { cropsPerVolume: 2 }), 20)) {
      const start = voxelAt(crop.image[0]! + 170, shape)
      starts.add(String(start))
      const expected = makeVoxels(PATCH, (x, y, z) => {
        const at = ((x + start[0]) * shape[1] + y + start[1]) * shape[2] + z + start[2]
        return [at - 170, label[at]!]
      })
      expect(crop.image).toEqual(expected.image)
      expect(crop.label).toEqual(expected.label)
    }
    expect(starts.size).toBeGreaterThan(20)
  })

  test.each([
    [30, 96, 200, 0],
    [48, 96, 200, 0],
    [49, 96, 200, 1],
    [100, 96, 200, 52],
    [199, 96, 200, 104],
    [100, 7, 200, 97],
    [50, 96, 96, 0],
    [50, 96, 95, 0],
    [10, 96, 91, -2],
    [10, 32, 9, -11],
  ])('around %i, a patch of %i in a side of %i starts at %i', (centre, patch, side, start) => {
    expect(startAround(centre, patch, side) + 0).toBe(start)
  })

  test('a volume shorter than the patch is padded on both sides with air and no label', async () => {
    const plan = planOf('thin')
    for (const { image, label } of await cropsOf(plan, 5)) {
      for (let at = 0; at < image.length; at++) {
        const [, y, z] = voxelAt(at, PATCH)
        // 11 of 16: 2 before, 3 after; 9 of 16: 3 before, 4 after
        const isInside = y >= 2 && y < 13 && z >= 3 && z < 12
        if (!isInside) expect([image[at], label[at]]).toEqual([-175, 0])
      }
      expect(image.some((hu) => hu > 0)).toBe(true)
    }
  })

  test.each([
    [1, 0, 1],
    [0, 1, 0],
    [1, 1, 0.5],
    [3, 1, 0.75],
  ])('odds of %i to %i give a share of %f positive centres', async (positiveOdds, negativeOdds, share) => {
    // With a patch of one voxel the crop is its centre.
    const plan = planOf('labelled', { patchVoxels: [1, 1, 1], positiveOdds, negativeOdds })
    const crops = await cropsOf(plan, 1000)
    const positive = crops.filter(({ label }) => label[0]! > 0).length
    // Binomial: 5 standard deviations of 1000 draws are at most 79.
    expect(Math.abs(positive - 1000 * share)).toBeLessThanOrEqual(5 * Math.sqrt(1000 * share * (1 - share)))
    for (const { image, label } of crops) if (label[0] === 0) expect(image[0]).toBeGreaterThan(-175)
  })

  test.each<[Name, number, number]>([
    ['unlabelled', 1, 0],
    ['allOrgan', 0, 1],
  ])('in %s, where one kind is missing, the other is used', async (name, positiveOdds, negativeOdds) => {
    const crops = await cropsOf(planOf(name, { patchVoxels: [1, 1, 1], positiveOdds, negativeOdds }), 50)
    for (const { image, label } of crops) {
      expect(label[0]).toBe(name === 'allOrgan' ? 1 : 0)
      if (name === 'unlabelled') expect(image[0]).toBeGreaterThan(-175)
    }
  })

  test('a volume of air is refused by name', async () => {
    await expect(cropsOf(planOf('air'), 1)).rejects.toThrow(DataError)
    await expect(cropsOf(planOf('air'), 1)).rejects.toThrow(/case air/)
  })

  test('organs outside the plan are negative', async () => {
    const onlyLiver = organs.filter(({ name }) => name === 'liver')
    const plan = planOf('labelled', { patchVoxels: [1, 1, 1], organs: onlyLiver, negativeOdds: 0 })
    for (const { label } of await cropsOf(plan, 200)) expect([1, 2]).toContain(label[0])
    const negative = { ...plan, positiveOdds: 0, negativeOdds: 1 }
    for (const { label } of await cropsOf(negative, 200)) expect([0, 3]).toContain(label[0])
  })

  test('tumor odds of 1 place every positive centre on a tumor', async () => {
    const plan = planOf('labelled', { patchVoxels: [1, 1, 1], negativeOdds: 0, tumorOdds: 1 })
    for (const { label } of await cropsOf(plan, 50)) expect(label[0]).toBe(2)
  })

  test.each([
    ['positive', 1, 0],
    ['negative', 0, 1],
  ])('%s centres are uniform over the voxels of their class', async (kind, positiveOdds, negativeOdds) => {
    const { shape, label } = voxels.coded
    const plan = planOf('coded', { patchVoxels: [1, 1, 1], positiveOdds, negativeOdds })
    const draws = 5000
    const wanted = [...label.keys()].filter((at) => label[at]! > 0 === (kind === 'positive'))
    const cellOf = (at: number) => String(voxelAt(at, shape).map((index) => Math.floor(index / 6)))
    const expected = new Map<string, number>()
    for (const at of wanted) expected.set(cellOf(at), (expected.get(cellOf(at)) ?? 0) + draws / wanted.length)
    const found = new Map<string, number>()
    for (const { image } of await cropsOf(plan, draws)) {
      const cell = cellOf(image[0]! + 170)
      found.set(cell, (found.get(cell) ?? 0) + 1)
    }
    const chiSquare = [...expected].reduce(
      (sum, [cell, count]) => sum + ((found.get(cell) ?? 0) - count) ** 2 / count,
      0,
    )
    // Of m cells: mean m - 1, standard deviation sqrt(2 (m - 1)). Five of them on both sides: one run in a million
    // fails by chance, and draws that are too even fail as well.
    const freedom = expected.size - 1
    expect(freedom).toBeGreaterThan(60)
    expect(Math.abs(chiSquare - freedom)).toBeLessThan(5 * Math.sqrt(2 * freedom))
  })
})

describe('augmentation and mixing', () => {
  const augmentation = {
    flipProbability: 0.2,
    rotateProbability: 0.2,
    scaleProbability: 0.1,
    scaleRange: 0.1,
    shiftProbability: 0.1,
    shiftRange: 0.1,
  }

  test('happen with their probabilities and within their ranges', async () => {
    const crops = await cropsOf(planOf('labelled', { patchVoxels: [1, 1, 1], augmentation }), 3000)
    const drawn = crops.map((crop) => crop.augmentation)
    const share = (happened: (one: (typeof drawn)[number]) => boolean) =>
      drawn.filter(happened).length / drawn.length
    // Five standard deviations of a share of 0.2 in 3000 draws.
    for (const axis of [0, 1, 2] as const)
      expect(Math.abs(share(({ flip }) => flip[axis]) - 0.2)).toBeLessThan(0.037)
    for (const turns of [1, 2, 3])
      expect(Math.abs(share(({ quarterTurns }) => quarterTurns === turns) - 0.2 / 3)).toBeLessThan(0.023)
    expect(Math.abs(share(({ intensityScale }) => intensityScale !== 1) - 0.1)).toBeLessThan(0.028)
    expect(Math.abs(share(({ intensityShift }) => intensityShift !== 0) - 0.1)).toBeLessThan(0.028)
    const scales = drawn.map(({ intensityScale }) => intensityScale)
    const shifts = drawn.map(({ intensityShift }) => intensityShift)
    for (const [values, middle] of [
      [scales, 1],
      [shifts, 0],
    ] as const) {
      expect(Math.max(...values)).toBeLessThanOrEqual(middle + 0.1)
      expect(Math.max(...values)).toBeGreaterThan(middle + 0.09)
      expect(Math.min(...values)).toBeGreaterThanOrEqual(middle - 0.1)
      expect(Math.min(...values)).toBeLessThan(middle - 0.09)
    }
  })

  test('mixing permutes the crops of an item and cuts all at one length', async () => {
    const plan = planOf('labelled', { patchVoxels: [16, 16, 4], cropsPerVolume: 4, mixing: true })
    const lengths: number[] = []
    const axes: number[] = []
    for (let item = 0; item < 300; item++) {
      const crops = await planItem(plan, item, open.get('labelled')!)
      const mixing = crops.map((crop) => crop.mixing!)
      expect(mixing.map(({ partner }) => partner).sort()).toEqual([0, 1, 2, 3])
      expect(new Set(mixing.map(({ axis, length }) => `${axis} ${length}`)).size).toBe(1)
      lengths.push(mixing[0]!.length)
      axes.push(mixing[0]!.axis)
    }
    expect(Math.abs(axes.filter((axis) => axis === 0).length - 150)).toBeLessThan(44)
    expect(Math.min(...lengths)).toBe(0)
    expect(Math.max(...lengths)).toBe(15)
    // Beta(0.2, 0.2) lies below 1/16 with probability 0.305: the ends are where most of it is.
    const atStart = lengths.filter((length) => length === 0).length / 300
    expect(Math.abs(atStart - 0.305)).toBeLessThan(5 * Math.sqrt((0.305 * 0.695) / 300))
  })

  test('a plan without mixing, or with one crop per volume, has none', async () => {
    const single = await cropsOf(planOf('labelled', { mixing: true }), 3)
    const without = await cropsOf(planOf('labelled', { cropsPerVolume: 2 }), 3)
    for (const { mixing } of [...single, ...without]) expect(mixing).toBeNull()
  })
})

describe('a plan that cannot be executed is refused by key', () => {
  const cases = [{ id: 'one', path: '', repeat: 1, kind: 'labelled' as const }]
  const base = makePlan({ cases })
  test.each<[string, RegExp, Partial<SamplingPlan>]>([
    ['no case', /no case/, { cases: [] }],
    ['a repeat of 0', /case one: wrong repeat/, { cases: [{ ...cases[0]!, repeat: 0 }] }],
    ['no odds', /positiveOdds/, { positiveOdds: 0, negativeOdds: 0 }],
    [
      'a rotation of an oblong patch',
      /patchVoxels/,
      { patchVoxels: [16, 24, 16], augmentation: { ...base.augmentation, rotateProbability: 0.2 } },
    ],
    [
      'a texture no larger than the patch',
      /texture\.sizeVoxels/,
      { tumors: { ...base.tumors, draws: 1, textureSizeVoxels: [16, 64, 64] } },
    ],
    [
      'tumors without a size',
      /sizeOdds/,
      { tumors: { ...base.tumors, draws: 1, sizeOdds: { tiny: 0, small: 0, medium: 0, large: 0 } } },
    ],
    [
      'tumors without an organ',
      /organWeights/,
      { tumors: { ...base.tumors, draws: 1 }, organs: base.organs.map((organ) => ({ ...organ, weight: 0 })) },
    ],
  ])('%s', (_, message, changes) => {
    expect(() => checkPlan(base)).not.toThrow()
    const failure = () => checkPlan({ ...base, ...changes })
    expect(failure).toThrow(ConfigError)
    expect(failure).toThrow(message)
  })
})

describe('crops around false positives', () => {
  const at = (x: number, y: number, z: number, score: number | null = null) => ({
    voxel: [x, y, z] as Vec3,
    score,
  })
  const listed = (...hardNegatives: NonNullable<OpenCase['hardNegatives']>): OpenCase => ({
    ...open.get('coded')!,
    hardNegatives,
  })
  const planFor = (share: number, changes: Partial<SamplingPlan> = {}) =>
    planOf('coded', {
      patchVoxels: [8, 8, 8],
      positiveOdds: 1,
      negativeOdds: 1,
      hardNegatives: { list: [{ case: 'coded', mm: [0, 0, 0], score: null }], share },
      ...changes,
    })
  /** The first voxel of a crop of the volume whose HU is its place. */
  const startOf = ({ image }: PlannedCrop): Vec3 => {
    const place = image[0]! + 170
    return [Math.floor(place / 960), Math.floor(place / 30) % 32, place % 30]
  }
  const isNear = (crop: PlannedCrop, [x, y, z]: Vec3) =>
    startOf(crop).every((start, axis) => Math.abs(start + 4 - [x, y, z][axis]!) <= 2)

  test('make up the wanted share of negative crops, and lie at most a quarter of the patch away', () => {
    const prepared = listed(at(24, 25, 22))
    const plan = planFor(0.6, { positiveOdds: 0 })
    const crops = Array.from({ length: 2000 }, (_, item) => planItem(plan, item, prepared)[0]!)
    const near = crops.filter((crop) => isNear(crop, [24, 25, 22]))
    // others reach the place by chance: 125 of 30,720 starts
    expect(near.length / crops.length).toBeGreaterThan(0.56)
    expect(near.length / crops.length).toBeLessThan(0.64)
    expect(new Set(near.map((crop) => String(startOf(crop)))).size).toBe(125)
  })

  test('follow the scores; without scores all false positives are drawn equally often', () => {
    const plan = planFor(1, { positiveOdds: 0 })
    const counts = (...scores: readonly (number | null)[]) => {
      const prepared = listed(at(6, 6, 6, scores[0]), at(24, 25, 22, scores[1]))
      const crops = Array.from({ length: 1500 }, (_, item) => planItem(plan, item, prepared)[0]!)
      return crops.filter((crop) => isNear(crop, [6, 6, 6])).length / crops.length
    }
    expect(counts(0.9, 0.3)).toBeGreaterThan(0.71)
    expect(counts(0.9, 0.3)).toBeLessThan(0.79)
    expect(Math.abs(counts(0.9, null) - 0.5)).toBeLessThan(0.04)
  })

  test('leave every other crop as it is without the list', () => {
    const prepared = listed(at(24, 25, 22))
    const [with_, without] = [planFor(0.5), planFor(0.5, { hardNegatives: null })]
    let changed = 0
    for (let item = 0; item < 300; item++) {
      const crop = planItem(with_, item, prepared)[0]!
      const plain = planItem(without, item, prepared)[0]!
      if (isNear(crop, [24, 25, 22]) && !isNear(plain, [24, 25, 22])) changed++
      else expect(crop).toEqual(plain)
      // a case without an entry is not affected by the list
      expect(planItem(with_, item, open.get('coded')!)[0]).toEqual(plain)
    }
    expect(changed).toBeGreaterThan(50)
  })

  test('are a pure function of seed, job and item', () => {
    const prepared = listed(at(24, 25, 22), at(6, 6, 6))
    const plan = planFor(1, { positiveOdds: 0 })
    const backwards = [5, 4, 3].map((item) => planItem(plan, item, prepared)[0]!).reverse()
    expect(backwards).toEqual([3, 4, 5].map((item) => planItem(plan, item, prepared)[0]!))
    const other = planItem({ ...plan, seed: 8 }, 3, prepared)[0]!
    expect(startOf(other)).not.toEqual(startOf(backwards[0]!))
  })

  test('are never centred on an ignored voxel; without another one the crop is an ordinary negative', () => {
    const patchVoxels: Vec3 = [1, 1, 1]
    const hardNegatives = { list: [{ case: 'x', mm: [0, 0, 0] as Vec3, score: null }], share: 1 }
    const around = (name: Name, voxel: Vec3, size: Vec3) => {
      const plan = planOf(name, { patchVoxels: size, positiveOdds: 0, hardNegatives })
      const prepared = { ...open.get(name)!, hardNegatives: [{ voxel, score: null }] }
      return Array.from({ length: 200 }, (_, item) => planItem(plan, item, prepared)[0]!)
    }
    // the middle of an odd patch is its centre, except for ordinary crops at the border; two thirds of the voxels are ignored
    const middles = around('sparse', [20, 18, 22], [9, 9, 9]).map(
      ({ label }) => label[(label.length - 1) / 2],
    )
    expect(middles.filter((id) => id === IGNORED_LABEL).length).toBeLessThan(10)
    // a shift of 0 cannot leave the ignored voxel
    for (const { label } of around('sparse', [0, 0, 2], patchVoxels)) expect(label[0]).toBe(0)
  })

  test('get no synthetic tumor', () => {
    const prepared = listed(at(12, 15, 16))
    const tumors = { ...makePlan({}).tumors, draws: 1 }
    const plan = (share: number) => planFor(share, { positiveOdds: 0, patchVoxels: [24, 24, 24], tumors })
    const painted = (share: number) =>
      Array.from({ length: 30 }, (_, item) => planItem(plan(share), item, prepared)[0]!).filter(
        ({ tumors: planned }) => planned.length > 0,
      ).length
    expect(painted(0)).toBeGreaterThan(0)
    expect(painted(1)).toBe(0)
  })

  test('are refused without a listed case of the training, and without negative crops', () => {
    expect(() => checkPlan(planFor(0.5))).not.toThrow()
    const list = [{ case: 'hosts/other', mm: [0, 0, 0] as Vec3, score: null }]
    expect(() => checkPlan(planFor(0.5, { hardNegatives: { list, share: 1 } }))).toThrow(
      /no case of the training is listed \(expected one such as coded, found hosts\/other\)/,
    )
    expect(() => checkPlan(planFor(0.5, { negativeOdds: 0 }))).toThrow(
      /expected sampling\.negativeOdds above 0/,
    )
  })
})

test('a curriculum without a range to aim at is refused, with the organs of the target', () => {
  const tumors = { ...makePlan({}).tumors, draws: 1 }
  const measured = { organ: 'kidney', diameterMm: [5, 10], found: 1, missed: 1 } as const
  const plan = (aimed: boolean) =>
    planOf('coded', {
      tumors: {
        ...tumors,
        curriculum: aimed ? aimAt([measured], 0.2, { spacingMm: [1, 1, 1], windowHu: [-175, 250] }) : [],
      },
    })
  expect(() => checkPlan(plan(true))).not.toThrow()
  expect(() => checkPlan(plan(false))).toThrow(
    /simulation\.curriculum: no range to aim at \(expected one of liver, pancreas, kidney above 5 mm/,
  )
})
