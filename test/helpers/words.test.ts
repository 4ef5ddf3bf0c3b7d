import { describe, expect, test } from 'vitest'
import { lineComments, sentencesOf, titlesOf, wordCount, wordsOf } from './words.js'

const SOURCE = `
import { x } from './a module with a space.js'
/** Return one. */
export function one(): number {
  // no comment: 'a string'
  // in two lines
  throw new DataError(\`\${x}: file not found\`, { hint: 'correct the path' })
}
/** A value. */
const text = 'not // a comment' // but this is
const pattern = /[/] \\/\\*/ /* and this */
throw new DataError('no hint here')
`
const found = wordsOf('a.ts', SOURCE, new Set(['DataError']))

describe('wordsOf', () => {
  test('finds comments outside strings and patterns, with their lines', () => {
    expect(found.texts.filter(({ kind }) => kind !== 'string')).toEqual([
      { kind: 'doc', line: 3, text: 'Return one.' },
      { kind: 'comment', line: 5, text: "no comment: 'a string' in two lines" },
      { kind: 'doc', line: 9, text: 'A value.' },
      { kind: 'comment', line: 10, text: 'but this is' },
      { kind: 'comment', line: 11, text: 'and this' },
    ])
  })

  test('finds strings with several words, but no module names', () => {
    expect(found.texts.filter(({ kind }) => kind === 'string').map(({ text }) => text)).toEqual([
      '…: file not found',
      'correct the path',
      'not // a comment',
      'no hint here',
    ])
  })

  test('finds doc comments of functions', () => {
    expect(found.functionDocs).toEqual([{ line: 3, text: 'Return one.' }])
  })

  test('distinguishes errors with a hint from errors without', () => {
    expect(found.errors.map(({ line, hasHint }) => [line, hasHint])).toEqual([
      [7, true],
      [12, false],
    ])
  })
})

test('titlesOf finds the titles of tests, also of tables and conditional ones', () => {
  const source =
    "describe('a run', () => {\n  it.each(['x'])('resumes', f)\n  it.skipIf(y)('saves', f)\n  log('no title')\n})"
  expect(titlesOf('a.test.ts', source).map(({ line, text }) => [line, text])).toEqual([
    [1, 'a run'],
    [2, 'resumes'],
    [3, 'saves'],
  ])
})

test('lineComments joins the lines of a comment', () => {
  expect(lineComments('# a\n# b\nkey: 1 # c\n\n# d', '#').map(({ text }) => text)).toEqual(['a b', 'c', 'd'])
})

test('sentences end at a colon or semicolon, and code counts as one word', () => {
  const sentences = sentencesOf('…: file not found (expected a file); run `freetumor data list`')
  expect(sentences).toEqual(['…', 'file not found', 'run …'])
  expect(sentences.map(wordCount)).toEqual([1, 3, 2])
})
