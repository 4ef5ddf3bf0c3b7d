import { expect, test } from 'vitest'
import { pseudonymsOf } from '../../../src/curation/dicom/pseudonyms.js'

const names = pseudonymsOf(Buffer.alloc(32, 7))
const one = { patient: '4711', study: '1.2', uid: '1.2.3' }

test('equal keys give equal ids, another key gives others', () => {
  expect(names.caseOf(one)).toMatch(/^p[0-9a-f]{12}_s[0-9a-f]{8}$/)
  expect(pseudonymsOf(Buffer.alloc(32, 7)).caseOf(one)).toBe(names.caseOf(one))
  expect(pseudonymsOf(Buffer.alloc(32, 8)).patient(one)).not.toBe(names.patient(one))
})

test('the series of a patient share the id of the patient, and have ids of their own', () => {
  const other = { ...one, study: '1.9', uid: '1.9.3' }
  expect(names.patient(other)).toBe(names.patient(one))
  expect(names.caseOf(other)).not.toBe(names.caseOf(one))
})

test('without PatientID, each study is a patient', () => {
  const some = ['1.2', '1.3'].map((study) => names.patient({ patient: '', study }))
  expect(new Set([...some, names.patient({ patient: '1.2', study: '1.2' })]).size).toBe(3)
})
