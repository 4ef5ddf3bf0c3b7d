import { readFileSync, writeFileSync } from 'node:fs'
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

  it('is equal however its JSON is formatted', async () => {
    const folder = temporaryFolder()
    const odd = { ...item('a'), image: '/data/{"[,]\\ü.nii.gz', labelMap: { 1: 2, 3: 0 } }
    const manifest = makeManifest([odd, item('b')])
    const text = JSON.stringify(manifest)
    const forms = {
      'plain.json': text,
      'indented.json': JSON.stringify(manifest, null, '\t'),
      'marked.json': `\ufeff \r\n${text}\n`,
      'turned.json': JSON.stringify({ cases: manifest.cases, version: 1 }),
      'empty.json': '{"version": 1, "cases": [ ]}',
    }
    writeFiles(folder, forms)
    for (const name of Object.keys(forms))
      expect(await readManifest(join(folder, name))).toEqual(
        name === 'empty.json' ? { version: 1, cases: [] } : manifest,
      )
  })

  it('is refused if it is damaged after its first cases', async () => {
    const folder = temporaryFolder()
    const text = JSON.stringify(makeManifest([item('a'), item('b')]))
    const damaged = {
      'cut.json': text.slice(0, -20),
      'more.json': `${text}{}`,
      'comma.json': text.replace('}]}', '},]}'),
      'missing.json': text.replace('},{', '}{'),
      'trap.json': text.replace('"labelMap":{}', '"labelMap":{"__proto__":1}'),
    }
    writeFiles(folder, damaged)
    for (const name of ['cut.json', 'more.json', 'comma.json', 'missing.json'])
      await expect(readManifest(join(folder, name))).rejects.toThrow(`${name}: is not JSON`)
    await expect(readManifest(join(folder, 'trap.json'))).rejects.toThrow(
      'the key "__proto__" is not allowed',
    )
    writeFileSync(join(folder, 'bytes.json'), Buffer.from(text.replace('/data/b', '/data/\xff'), 'latin1'))
    await expect(readManifest(join(folder, 'bytes.json'))).rejects.toThrow('bytes.json: not UTF-8 text')
  })

  it('keeps one copy of the parts that its cases have in common', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'a.json')
    await writeManifest(file, { version: 1, cases: [item('a'), item('b'), { ...item('c'), labelMap: null }] })
    const [a, b, c] = (await readManifest(file)).cases
    expect(a!.labelMap).toBe(b!.labelMap)
    expect(a!.role).toBe(b!.role)
    expect(c!.labelMap).toBeNull()
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
