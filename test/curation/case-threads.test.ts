import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fingerprintDirectory } from '../../src/curation/audit/fingerprint-cache.js'
import { forEachCase } from '../../src/curation/case-threads.js'
import type { ManifestCase } from '../../src/curation/datasets/manifest.js'
import { fingerprintAll } from '../../src/pipeline/prepare/audit.js'
import { madeCase, madeImage, madeLabel } from '../helpers/made-cases.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Scans, and a cache that does not exist. */
async function prepared(...names: readonly string[]) {
  const root = temporaryFolder()
  const cases: ManifestCase[] = []
  for (const name of names)
    cases.push(await madeCase(join(root, name), madeImage(), madeLabel(), { id: `Made/${name}` }))
  const cache = join(root, 'cache')
  return { root, cases, cache, directory: fingerprintDirectory(cache) }
}

describe('threads that read cases', () => {
  it('write no file', async () => {
    const { cases, cache, directory } = await prepared('a', 'b')
    const task = { name: 'fingerprint', options: { directory } } as const
    const answers = await forEachCase(cases, task, { workers: 2 })
    expect(answers).toMatchObject([{ fresh: expect.anything() }, { fresh: expect.anything() }])
    expect(existsSync(cache)).toBe(false)
  })

  it('report a failure after every pending answer is on disk', async () => {
    const { root, cases, directory } = await prepared('a', 'b')
    let begin = (): void => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const written = join(root, 'written')
    const keep = async ({ id }: ManifestCase): Promise<void> => {
      if (id === 'Made/a') {
        await begun
        throw new Error('the disk is full')
      }
      begin()
      await writeFile(written, 'b'.repeat(8 << 20))
      await writeFile(written, 'whole')
    }
    const task = { name: 'fingerprint', options: { directory } } as const
    await expect(forEachCase(cases, task, { workers: 2 }, keep)).rejects.toThrow('the disk is full')
    expect(readFileSync(written, 'utf8')).toBe('whole')
  })
})

describe('a fingerprint that cannot be written', () => {
  it.each([1, 2])(
    'ends an audit by %i workers with a typed error and no partially written file',
    async (workers) => {
      const { cases, cache, directory } = await prepared('a', 'b', 'c', 'd')
      await fingerprintAll(cases, { cache, workers: 1 })
      const names = readdirSync(directory)
      expect(names).toHaveLength(4)
      rmSync(directory, { recursive: true })
      // a folder in the place of a file refuses the file as a full disk does, for every user
      mkdirSync(join(directory, names[0]!, 'inner'), { recursive: true })
      await expect(fingerprintAll(cases, { cache, workers })).rejects.toMatchObject({
        code: 'environment',
        message: expect.stringContaining(names[0]!),
      })
      expect(readdirSync(directory).filter((name) => !names.includes(name))).toEqual([])
    },
  )
})
