import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { casesOf } from '../../../src/curation/datasets/cases.js'
import type { CaseList, ListedCase } from '../../../src/curation/datasets/lists.js'
import { type Dataset, findDataset } from '../../../src/curation/datasets/registry.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

function listOf(folder: string, names: readonly string[], more: Partial<ListedCase> = {}): CaseList {
  const cases = names.map((name) => ({
    name: name.replace(/_0000$/, ''),
    image: join(folder, `imagesTr/${name}.nii.gz`),
    label: join(folder, `labelsTr/${name}.nii.gz`),
    fold: null,
    split: 'training' as const,
    ...more,
  }))
  const source = join(folder, 'dataset.json')
  return { source, layout: 'list', labelNames: null, statedCount: null, cases, leftOut: [], notes: [] }
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

  it('treats two scans of PANORAMA as one patient', async () => {
    const folder = written('100417_00001_0000', '100417_00002_0000')
    const { cases } = await casesOf(
      listOf(folder, ['100417_00001_0000', '100417_00002_0000']),
      findDataset('PANORAMA')!,
    )
    expect(new Set(cases.map(({ patient }) => patient))).toEqual(new Set(['PANORAMA/100417']))
    expect(cases[0]!.id).toBe('PANORAMA/100417_00001')
  })

  it('omits cases whose files are missing and counts them', async () => {
    const folder = written('a')
    const { cases, missing } = await casesOf(listOf(folder, ['a', 'b', 'c']), liver)
    expect(cases.map(({ id }) => id)).toEqual(['Dataset003_Liver/a'])
    expect(missing).toEqual([
      { dataset: 'Dataset003_Liver', count: 2, example: join(folder, 'imagesTr/b.nii.gz') },
    ])
    expect(await casesOf(listOf(folder, ['x']), liver)).toMatchObject({ cases: [], missing: [{ count: 1 }] })
  })

  it('refuses a training case without a label and keeps an external test set out of training', async () => {
    const folder = written('a')
    await expect(casesOf(listOf(folder, ['a'], { label: null }), liver)).rejects.toThrow(
      /no label \(expected one for .* in training\)/,
    )
    const ircad: Dataset = { ...findDataset('3Dircadb1_convert')!, labelMap: { '1': 1, '2': 2 } }
    const { cases } = await casesOf(listOf(folder, ['a']), ircad)
    expect(cases[0]!.split).toBe('test')
  })

  it('keeps a case that a list has in two parts, under two ids', async () => {
    const folder = written('a')
    const [training, validation] = [listOf(folder, ['a']), listOf(folder, ['a'], { split: 'validation' })]
    const list = { ...training, cases: [...training.cases, ...validation.cases] }
    const { cases } = await casesOf(list, liver)
    expect(cases.map(({ id, patient }) => [id, patient])).toEqual([
      ['Dataset003_Liver/a', 'Dataset003_Liver/a'],
      ['Dataset003_Liver/a@validation', 'Dataset003_Liver/a'],
    ])
  })

  it('maps by the names of ids in the list, and sets no map without names', async () => {
    const folder = written('a')
    const own: Dataset = { ...liver, name: 'Mine', labelMap: null }
    const named = {
      ...listOf(folder, ['a']),
      labelNames: { '0': 'background', '7': 'liver', '8': 'liver tumor' },
    }
    expect((await casesOf(named, own)).cases[0]!.labelMap).toEqual({ '0': 0, '7': 1, '8': 2 })
    const sparse = { ...named, labelNames: { ...named.labelNames, '9': 'ignore' } }
    expect((await casesOf(sparse, own)).cases[0]!.labelMap).toEqual({ '0': 0, '7': 1, '8': 2, '9': 255 })
    const unnamed = { ...named, labelNames: { '1': 'Leber' } }
    expect((await casesOf(unnamed, own)).cases[0]!.labelMap).toBe(null)
  })

  it('ignores the ids that the list names so, next to a published map but not next to a map of the user', async () => {
    const folder = written('a')
    const list = { ...listOf(folder, ['a']), labelNames: { '1': 'liver', '2': 'tumor', '3': 'ignore' } }
    expect((await casesOf(list, liver)).cases[0]!.labelMap).toEqual({ '1': 1, '2': 2, '3': 255 })
    const stated: Dataset = { ...liver, labelMap: { '1': 1, '2': 2, '3': 0 } }
    expect((await casesOf(list, stated)).cases[0]!.labelMap).toEqual({ '1': 1, '2': 2, '3': 0 })
  })
})
