import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { CaseMeasures, LesionMeasures } from '../../../src/evaluation/measures.js'
import { calibrateOperatingPoint } from '../../../src/pipeline/evaluate/operating-point.js'
import { evaluateMasks } from '../../../src/pipeline/evaluate/run.js'
import { readOperatingPoint } from '../../../src/pipeline/operating-point.js'
import type { EvaluateSpec } from '../../../src/pipeline/ports/cases.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { lesion, measuredCase, overlap } from '../../helpers/measures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const SETTINGS = {
  checkpoints: [{ sha256: 'ab'.repeat(32) }],
  maskIds: [0, 1, 2],
  grid: 'original',
  overlap: 0.5,
}
const FEATURES = { meanProbability: 0.4, elongation: 1, compactness: 1, organContact: 1 }

/** Folders of empty masks, whose predicted lesions have the given scores; those of names with s touch a true one. */
function world(scores: Readonly<Record<string, readonly number[]>>, settings: object | null = SETTINGS) {
  const folder = temporaryFolder()
  const specs: EvaluateSpec[] = []
  const notes: string[] = []
  const measured = (id: string): Partial<CaseMeasures> => {
    const predicted = scores[id]!.map(
      (score): LesionMeasures => lesion('predicted', 9, id.startsWith('s'), { score, features: FEATURES }),
    )
    if (!id.startsWith('s')) return { tumor: overlap(0, 9, 0), lesions: predicted }
    return {
      lesions: [...predicted.map(() => lesion('true', 9, true)), ...predicted],
      lesionOverlaps: predicted.map((_, at) => [at, at, 5] as const),
    }
  }
  const runtime = inMemoryRuntime({
    evaluate: ({ id }, spec) => {
      specs.push(spec)
      const { caseId: _, patient: __, ...result } = { ...measuredCase(id, overlap(5, 5, 5)), ...measured(id) }
      const removed = spec.operatingPoint === null ? {} : { removedLesions: 2 }
      return { caseId: id, result: JSON.parse(JSON.stringify({ ...result, ...removed })) }
    },
  })
  const fill = (name: string, select: (id: string) => boolean): string => {
    mkdirSync(join(folder, name, 'probabilities'), { recursive: true })
    for (const id of Object.keys(scores).filter(select)) {
      writeFileSync(join(folder, name, `${id}.nii.gz`), '')
      writeFileSync(join(folder, name, 'probabilities', `${id}_2.nii.gz`), '')
    }
    if (settings !== null) writeFileSync(join(folder, name, 'prediction.json'), JSON.stringify(settings))
    return join(folder, name)
  }
  const sick = (id: string) => id.startsWith('s')
  const options = {
    predictions: fill('masks', sick),
    labels: fill('labels', sick),
    healthy: fill('healthy', (id) => !sick(id)),
    out: join(folder, 'new/point.json'),
  }
  const context = {
    runtime,
    signal: undefined,
    logDirectory: folder,
    note: (text: string) => notes.push(text),
  }
  return { folder, specs, notes, options, context }
}

const SCORES = { s1: [0.9, 0.4], s2: [0.8], h1: [0.5], h2: [0.3], h3: [] }

test('calibrate writes an operating point of masks and healthy masks', async () => {
  const { options, context, specs, notes } = world(SCORES)
  const written = await calibrateOperatingPoint({ ...options, rate: 1 }, context)
  expect(written).toMatchObject({
    file: options.out,
    rule: { terms: [{ feature: 'probability', weight: 1 }], threshold: 0.65 },
    before: { lesionFree: { successes: 1, of: 3 }, sensitivity: { successes: 3, of: 3 } },
    after: { inSample: { lesionFree: { successes: 3 }, sensitivity: { successes: 2 } } },
    prediction: SETTINGS,
  })
  const { file: _, ...content } = written
  expect((await readOperatingPoint(options.out)).point).toEqual(content)
  expect(specs.every(({ lesionFeatures }) => lesionFeatures)).toBe(true)
  expect(specs[0]!.cases[0]!.scores[0]).toMatch(/masks\/probabilities\/s1_2\.nii\.gz$/)
  expect(notes).toEqual([])
})

test('an accepted loss gives the highest threshold within it', async () => {
  const { options, context, notes } = world(SCORES)
  const { rule } = await calibrateOperatingPoint({ ...options, sensitivityLoss: 0.34 }, context)
  expect(rule.threshold).toBe(0.65)
  expect(notes).toEqual([])
  await calibrateOperatingPoint({ ...options, sensitivityLoss: 0.05 }, context)
  expect(notes).toEqual([
    '--sensitivity-loss 0.05: less than one of 3 lesions, so none is lost (expected at least 20 lesions)',
  ])
})

