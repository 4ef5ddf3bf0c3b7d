import { expect, test } from 'vitest'
import { worstFirst } from '../../src/evaluation/worst.js'
import { measuredCase, overlap } from '../helpers/measures.js'

test('cases with the lowest Dice come first, then those with more volume in error; empty cases are omitted', () => {
  const cases = [
    measuredCase('good', overlap(90, 5, 5)),
    measuredCase('false alarm', overlap(0, 3, 0)),
    measuredCase('large miss', overlap(0, 0, 500)),
    measuredCase('coarse miss', overlap(0, 0, 200), { spacingMm: [1, 1, 5] }),
    measuredCase('empty', overlap(0, 0, 0)),
    measuredCase('poor', overlap(10, 30, 30)),
  ]
  expect(worstFirst(cases).map(({ caseId }) => caseId)).toEqual([
    'coarse miss',
    'large miss',
    'false alarm',
    'poor',
    'good',
  ])
})

test('without a tumor label the mean over the labels decides', () => {
  const organs = (id: string, ...dice: readonly number[]) =>
    measuredCase(id, overlap(0, 0, 0), {
      tumor: null,
      labels: dice.map((found, at) => ({ label: at + 1, ...overlap(found, 0, 10 - found) })),
    })
  expect(worstFirst([organs('a', 9, 9), organs('b', 10, 2)]).map(({ caseId }) => caseId)).toEqual(['b', 'a'])
})
