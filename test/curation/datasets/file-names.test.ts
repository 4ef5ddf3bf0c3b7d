import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  caseNames,
  isVolume,
  leftOutLines,
  readFolder,
  stemOf,
} from '../../../src/curation/datasets/file-names.js'
import { labelsAt, matchNames } from '../../../src/curation/datasets/own-labels.js'
import { readSource, sourcesAt } from '../../../src/curation/datasets/sources.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const empty = (...names: string[]) => Object.fromEntries(names.map((name) => [name, '']))

describe('the names of volumes', () => {
  it.each([
    ['a.nii', 'a'],
    ['A.NII.GZ', 'A'],
    ['b.Nii.gz', 'b'],
    ['c.HDR', 'c'],
    ['1.2.840.1 a.nii.gz', '1.2.840.1 a'],
    ['Fall é_seg.nii.gz', 'Fall é_seg'],
  ])('include %s', (file, stem) => expect([isVolume(file), stemOf(file)]).toEqual([true, stem]))

  it.each(['._a.nii.gz', '.DS_Store', 'a.nii.gz.json', 'a.txt', 'nii', 'a.img'])('exclude %s', (file) =>
    expect(isVolume(file)).toBe(false),
  )
})

describe('caseNames', () => {
  const cases: readonly [string, string[], string[], boolean, string[]][] = [
    ['drops a channel of all images', ['a_0000', 'b_0000'], ['a', 'b'], false, ['a', 'b']],
    ['drops it without labels', ['a_0000', 'b_0000'], [], false, ['a', 'b']],
    [
      'keeps numbers from 0000',
      ['l_0000', 'l_0001', 'l_0002'],
      ['l_0000', 'l_0001', 'l_0002'],
      false,
      ['l_0000', 'l_0001', 'l_0002'],
    ],
    ['keeps numbers from 0000 without labels', ['l_0000', 'l_0001'], [], false, ['l_0000', 'l_0001']],
    ['keeps it if a label has it', ['a_0000'], ['a_0000'], false, ['a_0000']],
    ['keeps it unless every image has it', ['a_0000', 'b'], ['b'], false, ['a_0000', 'b']],
    ['drops it where a dataset.json states channels', ['a_0000', 'b'], ['a', 'b'], true, ['a', 'b']],
    ['has nothing to name', [], [], false, []],
  ]
  it.each(cases)('%s', (_, images, labels, declared, names) => {
    const files = images.map((name) => `${name}.nii.gz`)
    expect(caseNames(files, new Set(labels), declared)).toEqual(names)
  })

  it('refuses a second channel', () => {
    const files = ['a_0000.nii.gz', 'a_0001.nii.gz']
    expect(() => caseNames(files, new Set(['a']))).toThrow(/a_0001.nii.gz: a second channel/)
    expect(() => caseNames(files, new Set(), true)).toThrow(/a second channel/)
  })
})

describe('matchNames', () => {
  it.each([
    [['a', 'b'], ['a', 'b'], { a: 'a', b: 'b' }],
    [['a_0000', 'b_0000'], ['a', 'b'], { a_0000: 'a', b_0000: 'b' }],
    [['a', 'b'], ['a_0000', 'b_0000'], { a: 'a_0000', b: 'b_0000' }],
    [['l_0000', 'l_0001'], ['l_0000', 'l_0001'], { l_0000: 'l_0000', l_0001: 'l_0001' }],
    [['a', 'x'], ['a'], { a: 'a' }],
    [
      ['segmentation-0', 'segmentation-1'],
      ['volume-0', 'volume-1'],
      { 'segmentation-0': 'volume-0', 'segmentation-1': 'volume-1' },
    ],
    [['a_seg', 'b_seg'], ['a', 'b_ct'], { a_seg: 'a', b_seg: 'b_ct' }],
    // two labels of one scan, or two scans of one label, are not guessed
    [['a_seg', 'a_gt'], ['a'], {}],
    [['segmentation-0'], ['volume-0', 'ct-0'], {}],
  ])('pairs %j with %j', (files, cases, pairs) => {
    expect(Object.fromEntries(matchNames(files, cases))).toEqual(pairs)
  })
})

