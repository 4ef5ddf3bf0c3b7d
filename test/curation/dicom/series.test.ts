import { describe, expect, test } from 'vitest'
import { chooseByRule, labelObjectsOf, type ScannedSeries } from '../../../src/curation/dicom/series.js'
import type { Vec3 } from '../../../src/volume/volume.js'

const AXIAL = [
  [0.8, 0, 0, 0],
  [0, 0.8, 0, 0],
  [0, 0, 2.5, 0],
]

/** A usable CT series. */
function ct(
  uid: string,
  changes: Partial<ScannedSeries> = {},
  slices = 100,
  lps = AXIAL,
  spacing: Vec3 = [0.8, 0.8, 2.5],
): ScannedSeries {
  return {
    uid,
    study: '1',
    frame: '9',
    patient: 'a',
    modality: 'CT',
    kind: 'image',
    seriesNumber: 1,
    imageType: ['ORIGINAL'],
    description: '',
    kernel: 'STANDARD',
    contrast: true,
    lossy: false,
    files: slices,
    state: [],
    volume: {
      paths: [],
      shape: [512, 512, slices],
      spacingMm: spacing,
      lps,
      rescale: [1, 0],
      frames: null,
      repeated: 0,
    },
    labels: null,
    refusal: null,
    ...changes,
  }
}

/** A label object. */
function seg(uid: string, series: string, frame = '9'): ScannedSeries {
  return { ...ct(uid), kind: 'seg', volume: null, labels: { path: '', series, frame, segments: [] } }
}

describe('the CT series of a study', () => {
  const coronal = [
    [0.8, 0, 0, 0],
    [0, 0, 2.5, 0],
    [0, -0.8, 0, 0],
  ]
  test.each([
    ['axial', ct('b'), ct('a', {}, 300, coronal)],
    ['original', ct('b'), ct('a', { imageType: ['DERIVED'] }, 300)],
    ['without a sharp kernel', ct('b'), ct('a', { kernel: 'BONE' }, 300)],
    ['with a contrast agent', ct('b'), ct('a', { contrast: false }, 300)],
    [
      'of the portal venous phase',
      ct('b', { description: 'abd portal' }),
      ct('a', { description: 'abd arterial' }, 300),
    ],
    ['the longest', ct('b', {}, 140), ct('a')],
    ['the thinnest of one length', ct('b', {}, 200, AXIAL, [0.8, 0.8, 1.25]), ct('a')],
    ['of the lowest number', ct('b', { seriesNumber: 2 }), ct('a', { seriesNumber: 3 })],
  ])('is the one %s, in any order of the files', (_, better, worse) => {
    expect(chooseByRule([worse, better])).toEqual([better])
    expect(chooseByRule([better, worse])).toEqual([better])
  })

  test('is chosen for each study, and never a refused one', () => {
    const other = ct('c', { study: '2' })
    const refused = { ...ct('d', { study: '3' }), volume: null, refusal: { code: 'gap', reason: '' } }
    expect(chooseByRule([ct('a'), other, refused])).toEqual([ct('a'), other])
  })
})

describe('the label objects of a CT series', () => {
  test('are those that name it', () => {
    const all = [ct('a'), ct('b'), seg('s', 'b'), seg('t', 'a')]
    expect(labelObjectsOf(all[0]!, all)).toEqual([all[3]])
  })

  test('that name none are those of its frame of reference, if it is the only series there', () => {
    const one = [ct('a'), seg('s', '')]
    expect(labelObjectsOf(one[0]!, one)).toEqual([one[1]])
    const two = [ct('a'), ct('b'), seg('s', '')]
    expect(labelObjectsOf(two[0]!, two)).toEqual([])
  })

  test('of another patient are none', () => {
    const all = [ct('a'), { ...seg('s', 'a'), patient: 'b' }]
    expect(labelObjectsOf(all[0]!, all)).toEqual([])
  })
})
