import { expect, test } from 'vitest'
import { citationsOf } from '../../../src/curation/datasets/citations.js'
import { DATASETS } from '../../../src/curation/datasets/registry.js'

test.each(DATASETS.map(({ name }) => name))(
  'the registered data set %s has a citation with an address',
  (name) => {
    const citations = citationsOf(name)
    expect(citations.length).toBeGreaterThan(0)
    for (const { text, url } of citations) {
      expect(text).toMatch(/\b20[012]\d\b/)
      expect(url).toMatch(/^https:\/\/(doi\.org\/10\.\d{4,}\/\S+|[a-z.-]+\/\S*)$/)
    }
  },
)

test('a data set of the user has no citation', () => {
  expect(citationsOf('mine')).toEqual([])
  expect(citationsOf('constructor')).toEqual([])
})
