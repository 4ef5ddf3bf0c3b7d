import { expect, test } from 'vitest'
import { labelIdOf, labelNameHint } from '../../src/volume/labels.js'

test.each([
  ['liver', null, 1],
  ['Liver-tumor', 'abdomen', 2],
  [' kidney_tumor', 'abdomen', 6],
  ['lung', null, 1],
  ['lung', 'abdomen', undefined],
] as const)('the id of %j in %s is %s', (name, region, id) => {
  expect(labelIdOf(name, region)).toBe(id)
})

test.each([
  ['Pancreas tumr', null, 'did you mean pancreas-tumor?'],
  ['lessions', 'chest', 'did you mean lesion?'],
  ['spleen', 'chest', 'write an id, or one of lung, lesion'],
] as const)('the hint on %j in %s is %j', (name, region, hint) => {
  expect(labelNameHint(name, region)).toBe(hint)
})
