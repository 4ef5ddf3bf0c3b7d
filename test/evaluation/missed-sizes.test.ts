import { expect, test } from 'vitest'
import { missedRanges, missedSizes } from '../../src/evaluation/missed-sizes.js'
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

test('depths and contrasts are counted after the diameters, each over the lesions in which it is measured', () => {
  const lesions = [
    lesion('true', 7, false, { depthMm: 3, contrastHu: -25 }),
    lesion('true', 8, true, { depthMm: 5, contrastHu: -60 }),
    lesion('true', 9, false, { depthMm: 14.9 }),
    lesion('true', 9, false),
    lesion('true', 9, true, { depthMm: 40, contrastHu: 30, label: 4 }),
    lesion('predicted', 9, false),
  ]
  const cases = [measuredCase('a', overlap(1, 1, 1), { lesions })]
  const found = missedRanges(cases, organs)
  const sizes = missedSizes(cases, organs)
  expect(found.slice(0, sizes.length)).toEqual(sizes)
  expect(found.slice(sizes.length)).toEqual([
    { organ: 'liver', depthMm: [0, 5], found: 0, missed: 1 },
    { organ: 'liver', depthMm: [5, 15], found: 1, missed: 1 },
    { organ: 'pancreas', depthMm: [0, 5], found: 0, missed: 0 },
    { organ: 'pancreas', depthMm: [5, 15], found: 0, missed: 0 },
    { organ: 'pancreas', depthMm: [15, null], found: 1, missed: 0 },
    { organ: 'liver', contrastHu: [-60, -20], found: 1, missed: 1 },
    { organ: 'pancreas', contrastHu: [20, null], found: 1, missed: 0 },
  ])
})

test('contrasts of the lung have ranges of their own, and lesions darker than the lung are in none', () => {
  const lesions = [-5, 250, 900].map((contrastHu) => lesion('true', 9, true, { contrastHu }))
  const found = missedRanges([measuredCase('a', overlap(1, 1, 1), { lesions })], LABEL_SCHEMES.chest.organs)
  expect(found.filter(({ contrastHu }) => contrastHu !== undefined)).toEqual([
    { organ: 'lung', contrastHu: [0, 200], found: 0, missed: 0 },
    { organ: 'lung', contrastHu: [200, 400], found: 1, missed: 0 },
    { organ: 'lung', contrastHu: [400, null], found: 1, missed: 0 },
  ])
})
