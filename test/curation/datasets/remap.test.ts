import { describe, expect, it } from 'vitest'
import { findPreset } from '../../../src/curation/datasets/presets.js'
import { parseMap, remapLabels, roundNearIds } from '../../../src/curation/datasets/remap.js'
import { DataError } from '../../../src/errors.js'
import { filled } from '../../helpers/nifti-fixtures.js'

function errorOf(run: () => unknown): DataError {
  try {
    run()
  } catch (error) {
    if (error instanceof DataError) return error
  }
  throw new Error('no DataError')
}

const kits = filled(Uint8Array, [2, 2, 4], (_i, _j, k) => k)

describe('remapLabels', () => {
  it('maps every voxel and counts the voxels before and after', () => {
    const { label, before, after } = remapLabels(
      kits,
      findPreset('Dataset220_KiTS2023').map,
      'case.nii.gz',
      'abdomen',
    )
    expect([...label.data.slice(0, 4)]).toEqual([0, 5, 6, 5])
    expect(label.affine).toBe(kits.affine)
    expect(before).toEqual([
      { source: 0, target: 0, voxels: 4 },
      { source: 1, target: 5, voxels: 4 },
      { source: 2, target: 6, voxels: 4 },
      { source: 3, target: 5, voxels: 4 },
    ])
    expect(after).toEqual([
      { id: 0, voxels: 4 },
      { id: 5, voxels: 8 },
      { id: 6, voxels: 4 },
    ])
  })

  it('refuses ids outside the map and names the file and the ids', () => {
    expect(() => remapLabels(kits, { '1': 1 }, 'case.nii.gz')).toThrow(
      /case.nii.gz: unknown label ids \(expected 0, 1, found 2, 3\)/,
    )
  })

  it('refuses values that are no ids and targets outside the scheme', () => {
    const smooth = filled(Float32Array, [1, 1, 2], (_i, _j, k) => k * 0.5)
    expect(() => remapLabels(smooth, { '1': 1 }, 'smooth.nii')).toThrow(
      /smooth.nii: wrong label value .*found 0.5/,
    )
    expect(() => remapLabels(kits, { '1': 7, '2': 1, '3': 1 }, 'case.nii.gz', 'abdomen')).toThrow(
      /wrong target of id 1 \(expected 0 to 6, or 255 to ignore, found 7\)/,
    )
  })

  it('ignores voxels, in a region too', () => {
    const { label, after } = remapLabels(kits, parseMap('1:liver,2:ignore,3:255'), 'c.nii', 'abdomen')
    expect([...label.data.slice(0, 4)]).toEqual([0, 1, 255, 255])
    expect(after.at(-1)).toEqual({ id: 255, voxels: 8 })
  })

  it.each([
    [[Number.NaN], /found NaN: not a number/, /write 0/],
    [[-1], /found -1: a negative id/, /mapped to ignore/],
    [[4.99995, 0.99999], /found 4.99995: nearly an integer/, /data remap --round/],
    [[0.9882, 2.0235], /found 0.9882: nearly an integer/, /data remap --round/],
    [[10.921457, 21.842914, 54.607285], /found 10.92146: ids times 10.92/, /scl_slope/],
    [[0.5, 1, 1.5], /found 0.5: a fraction/, /interpolation/],
    [[0.99999, 1.5], /found 0.99999: a fraction/, /interpolation/],
  ])('names the cause of the values %j', (values, message, hint) => {
    const label = filled(Float64Array, [1, 1, 9], (_i, _j, k) => values[k - 1] ?? 0)
    const error = errorOf(() => remapLabels(label, { '2': 1 }, 'f.nii'))
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })

  it('rounds values that are nearly integers, and no others', () => {
    const label = filled(Float32Array, [1, 1, 4], (_i, _j, k) => [0, 0.99999, 1.99998, 4.99995][k]!)
    expect([...roundNearIds(label).data]).toEqual([0, 1, 2, 5])
    expect(roundNearIds({ ...label, data: new Float32Array([1.5]) }).data[0]).toBe(1.5)
  })

  it('accepts float labels with whole ids', () => {
    const stored = filled(Float64Array, [1, 1, 3], (_i, _j, k) => k)
    expect([...remapLabels(stored, { '1': 1, '2': 2 }, 'f.nii').label.data]).toEqual([0, 1, 2])
  })

  it('maps 0 elsewhere only if the map does so', () => {
    expect([
      ...remapLabels(kits, { '0': 9, '1': 0, '2': 0, '3': 0 }, 'c.nii').label.data.slice(0, 2),
    ]).toEqual([9, 0])
  })
})

describe('parseMap', () => {
  it('reads pairs and presets', () => {
    expect(parseMap('1:5, 2:6,3:5')).toEqual({ '1': 5, '2': 6, '3': 5 })
    expect(parseMap('kits')).toEqual({ '1': 5, '2': 6, '3': 5 })
    expect(parseMap('leaderboard')).toMatchObject({ '2': 1, '4': 1, '6': 1, '5': 0 })
  })

  it('accepts names of the region as targets', () => {
    expect(parseMap('1:liver,2:liver-tumor,3:pancreas tumor')).toEqual({ '1': 1, '2': 2, '3': 4 })
    expect(parseMap('7:lung', 'chest')).toEqual({ '7': 1 })
    expect(() => parseMap('1:lung', 'abdomen')).toThrow(/invalid pair "1:lung"/)
    expect(() => parseMap('1:spleen')).toThrow(/invalid pair "1:spleen"/)
    expect(() => parseMap('1:lver-tumor')).toThrow(
      expect.objectContaining({ hint: 'did you mean liver-tumor?' }),
    )
  })

  it('accepts ignored voxels by name and id', () => {
    expect(parseMap('1:liver,3:ignore,4:void,5:unlabeled,6:255', 'abdomen')).toEqual({
      '1': 1,
      '3': 255,
      '4': 255,
      '5': 255,
      '6': 255,
    })
  })

  it('refuses conflicts, malformed pairs and unknown presets', () => {
    expect(() => parseMap('1:2,1:3')).toThrow(/id 1 has two targets \(2 and 3\)/)
    expect(() => parseMap('1:2,x:3')).toThrow(/invalid pair "x:3"/)
    expect(() => parseMap('1:256')).toThrow(/invalid pair/)
    expect(() => parseMap('nonsense')).toThrow(/unknown preset nonsense/)
  })
})
