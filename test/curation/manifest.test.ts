import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { CaseList, ListedCase } from '../../src/curation/lists.js'
import {
  casesOf,
  type ManifestCase,
  makeManifest,
  readManifest,
  writeManifest,
} from '../../src/curation/manifest.js'
import { type Dataset, findDataset } from '../../src/curation/registry.js'
import { writeFiles } from '../helpers/data-set.js'
import { temporaryFolder } from '../helpers/temporary.js'

function listOf(folder: string, names: readonly string[], more: Partial<ListedCase> = {}): CaseList {
  const cases = names.map((name) => ({
    image: join(folder, `imagesTr/${name}.nii.gz`),
    label: join(folder, `labelsTr/${name}.nii.gz`),
    fold: null,
    split: 'training' as const,
    ...more,
  }))
  return { source: join(folder, 'dataset.json'), labelNames: null, cases }
}

function written(...names: string[]): string {
  const folder = temporaryFolder()
  for (const name of names)
    writeFiles(folder, { [`imagesTr/${name}.nii.gz`]: '', [`labelsTr/${name}.nii.gz`]: '' })
  return folder
}

const liver = findDataset('Dataset003_Liver')!

describe('casesOf', () => {
  it('gives each case its id, patient, role and label map', async () => {
    const folder = written('liver_0')
    const { cases, missing } = await casesOf(listOf(folder, ['liver_0'], { fold: 2 }), liver)
    expect(missing).toEqual([])
    expect(cases).toEqual([
      {
        id: 'Dataset003_Liver/liver_0',
        dataset: 'Dataset003_Liver',
        patient: 'Dataset003_Liver/liver_0',
        region: 'abdomen',
        role: { kind: 'labelled', organs: ['liver'] },
        image: join(folder, 'imagesTr/liver_0.nii.gz'),
        label: join(folder, 'labelsTr/liver_0.nii.gz'),
        fold: 2,
        split: 'training',
        labelMap: { '1': 1, '2': 2 },
      },
    ])
  })

  it('knows that two scans of PANORAMA are one patient', async () => {
    const folder = written('100417_00001_0000', '100417_00002_0000')
    const { cases } = await casesOf(
      listOf(folder, ['100417_00001_0000', '100417_00002_0000']),
      findDataset('PANORAMA')!,
    )
    expect(new Set(cases.map(({ patient }) => patient))).toEqual(new Set(['PANORAMA/100417']))
    expect(cases[0]!.id).toBe('PANORAMA/100417_00001')
  })

  it('leaves out cases whose files are missing and counts them', async () => {
    const folder = written('a')
    const { cases, missing } = await casesOf(listOf(folder, ['a', 'b', 'c']), liver)
    expect(cases.map(({ id }) => id)).toEqual(['Dataset003_Liver/a'])
    expect(missing).toEqual([
      { dataset: 'Dataset003_Liver', count: 2, example: join(folder, 'imagesTr/b.nii.gz') },
    ])
    await expect(casesOf(listOf(folder, ['x']), liver)).rejects.toThrow(
      /none of its 1 cases exists, first .*x.nii.gz/,
    )
  })

  it('refuses a training case without a label and keeps an external test set out of training', async () => {
    const folder = written('a')
    await expect(casesOf(listOf(folder, ['a'], { label: null }), liver)).rejects.toThrow(
      /\(training\) has no label/,
    )
    const ircad: Dataset = { ...findDataset('3Dircadb1_convert')!, labelMap: { '1': 1, '2': 2 } }
    const { cases } = await casesOf(listOf(folder, ['a']), ircad)
    expect(cases[0]!.split).toBe('test')
  })

  it('maps by name when the list names its ids as the region does, and asks for a map otherwise', async () => {
    const folder = written('a')
    const own: Dataset = { ...liver, name: 'Mine', labelMap: null }
    const named = {
      ...listOf(folder, ['a']),
      labelNames: { '0': 'background', '7': 'liver', '8': 'liver tumor' },
    }
    expect((await casesOf(named, own)).cases[0]!.labelMap).toEqual({ '0': 0, '7': 1, '8': 2 })
    const unnamed = { ...named, labelNames: { '1': 'Leber' } }
    await expect(casesOf(unnamed, own)).rejects.toThrow(/nobody says what the label ids of Mine mean/)
  })
})

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

  it('has one order whatever order its cases came in', () => {
    const there = makeManifest([item('b'), item('a'), item('c')])
    expect(there.cases.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    expect(makeManifest([item('c'), item('b'), item('a')])).toEqual(there)
  })

  it('refuses an id that occurs twice and names both files', () => {
    const twin = { ...item('a'), image: '/other/a.nii.gz', split: 'validation' as const }
    expect(() => makeManifest([item('a'), item('b'), twin])).toThrow(
      /case a is listed twice, as \/data\/a.nii.gz \(training\) and \/other\/a.nii.gz \(validation\)/,
    )
  })

  it('comes back from its file, and equal manifests are equal files', async () => {
    const folder = temporaryFolder()
    const manifest = makeManifest([item('b'), item('a')])
    await writeManifest(join(folder, '1.json'), manifest)
    await writeManifest(join(folder, '2.json'), { version: 1, cases: [item('b'), item('a')] })
    expect(await readManifest(join(folder, '1.json'))).toEqual(manifest)
    expect(readFileSync(join(folder, '1.json'), 'utf8')).toBe(readFileSync(join(folder, '2.json'), 'utf8'))
  })

  it('is refused with file and key where it does not hold', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'a.json': { version: 1, cases: [{ ...item('a'), split: 'train' }] },
      'b.json': { version: 2, cases: [] },
    })
    await expect(readManifest(join(folder, 'a.json'))).rejects.toThrow(/a.json: cases.0.split/)
    await expect(readManifest(join(folder, 'b.json'))).rejects.toThrow(/b.json: version/)
    await expect(readManifest(join(folder, 'c.json'))).rejects.toThrow(/c.json: cannot be read/)
  })
})
