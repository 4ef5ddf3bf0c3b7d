import { describe, expect, it } from 'vitest'
import { mapByNames, namesByRegions } from '../../../src/curation/datasets/label-names.js'

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

  it.each(['ignore', 'Ignore', 'ignored', 'unlabeled', 'unlabelled', 'void'])(
    'ignores ids named %s',
    (name) => {
      const names = { '0': 'background', '1': 'liver', '2': 'tumor', '3': name }
      expect(mapByNames(names, 'abdomen')).toMatchObject({
        map: { '0': 0, '1': 1, '2': 2, '3': 255 },
        background: [],
      })
    },
  )

  it('is null if no organ of the region is named', () => {
    expect(mapByNames({ '0': 'background', '1': 'spleen' }, 'abdomen')).toBe(null)
    expect(mapByNames({}, 'chest')).toBe(null)
  })
})

/** Name the ids of nnU-Net regions, and map them. */
function mapped(labels: Record<string, number | number[]>, region: 'abdomen' | 'chest' = 'abdomen') {
  const regions = Object.entries(labels).map(([name, ids]) => ({ name, ids: [ids].flat().map(String) }))
  const named = namesByRegions(regions)
  return 'names' in named ? (mapByNames(named.names, region)?.map ?? null) : named.unclear
}

describe('namesByRegions', () => {
  it.each([
    ['a tumor in its organ', { background: 0, liver: [1, 2], tumor: 2 }, { '0': 0, '1': 1, '2': 2 }],
    ['a list of one id', { background: 0, liver: [1, 2], tumor: [2] }, { '0': 0, '1': 1, '2': 2 }],
    [
      'tumors of two organs by the organ around each',
      { liver: [1, 2], 'liver tumor': 2, kidney: [5, 6], tumor: 6 },
      { '1': 1, '2': 2, '5': 5, '6': 6 },
    ],
    ['a region apart', { background: 0, kidney: 1, masses: [2, 3] }, { '0': 0, '1': 5, '2': 6, '3': 6 }],
    [
      'parts without a name of the region',
      { whole_liver: [1, 2, 3, 4], tumor: [2, 3], necrosis: 3, vessel: 4 },
      { '1': 1, '2': 2, '3': 2, '4': 1 },
    ],
    [
      'ignored voxels',
      { background: 0, liver: [1, 2], tumor: 2, ignore: 3 },
      { '0': 0, '1': 1, '2': 2, '3': 255 },
    ],
  ])('reads %s', (_, labels, map) => {
    expect(mapped(labels as Record<string, number | number[]>)).toEqual(map)
  })

  it.each([
    [
      'regions that overlap',
      { liver: [1, 2], tumor: [2, 3] },
      'id 2 is in liver and tumor, which are not nested',
    ],
    [
      'equal regions',
      { liver: [1, 2], pancreas: [1, 2] },
      'id 1 is in liver and pancreas, which are not nested',
    ],
    [
      'a mass that is no tumor',
      { background: 0, kidney: [1, 2, 3], masses: [2, 3], tumor: 2 },
      'id 3 is in masses, but not in tumor',
    ],
  ])('refuses %s', (_, labels, reason) => {
    expect(mapped(labels as Record<string, number | number[]>)).toBe(reason)
  })
})
