import { expect, test } from 'vitest'
import { missedSizes } from '../../src/evaluation/missed-sizes.js'
import { LABEL_SCHEMES } from '../../src/volume/labels.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'

const organs = LABEL_SCHEMES.abdomen.organs

test('found and missed lesions are counted by organ and diameter, up to the range of the largest', () => {
  const cases = [
    measuredCase('a', overlap(1, 1, 1), {
      lesions: [
        lesion('true', 4, false),
        lesion('true', 5, true),
        lesion('true', 9.9, false),
        lesion('true', 60, true, { label: 6 }),
        lesion('predicted', 30, false),
      ],
    }),
    measuredCase('b', overlap(1, 1, 1), { lesions: [lesion('true', 7, false)] }),
  ]
  expect(missedSizes(cases, organs)).toEqual([
    { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 1 },
    { organ: 'liver', diameterMm: [5, 10], found: 1, missed: 2 },
    { organ: 'kidney', diameterMm: [0, 5], found: 0, missed: 0 },
    { organ: 'kidney', diameterMm: [5, 10], found: 0, missed: 0 },
    { organ: 'kidney', diameterMm: [10, 20], found: 0, missed: 0 },
    { organ: 'kidney', diameterMm: [20, 50], found: 0, missed: 0 },
    { organ: 'kidney', diameterMm: [50, null], found: 1, missed: 0 },
  ])
})

test('an evaluation without true lesions has no sizes', () => {
  expect(missedSizes([measuredCase('a', overlap(0, 0, 0))], organs)).toEqual([])
})