describe('files that look like scans', () => {
  it('are reported by format, but not copies of a volume, sidecars or system files', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('a.nii.gz', 'a.nrrd', 'a.nii.gz.json', '.DS_Store', '._b.nrrd', 'notes.txt'))
    writeFiles(folder, empty('b.nrrd', 'c.mha', 'd.dcm', 'e.dcm', 'f.nii.gz.part', 'g.img', 'h.hdr', 'h.img'))
    const { volumes, leftOut } = await readFolder(folder)
    expect(volumes).toEqual(['a.nii.gz', 'h.hdr'])
    expect(Object.fromEntries(leftOut.map(({ reason, count }) => [reason, count]))).toEqual({
      NRRD: 1,
      MetaImage: 1,
      DICOM: 2,
      'NIfTI under another ending': 1,
      'an .img without its .hdr': 1,
    })
    const file = join(folder, 'd.dcm')
    expect(leftOutLines(leftOut)).toContainEqual(
      expect.stringMatching(`^${file} and 1 more: not taken \\(DICOM\\)`),
    )
  })

  it('are named where a path has no scan, also DICOM without an ending', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, { 'series/IM0001': `${'\0'.repeat(128)}DICM` })
    const [source] = await sourcesAt(folder)
    await expect(readSource(source!)).rejects.toThrow(
      /no scan found \(expected .nii.* found DICOM, first .*IM0001\)/,
    )
    await expect(sourcesAt(join(folder, 'series/IM0001'))).rejects.toThrow(/wrong format .*found DICOM/)
  })
})

describe('pairs', () => {
  it('are taken by their header, and an .img alone is reported', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('a.hdr', 'a.img', 'b.HDR', 'b.IMG', 'c.hdr.gz', 'c.img.gz', 'd.nii', 'd.img'))
    const { volumes, leftOut } = await readFolder(folder)
    expect(volumes).toEqual(['a.hdr', 'b.HDR', 'c.hdr.gz', 'd.nii'])
    expect(leftOut).toMatchObject([
      { count: 1, example: join(folder, 'd.img'), reason: 'an .img without its .hdr' },
    ])
  })

  it('are refused next to a volume of the same name, and by their .img', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('imagesTr/a.nii', 'labelsTr/a.nii', 'labelsTr/a.hdr', 'labelsTr/a.img'))
    const [source] = await sourcesAt(folder)
    await expect(readSource(source!)).rejects.toThrow(
      `${join(folder, 'labelsTr')}: a.hdr and a.nii have equal case names (found a for both)`,
    )
    await expect(sourcesAt(join(folder, 'labelsTr/a.img'))).rejects.toThrow(
      'wrong format (expected .nii, .nii.gz or .hdr; found the voxels of a pair)',
    )
  })
})

describe('a data set with more files than cases', () => {
  const leftOutOf = async (folder: string) => {
    const [source] = await sourcesAt(folder)
    return (await readSource(source!)).leftOut.map(({ count, example, reason }) => [count, example, reason])
  }

  it('reports the images that its dataset.json omits', async () => {
    const folder = temporaryFolder()
    const training = [{ image: './imagesTr/a.nii.gz', label: './labelsTr/a.nii.gz' }]
    writeFiles(folder, { 'dataset.json': { labels: { '1': 'liver' }, training } })
    writeFiles(folder, empty('imagesTr/a.nii.gz', 'labelsTr/a.nii.gz'))
    expect(await leftOutOf(folder)).toEqual([])
    writeFiles(folder, empty('imagesTr/b.nii.gz', 'imagesTs/c.nii.gz', 'labelsTr/b.nii.gz'))
    const example = join(folder, 'imagesTr/b.nii.gz')
    expect(await leftOutOf(folder)).toEqual([[2, example, 'a volume that the list omits']])
  })

  it('reports DICOM files without an ending among its images', async () => {
    const folder = temporaryFolder()
    const dicom = `${'\0'.repeat(128)}DICM`
    writeFiles(folder, empty('imagesTr/a.nii.gz', 'labelsTr/a.nii.gz', 'imagesTr/README'))
    writeFiles(folder, { 'imagesTr/IM0001': dicom, 'imagesTr/series/1.2.840.1': dicom })
    expect(await leftOutOf(folder)).toEqual([
      [1, join(folder, 'imagesTr/IM0001'), 'DICOM'],
      [1, join(folder, 'imagesTr/series/1.2.840.1'), 'DICOM'],
    ])
  })
})

