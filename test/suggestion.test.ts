import { expect, test } from 'vitest'
import { nearestWord, suggestion } from '../src/suggestion.js'

const KNOWN = ['liver', 'pancreas', 'lung']

test.each([
  ['lver', 'liver', ' (did you mean liver?)'],
  ['Pancraes', 'pancreas', ' (did you mean pancreas?)'],
  ['spleen', undefined, ' (known: liver, pancreas, lung)'],
  ['x'.repeat(1000), undefined, ''],
])('the nearest word of %j is %j', (word, nearest, text) => {
  expect(nearestWord(word, KNOWN)).toBe(nearest)
  expect(suggestion(word, KNOWN)).toBe(text)
})