test.each([
  [{}, /expected either --rate or --sensitivity-loss/],
  [{ rate: 0.9, sensitivityLoss: 0.1 }, /expected either --rate or --sensitivity-loss/],
  [{ rate: 0.9, healthy: undefined }, /calibrate: no healthy scan/],
])('calibrate refuses %j without writing', async (changes, message) => {
  const { options, context } = world(SCORES)
  await expect(calibrateOperatingPoint({ ...options, ...changes }, context)).rejects.toThrow(message)
  await expect(readOperatingPoint(options.out)).rejects.toThrow('not found')
})

test('calibrate refuses masks without a true lesion, of other settings, or with lesions removed', async () => {
  const silent = world({ s1: [], h1: [0.5] })
  await expect(calibrateOperatingPoint({ ...silent.options, rate: 0.9 }, silent.context)).rejects.toThrow(
    /labels: no tumor \(found 1 case\)/,
  )
  const other = world(SCORES)
  writeFileSync(
    join(other.options.healthy, 'prediction.json'),
    JSON.stringify({ ...SETTINGS, checkpoints: [{ sha256: 'ef'.repeat(32) }], overlap: 0.75 }),
  )
  await expect(calibrateOperatingPoint({ ...other.options, rate: 0.9 }, other.context)).rejects.toThrow(
    /predicted with other settings than .*masks \(found other checkpoints, overlap\)/,
  )
  const applied = world(SCORES, { ...SETTINGS, operatingPoint: { sha256: 'x' } })
  await expect(calibrateOperatingPoint({ ...applied.options, rate: 0.9 }, applied.context)).rejects.toThrow(
    /masks: an operating point was applied already/,
  )
})

test('calibrate names a wrong folder, a damaged record and a wrong output before it measures', async () => {
  const { folder, options, context, specs } = world(SCORES)
  const refused = async (changes: object, message: RegExp) =>
    await expect(calibrateOperatingPoint({ ...options, rate: 0.9, ...changes }, context)).rejects.toThrow(
      message,
    )
  mkdirSync(join(folder, 'empty'))
  await refused({ predictions: join(folder, 'nowhere') }, /nowhere: folder not found/)
  await refused({ predictions: join(folder, 'empty') }, /empty: no mask found/)
  await refused({ healthy: join(folder, 'nowhere') }, /nowhere: folder not found/)
  await refused({ healthy: join(folder, 'empty') }, /empty: no mask found/)
  await refused({ healthy: options.predictions }, /--healthy: the folder of --predictions/)
  await refused({ out: join(folder, 'empty') }, /empty: cannot be written \(it is a folder/)
  for (const [text, message] of [
    ['{', /prediction\.json: is not JSON/],
    ['[]', /prediction\.json: no settings of a prediction/],
  ] as const) {
    writeFileSync(join(options.healthy, 'prediction.json'), text)
    await refused({}, message)
  }
  expect(specs).toEqual([])
})

test('an evaluation removes lesions of the masks, not of those to compare with, and states the rule', async () => {
  const { options, context, specs, folder } = world(SCORES)
  await calibrateOperatingPoint({ ...options, rate: 1 }, context)
  specs.length = 0
  const { predictions, labels, out: operatingPoint } = options
  const evaluation = await evaluateMasks(
    {
      predictions,
      labels,
      profile: 'lesion',
      operatingPoint,
      against: predictions,
      pictures: 0,
      out: join(folder, 'e'),
    },
    context,
  )
  const points = specs.map((spec) => spec.operatingPoint)
  expect(points.filter((point) => point !== null)).toHaveLength(2)
  expect(points.filter((point) => point === null)).toHaveLength(2)
  expect(points[0]).toMatchObject({ tumorIds: [2, 4, 6], threshold: 0.65 })
  expect(specs[0]!.cases[0]!.scores).toHaveLength(1)
  const { sha256 } = await readOperatingPoint(operatingPoint)
  expect(evaluation.summary.operatingPoint).toEqual({ sha256, removedLesions: 4 })
  expect(evaluation.against!.summary.operatingPoint).toBeUndefined()
  expect(JSON.parse(readFileSync(join(folder, 'e/summary.json'), 'utf8')).operatingPoint.removedLesions).toBe(
    4,
  )
})

test('an evaluation refuses a point of another checkpoint, and one whose probabilities are missing', async () => {
  const { options, context } = world(SCORES)
  await calibrateOperatingPoint({ ...options, rate: 1 }, context)
  const { labels, out: operatingPoint } = options
  const evaluate = (predictions: string) =>
    evaluateMasks({ predictions, labels, profile: 'lesion', operatingPoint, pictures: 0 }, context)
  const bare = join(temporaryFolder(), 'bare')
  mkdirSync(bare)
  for (const id of ['s1', 's2']) writeFileSync(join(bare, `${id}.nii.gz`), '')
  await expect(evaluate(bare)).rejects.toThrow(
    /needs probabilities \(expected --scores or .*bare\/probabilities\)/,
  )
  writeFileSync(join(bare, 'prediction.json'), JSON.stringify({ ...SETTINGS, checkpoints: [] }))
  await expect(evaluate(bare)).rejects.toThrow(/fitted for another prediction \(expected checkpoints/)
})
