import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput } from '../../../src/config/schema.js'
import { curate } from '../../../src/curation/datasets/curate.js'
import { writeManifest } from '../../../src/curation/datasets/manifest.js'
import { ensurePhantoms } from '../../../src/phantom/dataset.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

type Datasets = NonNullable<NonNullable<ConfigInput['data']>['datasets']>

function curated(root: string, datasets: Datasets, region: 'abdomen' | 'chest' = 'abdomen') {
  const config = resolveConfig({ job: 'baseline', region, data: { root, datasets } })
  return curate(config.data, region)
}

function dataSet(root: string, name: string, list: object, files: readonly string[]): void {
  writeFiles(join(root, name), { 'dataset.json': list })
  for (const file of files)
    writeFiles(join(root, name), { [`imagesTr/${file}`]: '', [`labelsTr/${file}`]: '' })
}

const pair = (file: string, more = {}) => ({ image: `imagesTr/${file}`, label: `labelsTr/${file}`, ...more })

describe('curate', () => {
  it('reads known data sets with their roles and maps, in one stable order', async () => {
    const root = temporaryFolder()
    dataSet(root, 'Dataset003_Liver', { training: [pair('l1.nii.gz')], validation: [pair('l0.nii.gz')] }, [
      'l0.nii.gz',
      'l1.nii.gz',
    ])
    dataSet(root, 'BTCV', { training: [pair('b.nii.gz'), pair('gone.nii.gz')] }, ['b.nii.gz'])
    const { cases, missing } = await curated(root, [
      { name: 'Dataset003_Liver', repeat: 4 },
      { name: 'BTCV' },
    ])
    expect(cases.map(({ id, role, split, repeat }) => [id, role.kind, split, repeat])).toEqual([
      ['BTCV/b', 'host', 'training', 1],
      ['Dataset003_Liver/l0', 'labelled', 'validation', 4],
      ['Dataset003_Liver/l1', 'labelled', 'training', 4],
    ])
    expect(missing).toEqual([{ dataset: 'BTCV', count: 1, example: join(root, 'BTCV/imagesTr/gone.nii.gz') }])
  })

  it('holds out the requested fold', async () => {
    const root = temporaryFolder()
    const names = ['a.nii.gz', 'b.nii.gz', 'c.nii.gz']
    dataSet(root, 'Covid19_20', { training: names.map((name, fold) => pair(name, { fold })) }, names)
    const splits = async (validationFold: number | null) =>
      (await curated(root, [{ name: 'Covid19_20', validationFold }], 'chest')).cases.map(({ split }) => split)
    expect(await splits(1)).toEqual(['training', 'validation', 'training'])
    expect(await splits(null)).toEqual(['training', 'training', 'training'])
    await expect(splits(7)).rejects.toThrow(/Covid19_20: no fold 7 \(found 0, 1, 2\)/)
  })

  it('uses the validation part of a list as fold 0 and refuses other folds', async () => {
    const root = temporaryFolder()
    dataSet(root, 'Dataset003_Liver', { training: [pair('a.nii.gz')], validation: [pair('b.nii.gz')] }, [
      'a.nii.gz',
      'b.nii.gz',
    ])
    const { cases } = await curated(root, [{ name: 'Dataset003_Liver', validationFold: 0 }])
    expect(cases.map(({ split }) => split)).toEqual(['training', 'validation'])
    await expect(curated(root, [{ name: 'Dataset003_Liver', validationFold: 1 }])).rejects.toThrow(
      /no fold numbers/,
    )
  })

  it('reads a data set that the configuration describes', async () => {
    const root = temporaryFolder()
    dataSet(root, 'Mine', { training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    const { cases } = await curated(root, [{ name: 'Mine', role: 'labelled', labelMap: { '4': 5, '9': 6 } }])
    expect(cases[0]).toMatchObject({
      role: { kind: 'labelled', organs: ['kidney'] },
      labelMap: { '4': 5, '9': 6 },
    })
    await expect(curated(root, [{ name: 'Mine' }])).rejects.toThrow(/Mine: unknown role/)
  })

  it('refuses a data set of the other region and one that is listed twice', async () => {
    const root = temporaryFolder()
    await expect(curated(root, [{ name: 'LIDC' }])).rejects.toThrow(
      /LIDC: wrong region \(expected abdomen, found chest\)/,
    )
    dataSet(root, 'BTCV', { training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    await expect(curated(root, [{ name: 'BTCV' }, { name: 'BTCV' }])).rejects.toThrow(/BTCV is listed twice/)
  })

  it('reads the phantoms of a configuration', async () => {
    const root = temporaryFolder()
    const asked = {
      labelledCases: 1,
      validationCases: 1,
      hostCases: 1,
      testCases: 1,
      sizeVoxels: 32,
      seed: 3,
    }
    await ensurePhantoms(root, 'abdomen', asked)
    const names = ['phantom_labelled', 'phantom_hosts', 'phantom_test']
    const { cases } = await curated(
      root,
      names.map((name) => ({ name })),
    )
    expect(cases.map(({ dataset, role, split }) => [dataset, role.kind, split])).toEqual([
      ['phantom_hosts', 'host', 'training'],
      ['phantom_labelled', 'labelled', 'training'],
      ['phantom_labelled', 'labelled', 'validation'],
      ['phantom_test', 'labelled', 'test'],
    ])
    for (const { labelMap } of cases) expect(labelMap).toMatchObject({ '1': 1, '6': 6 })
  })

  it('refuses a manifest whose files lie neither under the root nor next to it, unless that is allowed', async () => {
    const [root, elsewhere] = [temporaryFolder(), temporaryFolder()]
    dataSet(root, 'BTCV', { training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    const { cases } = await curated(root, [{ name: 'BTCV' }])
    const manifest = join(elsewhere, 'manifest.json')
    await writeManifest(manifest, { version: 1, cases: cases.map(({ repeat, ...item }) => item) })
    const read = (data: object) => {
      const datasets = [{ name: 'BTCV' }]
      const config = resolveConfig({
        job: 'baseline',
        data: { root: elsewhere, manifest, datasets, ...data },
      })
      return curate(config.data, config.region)
    }
    await expect(read({})).rejects.toMatchObject({
      code: 'data',
      message: `${manifest}: BTCV/a.image: ${cases[0]!.image} lies outside ${elsewhere}`,
    })
    expect((await read({ root })).cases).toHaveLength(1)
    expect((await read({ allowOutside: true })).cases).toHaveLength(1)
  })

  it('reads cases, patients and folds from the manifest of a configuration', async () => {
    const root = temporaryFolder()
    dataSet(root, 'BTCV', { training: [pair('a.nii.gz'), pair('b.nii.gz')] }, ['a.nii.gz', 'b.nii.gz'])
    const { cases } = await curated(root, [{ name: 'BTCV' }])
    const split = cases.map(({ repeat, ...item }, fold) => ({ ...item, fold, patient: `BTCV/${fold}` }))
    const lost = { ...split[0]!, id: 'BTCV/gone', image: join(root, 'gone.nii.gz') }
    const manifest = join(root, 'split.json')
    await writeManifest(manifest, { version: 1, cases: [...split, lost] })
    const listed = (datasets: Datasets) => {
      const config = resolveConfig({ job: 'baseline', data: { root: '/nowhere', manifest, datasets } })
      return curate(config.data, config.region)
    }
    const found = await listed([{ name: 'BTCV', validationFold: 1, repeat: 3 }])
    expect(found.cases.map(({ id, patient, split, repeat }) => [id, patient, split, repeat])).toEqual([
      ['BTCV/a', 'BTCV/0', 'training', 3],
      ['BTCV/b', 'BTCV/1', 'validation', 3],
    ])
    expect(found.missing).toEqual([{ dataset: 'BTCV', count: 1, example: lost.image }])
    const told = await listed([{ name: 'BTCV', role: 'labelled', labelMap: { '6': 1, '7': 2 } }])
    expect(told.cases[0]).toMatchObject({
      role: { kind: 'labelled', organs: ['liver'] },
      labelMap: { '6': 1, '7': 2 },
    })
    await expect(listed([{ name: 'WORD' }])).rejects.toThrow(/WORD has no case in data.manifest/)
  })

  it.each([
    ['ignore' as const, 255],
    [255, 255],
    [0, 0],
  ])('maps an id to %s', async (target, id) => {
    const root = temporaryFolder()
    dataSet(root, 'Mine', { training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    const labelMap = { '1': 1, '2': 2, '3': target }
    const { cases } = await curated(root, [{ name: 'Mine', role: 'labelled', labelMap }])
    expect(cases[0]!.labelMap).toEqual({ '1': 1, '2': 2, '3': id })
  })

  it('reports why regions of a list do not name its ids', async () => {
    const root = temporaryFolder()
    const labels = { background: 0, kidney: [1, 2, 3], masses: [2, 3], tumor: 2 }
    dataSet(root, 'Mine', { labels, training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    await expect(curated(root, [{ name: 'Mine', role: 'labelled' }])).rejects.toThrow(
      /label ids of Mine are unclear: id 3 is in masses, but not in tumor/,
    )
  })

  it('refuses a manifest with ids outside the region', async () => {
    const root = temporaryFolder()
    dataSet(root, 'Mine', { training: [pair('a.nii.gz')] }, ['a.nii.gz'])
    const { cases } = await curated(root, [{ name: 'Mine', role: 'host', labelMap: { '1': 1 } }])
    const manifest = join(root, 'manifest.json')
    const { repeat: _, ...item } = cases[0]!
    await writeManifest(manifest, { version: 1, cases: [{ ...item, labelMap: { '1': 9, '2': 255 } }] })
    const config = resolveConfig({ job: 'baseline', data: { root, manifest, datasets: [{ name: 'Mine' }] } })
    await expect(curate(config.data, 'abdomen')).rejects.toThrow(
      /data.manifest: Mine.a: its labelMap maps 1 to 9 \(expected an id of the abdomen, 0 to 6, or ignore\)/,
    )
  })
})