describe('a folder of scans', () => {
  const read = async (folder: string) => {
    const sources = await sourcesAt(folder)
    expect(sources).toHaveLength(1)
    const { cases, leftOut } = await readSource(sources[0]!)
    return { names: cases.map(({ name }) => name), labels: cases.map(({ label }) => label), leftOut }
  }

  it('takes no mask as a scan: folders of masks, labels by their ending, masks of a prediction', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('a_ct.nii.gz', 'a_seg.nii.gz', 'b.nii', 'b-label.nii.gz', 'x_seg.nii.gz'))
    writeFiles(folder, empty('masks/a.nii.gz', 'deeper/c.nii.gz', 'out/prediction.json', 'out/a.nii.gz'))
    const { names, labels, leftOut } = await read(folder)
    expect(names).toEqual(['a_ct', 'b', 'deeper/c'])
    expect(labels).toEqual([join(folder, 'a_seg.nii.gz'), join(folder, 'b-label.nii.gz'), null])
    expect(leftOut).toMatchObject([{ count: 1, example: join(folder, 'x_seg.nii.gz') }])
  })

  it.each([
    ['volume-0', 'segmentation-0'],
    ['img0001', 'label0001'],
    ['p1_image', 'p1_tumor'],
    ['p1', 'p1_lesion'],
    ['liver_tumor_1', 'liver_tumor_1_gt'],
  ])('pairs %s with %s', async (image, label) => {
    const folder = temporaryFolder()
    writeFiles(folder, empty(`${image}.nii.gz`, `${label}.nii.gz`))
    const { names, labels } = await read(folder)
    expect([names, labels]).toEqual([[image], [join(folder, `${label}.nii.gz`)]])
  })

  it('reports the second label of a scan', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('a.nii.gz', 'a_label.nii.gz', 'a_seg.nii.gz'))
    const { labels, leftOut } = await read(folder)
    expect(labels).toEqual([join(folder, 'a_label.nii.gz')])
    expect(leftOut).toMatchObject([{ count: 1, example: join(folder, 'a_seg.nii.gz') }])
  })

  it('takes the label of a folder of one case below it', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('kits/case_1/imaging.nii.gz', 'kits/case_1/segmentation.nii.gz'))
    const { names, labels, leftOut } = await read(folder)
    expect([names, leftOut]).toEqual([['case_1'], []])
    expect(labels).toEqual([join(folder, 'kits/case_1/segmentation.nii.gz')])
  })

  it('names the folder of masks that it does not use', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('a.nii.gz', 'masks/a.nii.gz'))
    const [source] = await sourcesAt(folder)
    expect((await readSource(source!)).notes).toEqual([
      `${join(folder, 'masks')}: a folder of label maps or masks, which is not used`,
    ])
  })

  it('keeps the label of a case whose masks have no known name, as in KiTS', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('c1/imaging.nii.gz', 'c1/segmentation.nii.gz', 'c1/instances/x_1.nii.gz'))
    expect((await read(folder)).labels).toEqual([join(folder, 'c1/segmentation.nii.gz')])
  })

  it('is a folder per case if one scan lies next to them, which is reported', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('c1/imaging.nii.gz', 'c1/segmentation.nii.gz', 'other.nii.gz'))
    const { names, leftOut } = await read(folder)
    expect(names).toEqual(['c1'])
    expect(leftOut).toMatchObject([{ count: 1, example: join(folder, 'other.nii.gz') }])
  })

  it('is a folder per case where images have known names; other volumes are reported', async () => {
    const folder = temporaryFolder()
    writeFiles(
      folder,
      empty('s1/ct.nii.gz', 's1/segmentations/liver.nii.gz', 's1/pet.nii.gz', 's2/CT.NII.GZ'),
    )
    writeFiles(folder, empty('s3/segmentation.nii.gz', 's1/instances/kidney_1.nii.gz', 'loose/y.nii.gz'))
    const { names, leftOut } = await read(folder)
    expect(names).toEqual(['s1', 's2', 's3'])
    expect(leftOut).toMatchObject([
      { count: 2, reason: 'a volume that is neither image nor label of a case' },
    ])
  })

  it('finds folders per case one level deeper, as in the repository of KiTS', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('dataset/case_00000/imaging.nii.gz', 'dataset/case_00000/segmentation.nii.gz'))
    writeFiles(folder, empty('code/setup.py'))
    expect((await read(folder)).names).toEqual(['case_00000'])
  })

  it('is one case if the path is the folder of a case', async () => {
    const folder = join(temporaryFolder(), 's0001')
    writeFiles(folder, empty('ct.nii.gz', 'segmentations/liver.nii.gz'))
    expect((await read(folder)).names).toEqual(['s0001'])
  })
})

