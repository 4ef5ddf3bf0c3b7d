import { expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import { parseCaseMeasures } from '../../src/evaluation/measures.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'

const {
  caseId: _,
  patient: __,
  ...measured
} = measuredCase('liver_1', overlap(3, 2, 1, 0.5), {
  lesions: [lesion('true', 10, true)],
})

test('measures of the runtime become measures of a case', () => {
  expect(parseCaseMeasures('liver_1', 'somebody', JSON.parse(JSON.stringify(measured)))).toEqual({
    caseId: 'liver_1',
    patient: 'somebody',
    ...measured,
  })
})

test.each([
  ['nothing', null, ''],
  ['a missing part', { ...measured, labels: undefined }, 'labels'],
  ['a Dice above 1', { ...measured, tumor: { ...measured.tumor, dice: 1.5 } }, 'tumor.dice'],
  ['half a voxel', { ...measured, labels: [{ ...measured.labels[0], falsePositive: 0.5 }] }, 'labels.0'],
  ['another grid', { ...measured, grid: 'theirs' }, 'grid'],
  ['an unknown part', { ...measured, sensitivity: 1 }, 'sensitivity'],
])('%s is refused, with case and place', (_name, result, place) => {
  expect(() => parseCaseMeasures('liver_1', 'somebody', result)).toThrow(DataError)
  expect(() => parseCaseMeasures('liver_1', 'somebody', result)).toThrow(
    new RegExp(`^case liver_1: .*${place.replace('.', '\\.')}`),
  )
})
