import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { readHardNegatives } from '../../../src/config/lists.js'
import type { CaseMeasures } from '../../../src/evaluation/measures.js'
import { hardNegativesOfMasks } from '../../../src/pipeline/evaluate/hard-negatives.js'
import type { EvaluateSpec } from '../../../src/pipeline/ports/cases.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { lesion, measuredCase, overlap } from '../../helpers/measures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

function world(lesions: Readonly<Record<string, CaseMeasures['lesions']>>, withScores = true) {
  const folder = temporaryFolder()
  const predictions = join(folder, 'masks')
  mkdirSync(join(predictions, withScores ? 'probabilities' : ''), { recursive: true })
  for (const id of Object.keys(lesions)) {
    writeFileSync(join(predictions, `${id}.nii.gz`), '')
    if (withScores) writeFileSync(join(predictions, 'probabilities', `${id}_2.nii.gz`), '')
  }
  const specs: EvaluateSpec[] = []
  const runtime = inMemoryRuntime({
    evaluate: ({ id }, spec) => {
      specs.push(spec)
      const {
        caseId: _,
        patient: __,
        ...result
      } = measuredCase(id, overlap(0, 5, 0), { lesions: lesions[id]! })
      return { caseId: id, result: JSON.parse(JSON.stringify(result)) }
    },
  })
  const context = { runtime, signal: undefined, logDirectory: folder, note: () => {} }
  return { specs, context, options: { predictions, dataset: 'hosts', out: join(folder, 'new/list.jsonl') } }
}

test('hard-negatives lists false positives of healthy scans with case, place and score, the highest first', async () => {
  const { context, options, specs } = world({
    b: [
      lesion('predicted', 4, false, { score: 0.4, centreMm: [1, 2, 3] }),
      lesion('predicted', 6, false, { score: 0.9, centreMm: [4, 5, 6] }),
      lesion('predicted', 5, false, { score: 0.2, centreMm: [7, 8, 9] }),
    ],
    a: [lesion('predicted', 3, false, { score: 0.7, centreMm: [-1, 0, 1] })],
    c: [],
  })
  const mined = await hardNegativesOfMasks({ ...options, mostPerCase: 2 }, context)
  expect(mined).toMatchObject({ scans: 3, lesionFree: 1, file: options.out })
  const expected = [
    { case: 'hosts/a', mm: [-1, 0, 1], score: 0.7 },
    { case: 'hosts/b', mm: [4, 5, 6], score: 0.9 },
    { case: 'hosts/b', mm: [1, 2, 3], score: 0.4 },
  ]
  expect(mined.hardNegatives).toMatchObject(expected)
  expect(await readHardNegatives(options.out)).toEqual(expected)
  expect(readFileSync(options.out, 'utf8').split('\n')).toHaveLength(4)
  // each mask is compared with itself without its tumors
  expect(specs[0]!.labelMap).toMatchObject({ '1': 1, '2': 1 })
  expect(specs[0]!.cases[0]!.scores[0]).toMatch(/probabilities/)
})

test('without probabilities the largest false positives come first', async () => {
  const { context, options } = world(
    { a: [lesion('predicted', 3, false), lesion('predicted', 8, false)] },
    false,
  )
  const { hardNegatives } = await hardNegativesOfMasks(options, context)
  expect(hardNegatives.map(({ score }) => score)).toEqual([null, null])
  expect(hardNegatives[0]!.volumeMl).toBeGreaterThan(hardNegatives[1]!.volumeMl)
})

test('no name of a data set, a wrong folder and a wrong output are refused before a mask is measured', async () => {
  const { context, options, specs } = world({ a: [] })
  const refused = async (changes: object, message: RegExp) =>
    await expect(hardNegativesOfMasks({ ...options, ...changes }, context)).rejects.toThrow(message)
  await refused({ dataset: ' ' }, /--dataset: no name/)
  await refused({ predictions: '/nowhere' }, /nowhere: folder not found/)
  await refused({ out: options.predictions }, /masks: cannot be written \(it is a folder/)
  expect(specs).toEqual([])
})

test('masks without a false positive are refused, and no list is written', async () => {
  const { context, options } = world({ a: [] })
  await expect(hardNegativesOfMasks(options, context)).rejects.toThrow(/masks: no false positive/)
  expect(existsSync(dirname(options.out))).toBe(false)
})
