import { describe, expect, it } from 'vitest'
import { mapByNames } from '../../../src/curation/datasets/label-names.js'

describe('mapByNames', () => {
  it('reads the names of public lists', () => {
    const named = (...names: string[]) =>
      Object.values(mapByNames(Object.fromEntries(names.map((name, id) => [id, name])), 'abdomen')?.map ?? {})
    expect(named('background', 'liver', 'cancer')).toEqual([0, 1, 2])
    expect(named('background', 'Liver', 'Liver Tumour', 'pancreas')).toEqual([0, 1, 2, 3])
    expect(named('background', 'kidney_left', 'right kidney', 'kidney_cyst_left', 'kidney tumor')).toEqual([
      0, 5, 5, 5, 6,
    ])
  })

  it('maps other names to background and lists them', () => {
    const names = { '0': 'background', '1': 'spleen', '5': 'liver', '6': 'stomach', '8': 'hepatic vessel' }
    expect(mapByNames(names, 'abdomen')).toEqual({
      region: 'abdomen',
      map: { '0': 0, '1': 0, '5': 1, '6': 0, '8': 0 },
      background: ['spleen', 'stomach', 'hepatic vessel'],
    })
  })

  it('separates left and right kidney if each is named once', () => {
    const sides = (names: Record<string, string>) => mapByNames(names, 'abdomen')?.kidneySides
    expect(sides({ '2': 'kidney_right', '3': 'kidney_left', '23': 'kidney_cyst_left' })).toEqual({
      left: 3,
      right: 2,
    })
    expect(sides({ '7': 'Left Kidney', '4': 'kidney (R)' })).toEqual({ left: 7, right: 4 })
    expect(sides({ '1': 'kidney', '2': 'tumor', '3': 'right kidney' })).toBeUndefined()
    expect(sides({ '1': 'liver' })).toBeUndefined()
  })

  it('assigns a tumor without an organ to the only organ, and to none of several', () => {
    expect(mapByNames({ '1': 'lung', '2': 'lesion' }, 'chest')?.map).toEqual({ '1': 1, '2': 2 })
    expect(mapByNames({ '1': 'liver', '2': 'pancreas', '3': 'tumor' }, 'abdomen')).toMatchObject({
      map: { '3': 0 },
      background: ['tumor'],
    })
  })

  it('is null if no organ of the region is named', () => {
    expect(mapByNames({ '0': 'background', '1': 'spleen' }, 'abdomen')).toBe(null)
    expect(mapByNames({}, 'chest')).toBe(null)
  })
})
