import { describe, expect, test } from 'vitest'
import {
  joinedMeaning,
  meaningsByNames,
  statedMeanings,
} from '../../../src/pipeline/flows/segment-meanings.js'

const LIVER = { name: 'liver', kind: 'organ', organ: 'liver' } as const
const LIVER_TUMOR = { name: 'liver tumor', kind: 'tumor', organ: 'liver' } as const
const KIDNEY_TUMOR = { name: 'kidney tumor', kind: 'tumor', organ: 'kidney' } as const

describe('meaningsByNames', () => {
  test('finds organs and tumors of the abdomen', () => {
    expect(
      meaningsByNames({ 0: 'background', 1: 'liver', 2: 'hepatic tumour', 6: 'kidney-tumor', 9: 'spleen' }),
    ).toEqual(
      new Map<number, unknown>([
        [1, LIVER],
        [2, LIVER_TUMOR],
        [6, KIDNEY_TUMOR],
      ]),
    )
  })

  test('finds lung and lesion of the chest', () => {
    expect(meaningsByNames({ 0: 'background', 1: 'lung', 2: 'lesion' })).toEqual(
      new Map<number, unknown>([
        [1, { name: 'lung', kind: 'organ', organ: 'lung' }],
        [2, { name: 'lesion', kind: 'lesion', organ: 'lung' }],
      ]),
    )
  })
})

describe('statedMeanings', () => {
  test('reads pairs of ids and names', () => {
    expect(statedMeanings('1:liver, 2:liver-tumor')).toEqual(
      new Map<number, unknown>([
        [1, LIVER],
        [2, LIVER_TUMOR],
      ]),
    )
  })

  test.each(['liver', '1:spleen', '0:liver', '300:liver', '1:liver,'])('refuses %s', (text) => {
    expect(() => statedMeanings(text)).toThrow('--dicom-seg-labels: invalid pair')
  })
})

describe('joinedMeaning', () => {
  test('names no organ for tumors of several', () => {
    expect(joinedMeaning([LIVER_TUMOR, LIVER_TUMOR])).toEqual(LIVER_TUMOR)
    expect(joinedMeaning([LIVER_TUMOR, KIDNEY_TUMOR])).toEqual({ name: 'tumor', kind: 'tumor', organ: null })
  })

  test('returns nothing for an organ with another structure', () => {
    expect(joinedMeaning([LIVER, KIDNEY_TUMOR])).toBeUndefined()
    expect(joinedMeaning([])).toBeUndefined()
  })
})
