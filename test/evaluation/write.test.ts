import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { aggregate } from '../../src/evaluation/aggregate.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { writeEvaluation } from '../../src/evaluation/write.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'
import { temporaryFolder } from '../helpers/temporary.js'

test('an evaluation is a summary and two tables, and nothing else is left lying', async () => {
  const folder = temporaryFolder()
  const cases = [
    measuredCase('a,"b"', overlap(3, 1, 1), { lesions: [lesion('predicted', 10, false, 0.5)] }),
    measuredCase('c', overlap(0, 0, 0)),
  ]
  const summary = aggregate(cases, PROFILES.lesion, { seed: 0 })
  await writeEvaluation(folder, summary, cases)
  await writeEvaluation(folder, summary, cases)

  expect(readdirSync(folder).sort()).toEqual(['cases.csv', 'lesions.csv', 'summary.json'])
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
  expect(JSON.parse(text('summary.json'))).toEqual(summary)
  expect(text('cases.csv').split('\n')).toEqual([
    'case,grid,label,true_positive,false_positive,false_negative,dice,nsd',
    '"a,""b""",original,2,3,1,1,0.75,',
    '"a,""b""",original,tumor,3,1,1,0.75,',
    'c,original,2,0,0,0,,',
    'c,original,tumor,0,0,0,,',
    '',
  ])
  expect(text('lesions.csv').split('\n')).toEqual([
    'case,kind,label,volume_ml,diameter_mm,x_mm,y_mm,z_mm,matched',
    '"a,""b""",predicted,2,0.5,10,0,0,0,0',
    '',
  ])
})
