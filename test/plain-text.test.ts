import { describe, expect, test } from 'vitest'
import { csvField, oneLine, setApart, visible, visibleInColour } from '../src/plain-text.js'

const HOSTILE = 'a\u001b]0;title\u0007\u009b31m\u202e\u200bz\r\nerror: b'

describe('visible text', () => {
  test('escapes what a terminal interprets, and keeps line feeds', () => {
    expect(visible(HOSTILE)).toBe('a\\u001b]0;title\\u0007\\u009b31m\\u202e\\u200bz\\u000d\nerror: b')
    expect(visible('Prüfung: 肝臓, 1 µm\tx')).toBe('Prüfung: 肝臓, 1 µm\tx')
  })

  test('keeps the meaning of a JSON document', () => {
    expect(JSON.parse(visible(JSON.stringify({ [HOSTILE]: HOSTILE }, null, 2)))).toEqual({
      [HOSTILE]: HOSTILE,
    })
  })

  test('keeps the colours of this program only', () => {
    expect(visibleInColour('\u001b[31merror:\u001b[39m \u001b[8mx')).toBe(
      '\u001b[31merror:\u001b[39m \\u001b[8mx',
    )
  })

  test('is one line inside a line, and indented in a message', () => {
    expect(oneLine('a\tb\nc')).toBe('a\\u0009b\\u000ac')
    expect(setApart('a\nerror: b')).toBe('a\n  | error: b')
  })
})

test.each([
  ['=cmd()', "'=cmd()"],
  [' +1', "' +1"],
  ['@a,b', '"\'@a,b"'],
  ['-2', "'-2"],
  ['a"b', '"a""b"'],
  ['a\nb', 'a\\u000ab'],
  [-2.5, '-2.5'],
  ['liver_1', 'liver_1'],
])('a field of a table writes %j as %s', (value, field) => {
  expect(csvField(value)).toBe(field)
})
