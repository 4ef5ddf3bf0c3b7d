import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { findPreset } from '../../../src/curation/datasets/presets.js'
import { LABEL_SCHEMES } from '../../../src/volume/labels.js'
import { sharedFile } from '../../helpers/shared.js'

describe('findPreset', () => {
  it('recognises the public label maps by their common names', () => {
    const targets = (name: string) =>
      Object.fromEntries(Object.entries(findPreset(name).map).filter(([, target]) => target !== 0))
    expect(targets('LiTS')).toEqual({ '1': 1, '2': 2 })
    expect(targets('MSD pancreas')).toEqual({ '1': 3, '2': 4 })
    expect(targets('KiTS')).toEqual({ '1': 5, '2': 6, '3': 5 })
    expect(targets('AbdomenAtlas')).toEqual({ '3': 5, '4': 5, '5': 1, '6': 3 })
    expect(targets('FLARE22')).toEqual({ '1': 1, '2': 5, '4': 3, '13': 5 })
    expect(targets('AMOS')).toEqual({ '2': 5, '3': 5, '6': 1, '10': 3 })
    expect(targets('WORD')).toEqual({ '1': 1, '3': 5, '4': 5, '8': 3 })
    expect(targets('BTCV')).toEqual({ '2': 5, '3': 5, '6': 1, '11': 3 })
    expect(targets('chaos')).toEqual({ '1': 1 })
    expect(targets('lungmask')).toEqual({ '1': 1, '2': 1 })
  })

  it('returns the map of the requested region, and refuses one of the other region', () => {
    expect(findPreset('TotalSegmentator').map).toMatchObject({ '5': 1, '10': 0 })
    expect(findPreset('totalsegmentator', 'chest').map).toMatchObject({ '5': 0, '10': 1 })
    expect(() => findPreset('LiTS', 'chest')).toThrow(
      /preset Dataset003_Liver: wrong region \(expected chest, found abdomen\)/,
    )
    expect(() => findPreset('nonsense')).toThrow(/unknown preset nonsense/)
    expect(() => findPreset('lungmsk')).toThrow(expect.objectContaining({ hint: 'did you mean lungmask?' }))
  })

  it('keeps the ids of labels that follow the region', () => {
    expect(findPreset('region').map).toEqual({
      '0': 0,
      '1': 1,
      '2': 2,
      '3': 3,
      '4': 4,
      '5': 5,
      '6': 6,
      '255': 255,
    })
    expect(findPreset('region', 'chest').map).toEqual({ '0': 0, '1': 1, '2': 2, '255': 255 })
  })

  const classMap = sharedFile('data/totalsegmentator/labels_total.json')
  it.skipIf(classMap === null)('agrees with the class map of TotalSegmentator', () => {
    const names = Object.entries<string>(JSON.parse(readFileSync(classMap!, 'utf8')).class_map_total)
    const { map, kidneySides } = findPreset('TotalSegmentator', 'abdomen')
    expect(Object.keys(map)).toHaveLength(names.length)
    const organs = LABEL_SCHEMES.abdomen.names
    for (const [id, name] of names) {
      const organ = organs.indexOf(name.replace(/^kidney_(cyst_)?(left|right)$/, 'kidney'))
      expect([name, map[id]]).toEqual([name, Math.max(0, organ)])
      if (name.startsWith('lung_')) expect(findPreset('TotalSegmentator', 'chest').map[id]).toBe(1)
    }
    expect(names.filter(([id]) => findPreset('TotalSegmentator', 'chest').map[id] === 1)).toHaveLength(5)
    expect(names.find(([, name]) => name === 'kidney_left')![0]).toBe(String(kidneySides!.left))
  })
})
