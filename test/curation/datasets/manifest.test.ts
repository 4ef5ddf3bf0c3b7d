import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type ManifestCase,
  makeManifest,
  readManifest,
  writeManifest,
} from '../../../src/curation/datasets/manifest.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('a manifest', () => {
  const item = (id: string): ManifestCase => ({
    id,
    dataset: 'D',
    patient: id,
    region: 'abdomen',
    role: { kind: 'host' },
    image: `/data/${id}.nii.gz`,
    label: null,
    fold: null,
    split: 'training',
    labelMap: {},
  })

  it('has the same order for any order of its cases', () => {
    const there = makeManifest([item('b'), item('a'), item('c')])
    expect(there.cases.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    expect(makeManifest([item('c'), item('b'), item('a')])).toEqual(there)
  })

  it('refuses a duplicate id and names both files', () => {
    const twin = { ...item('a'), image: '/other/a.nii.gz', split: 'validation' as const }
    expect(() => makeManifest([item('a'), item('b'), twin])).toThrow(
      /case a: listed twice, as \/data\/a.nii.gz \(training\) and \/other\/a.nii.gz \(validation\)/,
    )
  })

  it('has one line per case, whatever their number', async () => {
    const folder = temporaryFolder()
    for (const count of [1, 999, 1000, 1001, 2000]) {
      const file = join(folder, `${count}.json`)
      const manifest = makeManifest(
        Array.from({ length: count }, (_, at) => item(String(at).padStart(5, '0'))),
      )
      await writeManifest(file, manifest)
      const cases = manifest.cases.map((one) => `    ${JSON.stringify(one)}`).join(',\n')
      expect(readFileSync(file, 'utf8')).toBe(`{\n  "version": 1,\n  "cases": [\n${cases}\n  ]\n}\n`)
    }
  })

  it('is equal after writing and reading, and equal manifests are equal files', async () => {
    const folder = temporaryFolder()
    const manifest = makeManifest([item('b'), item('a')])
    await writeManifest(join(folder, '1.json'), manifest)
    await writeManifest(join(folder, '2.json'), { version: 1, cases: [item('b'), item('a')] })
    expect(await readManifest(join(folder, '1.json'))).toEqual(manifest)
    expect(readFileSync(join(folder, '1.json'), 'utf8')).toBe(readFileSync(join(folder, '2.json'), 'utf8'))
  })

  it('is refused with file and key if it is invalid', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'a.json': { version: 1, cases: [{ ...item('a'), split: 'train' }] },
      'b.json': { version: 2, cases: [] },
    })
    await expect(readManifest(join(folder, 'a.json'))).rejects.toThrow(/a.json: cases.0.split/)
    await expect(readManifest(join(folder, 'b.json'))).rejects.toThrow(/b.json: version/)
    await expect(readManifest(join(folder, 'c.json'))).rejects.toThrow(/c.json: manifest not found/)
  })
})
