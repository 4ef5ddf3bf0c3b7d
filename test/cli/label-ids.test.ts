import { describe, expect, test } from 'vitest'
import { labelIds, outputMap, outputNames } from '../../src/cli/label-ids.js'

describe('label ids of a flag', () => {
  test.each([
    ['1,2', null, [1, 2]],
    ['liver,Liver-tumor', 'abdomen', [1, 2]],
    [' lung , lesion', 'chest', [1, 2]],
    ['kidney,9', null, [5, 9]],
  ] as const)('are those of %j', (text, region, ids) => {
    expect(labelIds('--label-ids', text, region)).toEqual(ids)
  })

  test.each([
    ['lver', 'abdomen', 'did you mean liver?'],
    ['pancreas', 'chest', 'write an id, or one of lung, lesion'],
    ['0', 'chest', 'write an id, or one of lung, lesion'],
    ['background', 'chest', 'write an id, or one of lung, lesion'],
    ['ignore', 'chest', 'write an id, or one of lung, lesion'],
    ['liver,1', 'abdomen', 'write each id once'],
  ] as const)('are refused for %j in the %s', (text, region, hint) => {
    expect(() => labelIds('--label-ids', text, region)).toThrow(
      expect.objectContaining({ code: 'usage', hint }),
    )
  })
})

describe('outputs', () => {
  test('are numbers and names', () => {
    expect(outputNames('2, liver-tumor')).toEqual([2, 'liver-tumor'])
    expect(() => outputNames('spleen')).toThrow('--probabilities: unknown output')
  })

  test.each([
    ['leaderboard', 'leaderboard'],
    ['region', null],
    ['2:5,liver-tumor:0', { '2': 5, 'liver-tumor': 0 }],
    ['1:pancreas', { '1': 3 }],
  ] as const)('follow the map %j', (text, map) => {
    expect(outputMap(text, 'abdomen')).toEqual(map)
  })

  test.each([
    ['2', '--map: invalid pair "2" (expected output:id)'],
    ['1:2,1:3', '--map: output 1 has two ids'],
    ['1:lung', '--map: unknown label (expected an id above 0 or a name, found lung)'],
  ])('refuse the map %j', (text, message) => {
    expect(() => outputMap(text, 'abdomen')).toThrow(message)
  })
})
