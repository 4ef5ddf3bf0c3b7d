import { describe, expect, test } from 'vitest'
import { type Choice, chosenItems, EVERYTHING } from '../../../../src/studio/page/review/select.js'
import type { ItemDecision, ItemTable } from '../../../../src/studio/review/messages.js'

const TABLE: ItemTable = {
  kind: 'synthetic',
  path: '/set',
  revision: '1',
  count: 5,
  unlisted: 0,
  damagedLines: 0,
  texts: {
    organ: { values: ['', 'liver', 'kidney'], codes: [1, 2, 1, 2, 1] },
    case: { values: ['', 'Case_A', 'case_b'], codes: [1, 1, 2, 2, 2] },
  },
  numbers: { contrast: [3, null, 1, 2, 2] },
  reviews: null,
}
const decided = (
  at: number,
  joint: ItemDecision['joint'],
  reviewer = 'Ana',
  stale = false,
): ItemDecision => ({
  at,
  joint,
  votes: [{ reviewer, decision: 'accept', reason: null }],
  stale,
})
const DECISIONS = new Map(
  [
    decided(0, 'accept'),
    decided(2, 'reject', 'Ben'),
    decided(3, 'undecided'),
    decided(4, 'accept', 'Ben', true),
  ].map((one) => [one.at, one]),
)
const chosen = (choice: Partial<Choice>, me = 'Ana'): number[] =>
  chosenItems(TABLE, { ...EVERYTHING, ...choice }, DECISIONS, me)

describe('the list has', () => {
  test.each<[name: string, choice: Partial<Choice>, expected: number[]]>([
    ['all items in the order of the files', {}, [0, 1, 2, 3, 4]],
    ['items of an organ', { texts: { organ: 'kidney' } }, [1, 3]],
    ['no item of an unknown text', { texts: { organ: 'lung' } }, []],
    ['items of cases with a part of their id', { search: ' CASE_a' }, [0, 1]],
    ['items with a measure in limits', { measure: 'contrast', least: 2, most: 2.5 }, [3, 4]],
    ['all items while a measure has no limit', { measure: 'contrast' }, [0, 1, 2, 3, 4]],
    ['items without a decision of mine', { decision: 'mine-open' }, [1, 2, 4]],
    ['items without a decision', { decision: 'none' }, [1]],
    ['accepted items, without those of another version', { decision: 'accepted' }, [0]],
    ['items that reviewers dispute', { decision: 'tied' }, [3]],
    ['items that a reviewer decided on', { reviewer: 'Ben' }, [2, 4]],
    ['items by a measure, those without it last', { sort: 'contrast' }, [2, 3, 4, 0, 1]],
    [
      'items by a falling measure, those without it last',
      { sort: 'contrast', falling: true },
      [0, 3, 4, 2, 1],
    ],
    ['items by a text in alphabetic order', { sort: 'organ' }, [1, 3, 0, 2, 4]],
    ['items in the reverse order of the files', { falling: true }, [4, 3, 2, 1, 0]],
  ])('%s', (_, choice, expected) => {
    expect(chosen(choice)).toEqual(expected)
  })
})
