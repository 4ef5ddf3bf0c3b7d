import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ensureReaders, readReaders } from '../../src/readers/study.js'
import { temporaryFolder } from '../helpers/temporary.js'

test('a study with answers whose list of readers is lost gets no other list', async () => {
  const folder = temporaryFolder()
  const [first] = await ensureReaders(folder, ['anna'])
  expect(await ensureReaders(folder, 1)).toEqual([first])
  rmSync(join(folder, 'readers.json'))
  expect(await readReaders(folder)).toEqual([])
  writeFileSync(join(folder, 'answers.jsonl'), '{}\n')
  const refused = {
    message: expect.stringContaining('readers.json: file not found, and answers.jsonl has answers'),
  }
  await expect(ensureReaders(folder, ['anna'])).rejects.toMatchObject(refused)
  await expect(readReaders(folder)).rejects.toMatchObject(refused)
})

test('a damaged list of readers stays as it is', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'readers.json')
  writeFileSync(file, '{"version":1}')
  await expect(ensureReaders(folder, 2)).rejects.toMatchObject({
    message: expect.stringContaining(`${file}: damaged`),
    commandHint: expect.stringContaining('restore it from a backup'),
  })
  expect(readFileSync(file, 'utf8')).toBe('{"version":1}')
})
