import { describe, expect, it } from 'vitest'
import { parseYaml } from '../../src/config/yaml.js'
import { ConfigError } from '../../src/errors.js'

const many = (count: number, line: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => line(at)).join('')

describe('parseYaml', () => {
  it.each<[string, string, string]>([
    ['explicit keys in explicit keys', `${'? '.repeat(5000)}a`, 'nested deeper than 64 levels'],
    ['sequences on one line', `${'- '.repeat(5000)}a`, 'nested deeper'],
    ['flow sequences', '['.repeat(5000), 'nested deeper'],
    ['flow mappings', '{a: '.repeat(5000), 'nested deeper'],
    ['mappings by indentation', many(300, (at) => `${' '.repeat(at)}a:\n`), 'nested deeper'],
    ['commas', `[${','.repeat(200_000)}]`, 'more than 45000 values'],
    ['anchors on one node', `a: ${'&x '.repeat(80_000)}b`, 'values and keys'],
    ['tags on one node', `a: ${'!!str '.repeat(40_000)}b`, 'at most one tag'],
    ['closing brackets', ']'.repeat(200_000), 'flow-seq-end'],
    ['documents', '---\na\n'.repeat(40_000), 'more than one document'],
    ['laughs', many(12, (at) => `a${at}: &a${at} [${at ? `*a${at - 1}, *a${at - 1}` : 1}]\n`), 'aliases'],
    ['a value in itself', 'a: &x [*x]', 'in its own anchor'],
    ['an alias without an anchor', 'a: *x', 'alias'],
    [
      'a key that comes twice',
      'a: 1\nb: 2\na: 3',
      'line 3, column 1: key "a" comes twice; keys must be unique',
    ],
    ['two spellings of a key', '1: a\n"1": b', 'must be unique'],
    ['a list as a key', '? [a]\n: 1', 'a key must be plain text'],
    ['a key that is a prototype', 'a: {__proto__: {b: 1}}', '"__proto__" is not allowed'],
    ['a zero character', 'a: "x\\0y"', 'U+0000'],
    ['a custom tag', 'a: !!set {b}', 'unknown tag'],
    ['a long text', `a: ${'x'.repeat(300_000)}`, 'larger than 256 KiB'],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseYaml(text, 'x.yaml')).toThrow(ConfigError)
    expect(() => parseYaml(text, 'x.yaml')).toThrow(message)
    expect(() => parseYaml(text, 'x.yaml')).toThrow(/^x\.yaml: /)
  })

  it('takes brackets in comments and texts for what they are', () => {
    const brackets = '['.repeat(5000)
    expect(parseYaml(`# ${brackets}\na: "${brackets}" # ${brackets}\n`, 'x.yaml')).toEqual({ a: brackets })
  })

  it('reads ten thousand keys and a list of twenty thousand numbers', () => {
    expect(
      Object.keys(
        parseYaml(
          many(10_000, (at) => `k${at}: 1\n`),
          'x',
        ) as object,
      ),
    ).toHaveLength(10_000)
    expect(parseYaml(`a: [${many(20_000, (at) => `${at}, `)}]`, 'x')).toMatchObject({ a: { length: 20_000 } })
  })

  it('keeps anchors that are used sensibly', () => {
    expect(parseYaml('a: &x {b: 1}\nc: *x', 'x')).toEqual({ a: { b: 1 }, c: { b: 1 } })
  })
})
