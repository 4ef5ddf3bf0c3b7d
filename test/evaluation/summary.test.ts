import { expect, test } from 'vitest'
import { aggregate } from '../../src/evaluation/aggregate.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { summaryJsonSchema, summaryProblem } from '../../src/evaluation/summary.js'
import { measuredLine, numbers, randomLine } from './made-lesions.js'

test.each(Object.values(PROFILES))('the summary of profile $name follows the published schema', (profile) => {
  const next = numbers(6)
  const cases = Array.from({ length: 6 }, (_, at) => measuredLine(`${at}`, randomLine(next)))
  for (const some of [cases, cases.slice(0, 1), []]) {
    const summary = aggregate(some, profile, { seed: 0, failedCases: ['x'], warnings: ['so and so'] })
    expect(summaryProblem(JSON.parse(JSON.stringify(summary)))).toBeNull()
  }
})

test('the schema describes the keys that programs read, and an invalid summary is refused with the place', () => {
  const schema = summaryJsonSchema() as { properties: Record<string, unknown>; required: string[] }
  expect(schema.required).toEqual(expect.arrayContaining(['profile', 'grid', 'numCases', 'classes']))
  expect(JSON.stringify(schema.properties.grid)).toContain('resampled')
  const summary = aggregate([], PROFILES.voco, { seed: 0 })
  expect(summaryProblem({ ...summary, numCases: -1 })).toMatch(/^numCases: /)
  expect(summaryProblem(null)).not.toBeNull()
})
