import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readDataset } from '../../../src/curation/datasets/sources.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('readDataset of a decathlon list', () => {
  it('reads training, validation and test with paths next to the list', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'imagesTr/a.nii.gz': '',
      'labelsTr/a.nii.gz': '',
      'imagesTs/t.nii.gz': '',
      'dataset.json': {
        labels: { '0': 'background', '1': 'liver' },
        training: [{ image: './imagesTr/a.nii.gz', label: './labelsTr/a.nii.gz' }],
        validation: [{ image: 'imagesTr/a.nii.gz', label: 'labelsTr/a.nii.gz' }],
        test: ['imagesTs/t.nii.gz'],
      },
    })
    const list = await readDataset(folder)
    expect(list.labelNames).toEqual({ '0': 'background', '1': 'liver' })
    expect(list.cases).toEqual([
      {
        name: 'a',
        image: join(folder, 'imagesTr/a.nii.gz'),
        label: join(folder, 'labelsTr/a.nii.gz'),
        fold: null,
        split: 'training',
      },
      {
        name: 'a',
        image: join(folder, 'imagesTr/a.nii.gz'),
        label: join(folder, 'labelsTr/a.nii.gz'),
        fold: null,
        split: 'validation',
      },
      { name: 't', image: join(folder, 'imagesTs/t.nii.gz'), label: null, fold: null, split: 'test' },
    ])
  })

  it('reads the published oddities: label for labels, modality a string, folds, a wrong numTraining, one path in a list', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'list.json': `\uFEFF${JSON.stringify({
        modality: 'CT',
        numTraining: 240,
        label: { background: 0, kidney: 1, tumor: 2, 'right kidney': '3' },
        training: [{ image: ['a.nii.gz'], label: 'b.nii.gz', fold: 3, extra: 1 }],
      })}`,
    })
    const list = await readDataset(join(folder, 'list.json'))
    expect(list.labelNames).toEqual({ '0': 'background', '1': 'kidney', '2': 'tumor', '3': 'right kidney' })
    expect(list.cases[0]).toMatchObject({ fold: 3, image: join(folder, 'a.nii.gz') })
  })

  it('keeps the patients that a list states, and the hosts of synthetic scans', async () => {
    const folder = temporaryFolder()
    const synthetic = { image: 'c.nii.gz', label: 'c.nii.gz', patient: 'BTCV/1', host: 'BTCV/1' }
    writeFiles(folder, {
      'list.json': { training: [{ image: 'a.nii.gz', label: 'b.nii.gz', patient: 'p1' }, synthetic] },
    })
    const { cases } = await readDataset(join(folder, 'list.json'))
    expect(cases.map(({ patient, host }) => [patient, host])).toEqual([
      ['p1', undefined],
      ['BTCV/1', 'BTCV/1'],
    ])
  })

  it('finds files under the first folder that has them', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'lists/btcv.json': { training: [{ image: 'imagesTr/a.nii.gz', label: 'labelsTr/a.nii.gz' }] },
      'data/BTCV/imagesTr/a.nii.gz': '',
      'data/BTCV/labelsTr/a.nii.gz': '',
    })
    const searchIn = [join(folder, 'data'), join(folder, 'data/BTCV')]
    const list = await readDataset(join(folder, 'lists/btcv.json'), { searchIn })
    expect(list.cases[0]!.image).toBe(join(folder, 'data/BTCV/imagesTr/a.nii.gz'))
  })

  const refused: readonly [string, string | object, RegExp][] = [
    ['no JSON', '{', /list.json: is not JSON/],
    ['an array', '[]', /list.json: wrong content \(expected an object\)/],
    ['no cases', { name: 'x' }, /list.json: no cases \(expected a list under training/],
    ['a training that is no list', { training: {}, test: [] }, /list.json: wrong training \(expected a list/],
    ['an entry that is no case', { training: [5] }, /list.json: training\[0\]: wrong entry/],
    [
      'an image that is no path',
      { training: [{ image: 7, label: 'b' }] },
      /training\[0\].image: wrong value \(expected one path, found 7\)/,
    ],
    [
      'several channels',
      { training: [{ image: ['a', 'b'], label: 'b' }] },
      /training\[0\].image: wrong value \(expected one path/,
    ],
    [
      'a fold that is no number',
      { training: [{ image: 'a', label: 'b', fold: '0' }] },
      /training\[0\].fold: wrong value \(expected an integer/,
    ],
    [
      'labels that are no map',
      { labels: ['liver'], training: [] },
      /list.json: wrong labels \(expected ids with names/,
    ],
  ]
  for (const [what, content, message] of refused)
    it(`refuses ${what} and names file and key`, async () => {
      const folder = temporaryFolder()
      writeFiles(folder, { 'list.json': content })
      await expect(readDataset(join(folder, 'list.json'))).rejects.toThrow(message)
    })

  it('names a missing data set and an empty folder', async () => {
    const folder = temporaryFolder()
    await expect(readDataset(join(folder, 'nowhere'))).rejects.toThrow(/nowhere: list or data set not found/)
    await expect(readDataset(folder)).rejects.toThrow(/no scan found/)
  })
})

describe('readDataset of a folder', () => {
  it('pairs images and labels, _0000 ignored, and reads imagesTs as test', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, {
      'dataset.json': {
        channel_names: { '0': 'CT' },
        labels: { background: 0, kidney: 1, masses: [2, 3] },
        file_ending: '.nii.gz',
      },
      'imagesTr/b_0000.nii.gz': '',
      'imagesTr/a_0000.nii.gz': '',
      'imagesTr/._a_0000.nii.gz': '',
      'labelsTr/a.nii.gz': '',
      'labelsTr/b.nii.gz': '',
      'imagesTs/t_0000.nii.gz': '',
    })
    const list = await readDataset(folder)
    expect(list.labelNames).toEqual({
      '0': ['background'],
      '1': ['kidney'],
      '2': ['masses'],
      '3': ['masses'],
    })
    expect(list.cases.map(({ name, label, split }) => [name, label, split])).toEqual([
      ['a', join(folder, 'labelsTr/a.nii.gz'), 'training'],
      ['b', join(folder, 'labelsTr/b.nii.gz'), 'training'],
      ['t', null, 'test'],
    ])
  })

  it('expects the label of an image under its name, and refuses names that never pair', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, { 'imagesTr/a.nii.gz': '', 'imagesTr/b.nii': '', 'labelsTr/b.nii.gz': '' })
    const { cases } = await readDataset(folder)
    expect(cases.map(({ label }) => label)).toEqual([
      join(folder, 'labelsTr/a.nii.gz'),
      join(folder, 'labelsTr/b.nii.gz'),
    ])
    const strangers = temporaryFolder()
    writeFiles(strangers, { 'imagesTr/ct1.nii.gz': '', 'labelsTr/mask1.nii.gz': '' })
    await expect(readDataset(strangers)).rejects.toThrow(
      /no image has a label of equal name in labelsTr \(first ct1.nii.gz\)/,
    )
  })

  it('refuses images of several channels', async () => {
    const channels = temporaryFolder()
    writeFiles(channels, {
      'imagesTr/a_0000.nii.gz': '',
      'imagesTr/a_0001.nii.gz': '',
      'labelsTr/a.nii.gz': '',
    })
    await expect(readDataset(channels)).rejects.toThrow(/a_0001.nii.gz: a second channel/)
  })

  it('reads one flat folder of pairs with distinct endings', async () => {
    const folder = temporaryFolder()
    const layout = {
      kind: 'flat',
      folder: 'Train_lungmask',
      imageEnding: '_ct',
      labelEnding: '_seg',
    } as const
    writeFiles(folder, { 'Train_lungmask/x_ct.nii.gz': '', 'Train_lungmask/x_seg.nii.gz': '' })
    const list = await readDataset(folder, { layout })
    expect(list.cases).toHaveLength(1)
    expect(list.cases[0]!.name).toBe('x')
    writeFiles(folder, { 'Train_lungmask/y_ct.nii.gz': '' })
    const { cases } = await readDataset(folder, { layout })
    expect(cases[1]!.label).toBe(join(folder, 'Train_lungmask/y_seg.nii.gz'))
  })
})

