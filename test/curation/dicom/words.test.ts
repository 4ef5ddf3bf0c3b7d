import { describe, expect, test } from 'vitest'
import {
  isSharpKernel,
  knownKernel,
  knownModality,
  knownWords,
  phaseOf,
} from '../../../src/curation/dicom/words.js'

describe('the words of a series that may be printed', () => {
  test.each([
    ['CT CH/AB/PEL', 'CT CH AB PEL'],
    ['Abdomen portal venous 5.0mm', 'Abdomen portal venous 5.0mm'],
    ['DOE^JANE 1970-01-02 Leber', ''],
    ['Liver Smith liver 4711', 'Liver'],
    ['MRN00012345 CT abd', 'CT abd'],
  ])('of %j are %j', (text, words) => {
    expect(knownWords(text)).toBe(words)
  })

  test('are the kernels and modalities that exist, and no other text', () => {
    expect(
      ['STANDARD', 'B30f', 'Br40', 'FC08', 'Br40d 3', 'Jane Doe', 'B30f for Jane Doe', 'B DOE'].map(
        knownKernel,
      ),
    ).toEqual(['STANDARD', 'B30f', 'Br40', 'FC08', 'Br40d 3', '', '', ''])
    expect(['CT', 'RTSTRUCT', 'DOE JANE'].map(knownModality)).toEqual(['CT', 'RTSTRUCT', 'other'])
  })
})

test('phases and sharp kernels are recognised', () => {
  expect(['Abd portal ven', 'late arterial', 'ART 1mm', 'w/o contrast', 'Thorax'].map(phaseOf)).toEqual([
    'portal venous',
    'late arterial',
    'arterial',
    'native',
    undefined,
  ])
  expect(['BONE', 'B70f', 'Br64', 'STANDARD', 'B30f', 'LUNG'].map(isSharpKernel)).toEqual([
    true,
    true,
    true,
    false,
    false,
    true,
  ])
})
