import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { aggregate } from '../../src/evaluation/aggregate.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { writeEvaluation } from '../../src/evaluation/write.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'
import { temporaryFolder } from '../helpers/temporary.js'

test('an evaluation writes a summary and tables, and no other file', async () => {
  const folder = temporaryFolder()
  const cases = [
    measuredCase('a,"b"', overlap(3, 1, 1), {
      lesions: [lesion('predicted', 10, false, { volumeMl: 0.5, voxels: 500 })],
    }),
    measuredCase('c', overlap(0, 0, 0)),
  ]
  const summary = aggregate(cases, PROFILES.lesion, { seed: 0 })
  await writeEvaluation(folder, summary, cases, PROFILES.lesion)
  await writeEvaluation(folder, summary, cases, PROFILES.lesion)

  expect(readdirSync(folder).sort()).toEqual(['cases.csv', 'lesions.csv', 'measures.jsonl', 'summary.json'])
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
  expect(JSON.parse(text('summary.json'))).toEqual(summary)
  expect(
    text('measures.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(cases)
  expect(text('cases.csv').split('\n')).toEqual([
    'case,grid,label,true_positive,false_positive,false_negative,dice,nsd,patient,true_ml,predicted_ml',
    '"a,""b""",original,2,3,1,1,0.75,,"a,""b""",0.004,0.004',
    '"a,""b""",original,tumor,3,1,1,0.75,,"a,""b""",0.004,0.004',
    'c,original,2,0,0,0,,,c,0,0',
    'c,original,tumor,0,0,0,,,c,0,0',
    '',
  ])
  expect(text('lesions.csv').split('\n')).toEqual([
    'case,kind,label,volume_ml,diameter_mm,x_mm,y_mm,z_mm,matched,patient,voxels,score,best_iou,dice,matched_iou_0.1,matched_iou_0.3,matched_iou_0.5',
    '"a,""b""",predicted,2,0.5,10,0,0,0,0,"a,""b""",500,,0,0,0,0,0',
    '',
  ])
})

test('each tolerance of the surface Dice has a column; the first is called nsd', async () => {
  const folder = temporaryFolder()
  const profile = { ...PROFILES.difftumor, nsdTolerancesMm: [2, 1] }
  const cases = [measuredCase('a', overlap(3, 1, 1, 0.8, 0.5), { spacingMm: [2, 1, 5] })]
  await writeEvaluation(folder, aggregate(cases, profile, { seed: 0 }), cases, profile)
  expect(readFileSync(join(folder, 'cases.csv'), 'utf8').split('\n').slice(0, 2)).toEqual([
    'case,grid,label,true_positive,false_positive,false_negative,dice,nsd,nsd_1mm,patient,true_ml,predicted_ml',
    'a,original,2,3,1,1,0.75,0.8,0.5,a,0.04,0.04',
  ])
})

test('a table that cannot be written leaves no summary of an earlier evaluation and no temporary file', async () => {
  const folder = temporaryFolder()
  const cases = [measuredCase('a', overlap(3, 1, 1))]
  const summary = aggregate(cases, PROFILES.lesion, { seed: 0 })
  await writeEvaluation(folder, summary, cases, PROFILES.lesion)
  // a folder in the place of a file refuses the file as a full disk does, for every user
  rmSync(join(folder, 'measures.jsonl'))
  mkdirSync(join(folder, 'measures.jsonl', 'inner'), { recursive: true })
  await expect(writeEvaluation(folder, summary, cases, PROFILES.lesion)).rejects.toMatchObject({
    code: 'environment',
    message: expect.stringContaining(join(folder, 'measures.jsonl')),
  })
  expect(readdirSync(folder).sort()).toEqual(['cases.csv', 'lesions.csv', 'measures.jsonl'])
})
