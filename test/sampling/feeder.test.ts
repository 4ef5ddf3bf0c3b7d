import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DataError, RuntimeCrashError, UsageError } from '../../src/errors.js'
import { type Feeder, openFeeder } from '../../src/sampling/feeder.js'
import type { PlannedCrop, SamplingPlan } from '../../src/sampling/sampling-plan.js'
import { applyAffine } from '../../src/volume/geometry.js'
import { AFFINE, makeVoxels, writePreparedCase } from './prepared-case-files.js'
import { makePlan } from './sampling-plan.js'

const REPEATS = [2, 1, 3, 1]
let directory: string
let plan: SamplingPlan
const open: Feeder[] = []

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'freetumor-feeder-'))
  const cases = REPEATS.map((repeat, at) => {
    const voxels = makeVoxels([48, 40, 36], (x, y, z) => [
      (x * 31 + y * 17 + z * 7 + at * 101) % 400,
      (x - 24) ** 2 + (y - 20) ** 2 + (z - 18) ** 2 < 200 + 40 * at ? 1 : 0,
    ])
    const path = writePreparedCase(directory, `case-${at}`, voxels, 7, [-175, 250])
    return { id: `case-${at}`, path, repeat, kind: 'host' as const }
  })
  const base = makePlan({})
  plan = makePlan({
    cases,
    cropsPerVolume: 2,
    patchVoxels: [32, 32, 24],
    tumors: { ...base.tumors, draws: 2, sizeOdds: { tiny: 1, small: 1, medium: 0, large: 0 } },
    augmentation: {
      flipProbability: 0.5,
      rotateProbability: 0.5,
      scaleProbability: 0.5,
      scaleRange: 0.1,
      shiftProbability: 0.5,
      shiftRange: 0.1,
    },
    mixing: true,
  })
})
afterEach(async () => {
  for (const feeder of open.splice(0)) await feeder.close()
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

async function opened(workers: number, changed: SamplingPlan = plan): Promise<Feeder> {
  const feeder = await openFeeder(changed, { workers })
  open.push(feeder)
  return feeder
}

async function wholeStep(feeder: Feeder, step: number, ranks: number): Promise<string[]> {
  const blocks = Array.from({ length: ranks }, (_, rank) => feeder.step(step, rank, ranks, 1))
  return (await Promise.all(blocks)).flat().map(fingerprint)
}

/** Two crops have one fingerprint when every voxel and every number of theirs is equal. */
function fingerprint({ image, label, tumors, ...rest }: PlannedCrop): string {
  const hash = createHash('sha256').update(image).update(label)
  for (const { box, ...tumor } of tumors) hash.update(box).update(JSON.stringify(tumor))
  return hash.update(JSON.stringify(rest)).digest('hex')
}

test('the crops of a step are the same for any number of ranks and workers', async () => {
  const inline = await opened(0)
  const expected = [await wholeStep(inline, 0, 1), await wholeStep(inline, 1, 1)]
  expect(new Set(expected.flat()).size).toBe(32)
  const tumors = (await inline.step(0, 0, 1, 1)).flatMap((crop) => crop.tumors)
  expect(tumors.length).toBeGreaterThan(16)
  for (const [workers, ranks] of [
    [0, 2],
    [0, 8],
    [1, 1],
    [1, 8],
    [3, 1],
    [3, 2],
    [3, 8],
  ] as const) {
    const feeder = await opened(workers)
    expect(await wholeStep(feeder, 0, ranks)).toEqual(expected[0])
    expect(await wholeStep(feeder, 1, ranks)).toEqual(expected[1])
  }
})

test('the crops of a step do not depend on earlier requests', async () => {
  const forwards = await opened(0)
  const steps = [0, 1, 2, 3]
  const expected = []
  for (const step of steps) expected.push(await wholeStep(forwards, step, 1))
  const backwards = await opened(2)
  const found = await Promise.all([...steps].reverse().map((step) => wholeStep(backwards, step, 1)))
  expect(found.reverse()).toEqual(expected)
})

test('a feeder that starts at any step continues the stream of an uninterrupted one, with 1 or 16 threads', async () => {
  const unbroken = await opened(1)
  const steps = [0, 1, 2, 3, 4]
  const expected: string[][] = []
  for (const step of steps) expected.push(await wholeStep(unbroken, step, 1))
  expect(new Set(expected.flat()).size).toBe(80)
  const many = await opened(16)
  expect(await Promise.all(steps.map((step) => wholeStep(many, step, 2)))).toEqual(expected)
  for (const restart of steps.slice(1)) {
    const again = await opened(restart % 2)
    const rest = []
    for (const step of steps.slice(restart)) rest.push(await wholeStep(again, step, 1))
    expect(rest, `from step ${restart}`).toEqual(expected.slice(restart))
  }
})

test.each([0, 2])('with %i workers, a case with listed positions gets tumors only there', async (workers) => {
  const voxels = [
    [20, 17, 15],
    [30, 25, 21],
  ] as const
  const positions = voxels.map((voxel) => ({ case: 'case-0', mm: applyAffine(AFFINE, voxel), organ: null }))
  const tumors = { ...plan.tumors, positions, sizeOdds: { tiny: 1, small: 0, medium: 0, large: 0 } }
  const whole = [48, 40, 36] as const
  const changes = { cropsPerVolume: 1, patchVoxels: whole, augmentation: makePlan({}).augmentation }
  const feeder = await opened(workers, { ...plan, ...changes, tumors })
  const crops = (await Promise.all([0, 1].map((step) => feeder.step(step, 0, 1, 1)))).flat()
  // the crop is the whole case, so its voxels are those of the case
  const nearest = (crop: PlannedCrop) =>
    crop.tumors.map(({ boxOrigin, boxShape }) => {
      const middle = boxOrigin.map((at, axis) => at + boxShape[axis]! / 2)
      return voxels.findIndex((voxel) => voxel.every((at, axis) => Math.abs(at - middle[axis]!) < 5))
    })
  const listed = crops.filter(({ caseId }) => caseId === 'case-0').flatMap(nearest)
  expect(new Set(listed)).toEqual(new Set([0, 1]))
  const others = crops.filter(({ caseId }) => caseId !== 'case-0').flatMap(nearest)
  expect(others).toContain(-1)
})

test('a rank has a contiguous block of items, in order, with the crops of an item side by side', async () => {
  const feeder = await opened(2)
  const crops = await feeder.step(3, 1, 2, 2)
  expect(crops.map(({ item, crop }) => [item, crop])).toEqual([
    [28, 0],
    [28, 1],
    [29, 0],
    [29, 1],
    [30, 0],
    [30, 1],
    [31, 0],
    [31, 1],
  ])
})

test('another seed or job gives other crops', async () => {
  const crops = await wholeStep(await opened(0), 0, 1)
  for (const changes of [{ seed: 8 }, { job: 'baseline' }]) {
    const others = await wholeStep(await opened(0, { ...plan, ...changes }), 0, 1)
    expect(others.filter((other) => crops.includes(other))).toHaveLength(0)
  }
})

test('steps of whole epochs visit every case its repeat count', async () => {
  const feeder = await opened(0, { ...plan, itemsPerStep: 7, cropsPerVolume: 1 })
  for (const step of [0, 1, 2]) {
    const visits = (await feeder.step(step, 0, 1, 1)).map(({ caseId }) => caseId)
    expect(REPEATS.map((_, at) => visits.filter((id) => id === `case-${at}`).length)).toEqual(REPEATS)
  }
})

test('ranks and accumulation that do not divide the items of a step are refused', async () => {
  const feeder = await opened(0)
  await expect(feeder.step(0, 0, 3, 1)).rejects.toThrow(UsageError)
  await expect(feeder.step(0, 0, 4, 4)).rejects.toThrow(/itemsPerStep: .*4 ranks x 4 accumulation, found 8/)
})

const BREAKS: readonly (readonly [string, (image: string) => void, RegExp])[] = [
  [
    'cut',
    (image) => truncateSync(image, 5),
    /case liver_9: .*image: wrong size .expected 65536 bytes, found 5/,
  ],
  [
    'changed',
    (image) => writeFileSync(image, readFileSync(image).fill(1, 0, 65_536)),
    /case liver_9: .*damaged since the case was prepared: image: plane \d+, rows \d+ to \d+/,
  ],
]
const WAYS = BREAKS.flatMap(([how, breakImage, message]) =>
  [0, 2].map((workers) => ({ how, workers, breakImage, message })),
)

test.each(WAYS)(
  'a case that was $how fails its step by name and no other, with $workers workers',
  async (way) => {
    const { how, workers, breakImage, message } = way
    const voxels = makeVoxels([32, 32, 32], () => [0, 1])
    const broken = writePreparedCase(directory, `broken-${how}-${workers}`, voxels, 7, [-175, 250])
    breakImage(join(broken, 'image/c/0/0/0'))
    const sound = { ...plan.cases[0]!, repeat: 1 }
    const cases = [sound, { id: 'liver_9', path: broken, repeat: 1, kind: 'host' as const }]
    const feeder = await opened(workers, { ...plan, cases, itemsPerStep: 1 })
    // An epoch of two: one of them is the broken case.
    const outcomes = await Promise.allSettled([0, 1].map((step) => feeder.step(step, 0, 1, 1)))
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]!.reason).toBeInstanceOf(DataError)
    expect(failed[0]!.reason.message).toMatch(message)
    expect(failed[0]!.reason.hint).toMatch(/freetumor prepare/)
    expect(failed[0]!.reason.facts).toEqual({ case: 'liver_9' })
  },
)

test.each([0, 2])(
  'a case that another command replaced in the cache fails its step, with %i workers',
  async (workers) => {
    const cases = [{ ...plan.cases[0]!, repeat: 1, content: 'f'.repeat(64) }]
    const feeder = await opened(workers, { ...plan, cases, itemsPerStep: 1 })
    await expect(feeder.step(0, 0, 1, 1)).rejects.toThrow(/replaced since it was prepared/)
  },
)

test('a pending request is refused when the feeder closes', async () => {
  const feeder = await openFeeder(plan, { workers: 1 })
  const asked = feeder.step(0, 0, 1, 1)
  const refused = expect(asked).rejects.toThrow(RuntimeCrashError)
  await feeder.close()
  await refused
  await expect(feeder.step(1, 0, 1, 1)).rejects.toThrow(/closed/)
})