describe('folders of images and labels', () => {
  it.each([
    ['ImagesTr', 'LabelsTr'],
    ['images', 'masks'],
    ['CT', 'ground_truth'],
    ['imgs', 'gt'],
  ])('are %s and %s', async (images, labels) => {
    const folder = temporaryFolder()
    writeFiles(folder, empty(`${images}/a.nii.gz`, `${labels}/a.nii.gz`))
    const { cases } = await readSource((await sourcesAt(folder))[0]!)
    expect(cases).toMatchObject([{ name: 'a', label: join(folder, labels, 'a.nii.gz'), split: 'training' }])
  })

  it('report volumes outside the folders that are read', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('imagesTr/a.nii.gz', 'labelsTr/a.nii.gz', 'imagesTr/more/b.nii.gz'))
    writeFiles(folder, empty('imagesVa/c.nii.gz', 'd.nii.gz'))
    const { cases, leftOut } = await readSource((await sourcesAt(folder))[0]!)
    expect([cases.length, leftOut]).toMatchObject([1, [{ count: 3 }]])
  })

  it('refuse a scan next to data sets', async () => {
    const folder = temporaryFolder()
    writeFiles(folder, empty('Dataset001_A/imagesTr/a.nii.gz', 'Dataset001_A/labelsTr/a.nii.gz', 'b.nii.gz'))
    await expect(sourcesAt(folder)).rejects.toThrow(/b\.nii\.gz: a volume next to data sets/)
  })
})

describe('labelsAt', () => {
  it.each([
    ['labels of one folder', ['a.nii.gz', 'b.nii.gz'], { a: 'a.nii.gz', b: 'b.nii.gz' }],
    ['only labels where scans lie next to them', ['a.nii.gz', 'a_seg.nii.gz'], { a: 'a_seg.nii.gz' }],
    ['labels of LiTS', ['volume-0.nii', 'segmentation-0.nii'], { 'volume-0': 'segmentation-0.nii' }],
    ['labels in folders', ['x/a.nii.gz', 'y/a.nii.gz'], { x__a: 'x/a.nii.gz', y__a: 'y/a.nii.gz' }],
  ])('takes %s', async (_, files, expected) => {
    const folder = temporaryFolder()
    writeFiles(folder, empty(...files))
    const { labels } = await labelsAt(folder)
    const found = [...labels].map(([name, { label }]) => [name, label])
    expect(found).toEqual(Object.entries(expected).map(([name, file]) => [name, join(folder, file)]))
  })
})
