import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataError } from '../src/errors.js'
import { parseForeignJson, readForeignJson, readForeignText } from '../src/foreign-text.js'
import { temporaryFolder } from './helpers/temporary.js'

function fileOf(content: string | Buffer): string {
  const path = join(temporaryFolder(), 'list.json')
  writeFileSync(path, content)
  return path
}

describe('parseForeignJson', () => {
  test.each([
    ['deep lists', '['.repeat(3_000_000), 'nested deeper than 64 levels'],
    ['deep objects that are whole', `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`, 'nested deeper'],
    ['many values', `[${'[],'.repeat(2_000_001)}1]`, 'more than 2000000 values'],
    ['a key that is a prototype', '{"a": {"__proto__": {"x": 1}}}', '"__proto__" is not allowed'],
    ['an escaped one', '{"\\u005f_proto__": {"x": 1}}', '"__proto__" is not allowed'],
    ['a zero character', '{"image": "a\\u0000b"}', 'U+0000'],
    ['what is not JSON', '{"a": 1', 'is not JSON'],
    ['what is not JSON, without its text', '{"a": Jane Doe}', "is not JSON (Unexpected token 'J')"],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseForeignJson(text, 'list.json')).toThrow(DataError)
    expect(() => parseForeignJson(text, 'list.json')).toThrow(message)
  })

  test('ignores brackets and commas inside texts', () => {
    const text = '[{,'.repeat(100_000)
    expect(parseForeignJson(JSON.stringify({ a: `${text}\\"${text}` }), 'x')).toEqual({
      a: `${text}\\"${text}`,
    })
  })
})

describe('readForeignText', () => {
  test('refuses a pipe without waiting for its writer, a folder, a long file and another encoding', async () => {
    const pipe = join(temporaryFolder(), 'pipe')
    execFileSync('mkfifo', [pipe])
    await expect(readForeignText(pipe)).rejects.toThrow(`${pipe}: not a regular file`)
    await expect(readForeignText(temporaryFolder())).rejects.toThrow('not a regular file')
    await expect(readForeignText(fileOf('12345'), { bytes: 4 })).rejects.toThrow(
      'too large (expected at most 4 bytes, found 5)',
    )
    await expect(readForeignText(fileOf(Buffer.from('{}', 'utf16le').fill(0xff)))).rejects.toThrow(
      'not UTF-8',
    )
    await expect(readForeignText('/no/such/file')).rejects.toThrow('/no/such/file: file not found')
  })

  test('drops a byte order mark', async () => {
    expect(await readForeignJson(fileOf('\uFEFF{"a": 1}'))).toEqual({ a: 1 })
  })
})