describe('a list that names a file outside its folders', () => {
  const listOf = (image: string) => ({ training: [{ image, label: 'a.nii.gz' }] })
  async function outside() {
    const root = temporaryFolder()
    const other = temporaryFolder()
    writeFiles(root, { 'lists/relative.json': listOf('../../../etc/hosts'), 'scan.nii.gz': '' })
    writeFiles(root, { 'lists/absolute.json': listOf(join(other, 'scan.nii.gz')) })
    writeFiles(root, { 'lists/inside.json': listOf(join(root, 'scan.nii.gz')) })
    writeFiles(root, { 'lists/parent.json': listOf('../scan.nii.gz') })
    writeFiles(root, { 'lists/dots.json': listOf('..scan.nii.gz') })
    return {
      root,
      other,
      read: (name: string, more = {}) =>
        readDataset(join(root, 'lists', name), { searchIn: [root], ...more }),
    }
  }

  it('is refused with the list, the entry and the path', async () => {
    const { root, other, read } = await outside()
    for (const [name, path] of [
      ['relative.json', '../../../etc/hosts'],
      ['absolute.json', join(other, 'scan.nii.gz')],
    ] as const)
      await expect(read(name)).rejects.toMatchObject({
        code: 'data',
        message: `${join(root, 'lists', name)}: training[0].image: ${path} lies outside ${root}`,
        hint: expect.stringContaining('allowOutside'),
      })
  })

  it('is read with --allow-outside', async () => {
    const { other, read } = await outside()
    const { cases } = await read('absolute.json', { allowOutside: true })
    expect(cases[0]?.image).toBe(join(other, 'scan.nii.gz'))
  })

  it('may name a path inside in any way: absolute, by its parent, with dots in its name, by a link', async () => {
    const { root, other, read } = await outside()
    expect((await read('inside.json')).cases[0]?.image).toBe(join(root, 'scan.nii.gz'))
    expect((await read('parent.json')).cases[0]?.image).toBe(join(root, 'scan.nii.gz'))
    expect((await read('dots.json')).cases[0]?.image).toBe(join(root, '..scan.nii.gz'))
    // a farm of links, and a root that is a link itself
    writeFiles(other, { 'far.nii.gz': '' })
    symlinkSync(join(other, 'far.nii.gz'), join(root, 'near.nii.gz'))
    writeFiles(root, { 'lists/link.json': listOf('near.nii.gz') })
    expect((await read('link.json')).cases[0]?.image).toBe(join(root, 'near.nii.gz'))
    const link = join(other, 'root')
    symlinkSync(root, link)
    const { cases } = await readDataset(join(link, 'lists/inside.json'), { searchIn: [link] })
    expect(cases[0]?.image).toBe(join(root, 'scan.nii.gz'))
  })
})
