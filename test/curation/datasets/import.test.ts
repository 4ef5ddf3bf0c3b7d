import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ignoredIdsBeside } from '../../../src/curation/datasets/ignored-ids.js'
import { importLists } from '../../../src/curation/datasets/import.js'
import { DATASETS } from '../../../src/curation/datasets/registry.js'
import { labelMapOption } from '../../../src/curation/datasets/remap.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const training = [{ image: './imagesTr/a.nii.gz', label: './labelsTr/a.nii.gz' }]

describe('importLists', () => {
  it('reads a folder of lists and finds the files under the root, by data set', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'lists/dataset_btcv.json': { numTraining: 80, training },
      'lists/dataset_LiTS_0.json': {
        training: [
          { image: 'Dataset003_Liver/imagesTr/a.nii.gz', label: 'Dataset003_Liver/labelsTr/a.nii.gz' },
        ],
      },
      'data/BTCV/imagesTr/a.nii.gz': '',
      'data/BTCV/labelsTr/a.nii.gz': '',
      'data/Dataset003_Liver/imagesTr/a.nii.gz': '',
      'data/Dataset003_Liver/labelsTr/a.nii.gz': '',
    })
    const { manifest, missing, notes } = await importLists(join(folder, 'lists'), {
      root: join(folder, 'data'),
    })
    expect(manifest.cases.map(({ id, role }) => [id, role.kind])).toEqual([
      ['BTCV/a', 'host'],
      ['Dataset003_Liver/a', 'labelled'],
    ])
    expect(manifest.cases[0]!.image).toBe(join(folder, 'data/BTCV/imagesTr/a.nii.gz'))
    expect(missing).toEqual([])
    expect(notes).toEqual([
      'dataset_LiTS_0: recognised as Dataset003_Liver; `--as none` prevents it',
      'dataset_btcv: recognised as BTCV; `--as none` prevents it',
      'BTCV: numTraining is 80, but the list contains 1 training case',
    ])
  })

  it('reads a data-set folder, bare or with its list, by the name of the folder', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'Dataset007_Pancreas/imagesTr/p_0000.nii.gz': '',
      'Dataset007_Pancreas/labelsTr/p.nii.gz': '',
    })
    const { manifest } = await importLists(join(folder, 'Dataset007_Pancreas'), { root: folder })
    expect(manifest.cases[0]).toMatchObject({ id: 'Dataset007_Pancreas/p', labelMap: { '1': 3, '2': 4 } })
  })

  it('reads left and right kidney from a preset or from the names of ids, and drops those of another map', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'BTCV/imagesTr/a.nii.gz': '',
      'BTCV/labelsTr/a.nii.gz': '',
      'Ours/dataset.json': { labels: { '1': 'left kidney', '2': 'right kidney' }, training },
      'Ours/imagesTr/a.nii.gz': '',
      'Ours/labelsTr/a.nii.gz': '',
    })
    const sidesOf = async (name: string, told = {}) =>
      (await importLists(join(folder, name), { root: folder, ...told })).manifest.cases[0]!.kidneySides
    expect(await sidesOf('BTCV')).toEqual({ left: 3, right: 2 })
    expect(await sidesOf('BTCV', labelMapOption('WORD'))).toEqual({ left: 3, right: 4 })
    expect(await sidesOf('BTCV', labelMapOption('1:5'))).toBeUndefined()
    expect(await sidesOf('Ours')).toEqual({ left: 1, right: 2 })
  })

  it('reads an unknown data set whose list names the ids of a region, and refuses another', async () => {
    const folder = temporaryFolder()
    const labels = { '0': 'background', '1': 'lung', '2': 'lesion' }
    writeFiles(folder, {
      'Ours/dataset.json': { labels, training },
      'Ours/imagesTr/a.nii.gz': '',
      'Ours/labelsTr/a.nii.gz': '',
      'Theirs/dataset.json': { labels: { '0': 'background', '1': 'Herz' }, training },
      'Theirs/imagesTr/a.nii.gz': '',
      'Theirs/labelsTr/a.nii.gz': '',
    })
    const { manifest } = await importLists(join(folder, 'Ours'), { root: folder })
    expect(manifest.cases[0]).toMatchObject({
      id: 'Ours/a',
      region: 'chest',
      role: { kind: 'labelled', organs: ['lung'] },
    })
    await expect(importLists(join(folder, 'Theirs'), { root: folder })).rejects.toThrow(
      /Theirs.dataset.json: unknown data set/,
    )
  })

  it('gives the reason if the regions of a list leave its ids open', async () => {
    const folder = temporaryFolder()
    const labels = { background: 0, liver: [1, 3], pancreas: [2, 3] }
    writeFiles(folder, { 'Ours/dataset.json': { labels, training } })
    await expect(importLists(join(folder, 'Ours'), { root: folder })).rejects.toThrow(
      /label ids are unclear \(id 3 is in liver and pancreas/,
    )
  })

  it('takes id 0 as background, also if it is called unlabeled, and states so; a map can ignore it', async () => {
    const folder = temporaryFolder()
    const labels = { '0': 'unlabeled', '1': 'liver' }
    writeFiles(folder, { 'Ours/dataset.json': { labels, training } })
    writeFiles(folder, { 'Ours/imagesTr/a.nii.gz': '', 'Ours/labelsTr/a.nii.gz': '' })
    const { notes, manifest } = await importLists(join(folder, 'Ours'), { root: folder })
    expect(manifest.cases[0]!.labelMap).toEqual({ '0': 0, '1': 1 })
    expect(notes).toEqual(['Ours: unlabeled counts as background of the abdomen'])
    const told = await importLists(join(folder, 'Ours'), {
      root: folder,
      region: 'abdomen',
      labelMap: { '0': 255, '1': 1 },
    })
    expect(told.notes.join()).toContain('If id 0 is background, map it to 0')
    expect(await ignoredIdsBeside(join(folder, 'Ours/labelsTr'))).toMatchObject({ ids: [] })
  })

  it('reads the whole published set of lists, and counts missing cases per data set', async () => {
    const folder = temporaryFolder()
    const files: Record<string, object> = {}
    let [listed, tests] = [0, 0]
    for (const { name, published } of DATASETS) {
      const pairs = (count: number, from: number) =>
        Array.from({ length: count }, (_, n) => ({
          image: `./${name}/imagesTr/case_${from + n}.nii.gz`,
          label: `./${name}/labelsTr/case_${from + n}.nii.gz`,
        }))
      // The two largest are listed with what their later editions added: 35,000 entries in all.
      const size = published.training * (published.training > 4000 ? 2.7 : 1)
      files[`lists/dataset_${name}.json`] = {
        labels: { '0': 'background', '1': 'organ' },
        numTraining: published.training + 7,
        training: pairs(Math.round(size), 0),
        validation: pairs(published.validation, 100_000),
        test: name === 'BTCV' ? ['./BTCV/imagesTs/t.nii.gz'] : [],
      }
      listed += Math.round(size) + published.validation
      tests += name === 'BTCV' ? 1 : 0
    }
    writeFiles(folder, {
      ...files,
      'data/BTCV/imagesTr/case_0.nii.gz': '',
      'data/BTCV/labelsTr/case_0.nii.gz': '',
    })
    expect(listed).toBeGreaterThan(34_000)
    const { manifest, missing } = await importLists(join(folder, 'lists'), { root: join(folder, 'data') })
    expect(manifest.cases.map(({ id }) => id)).toEqual(['BTCV/case_0'])
    expect(missing.reduce((sum, { count }) => sum + count, 0)).toBe(listed + tests - 1)
    expect(missing.find(({ dataset }) => dataset === 'LIDC')).toMatchObject({ count: 1018 })
    expect(missing).toHaveLength(DATASETS.length)
  })
})
