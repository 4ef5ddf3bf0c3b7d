import { describe, expect, it } from 'vitest'
import { recognizeDataset } from '../../../src/curation/datasets/recognize.js'
import { DATASETS, type Dataset, findDataset, tumorOrgans } from '../../../src/curation/datasets/registry.js'
import { LABEL_SCHEMES } from '../../../src/volume/labels.js'

describe('the registry', () => {
  it('holds the published numbers of hosts', () => {
    const hosts = (region: string) =>
      DATASETS.filter((dataset) => dataset.region === region && dataset.role.kind === 'host')
        .map(({ published }) => published.training)
        .reduce((sum, count) => sum + count, 0)
    expect(hosts('abdomen')).toBe(13_186)
    expect(hosts('chest')).toBe(4_510)
  })

  it('holds the published cases with real tumors, each with a map that leads to its tumor', () => {
    const labelled = DATASETS.filter(({ role }) => role.kind === 'labelled')
    expect(labelled.map(({ name, published }) => [name, published.training, published.validation])).toEqual([
      ['Dataset003_Liver', 104, 27],
      ['Dataset007_Pancreas', 224, 57],
      ['Dataset220_KiTS2023', 391, 98],
      ['Covid19_20', 159, 40],
    ])
    for (const { role, labelMap, region } of labelled)
      expect(tumorOrgans(labelMap!, region)).toEqual(role.kind === 'labelled' ? role.organs : [])
  })

  it('maps only to ids of the region, names each set once and overlaps with sets that exist', () => {
    expect(new Set(DATASETS.map(({ name }) => name)).size).toBe(DATASETS.length)
    for (const { region, labelMap, overlaps } of DATASETS) {
      for (const target of Object.values(labelMap ?? {}))
        expect(LABEL_SCHEMES[region].names[target]).toBeDefined()
      for (const { dataset } of overlaps) expect(findDataset(dataset)).toBeDefined()
    }
  })

  it('maps a cyst of KiTS to kidney and never lists 3D-IRCADb as a host', () => {
    expect(findDataset('Dataset220_KiTS2023')!.labelMap).toEqual({ '1': 5, '2': 6, '3': 5 })
    expect(findDataset('3Dircadb1_convert')!.role.kind).toBe('test')
  })

  it('does not map the tumor of FLARE 2023, which may be of any organ', () => {
    expect(findDataset('Flare23')!.labelMap).not.toHaveProperty('14')
  })

  it('identifies data sets by the names of their lists', () => {
    const guess = (name: string) => recognizeDataset(name)?.name
    expect(guess('dataset_btcv')).toBe('BTCV')
    expect(guess('dataset_tcia_panc')).toBe('Dataset082_TCIA_Pancreas-CT')
    expect(guess('MSD_pancreas_0')).toBe('Dataset007_Pancreas')
    expect(guess('TCIAcovid19_fold')).toBe('TCIAcovid19')
    for (const name of ['my_own_set', 'MyKits', 'pancreatitis', 'mylits', 'kits2', 'wordless'])
      expect(guess(name)).toBeUndefined()
    expect(guess('dataset_kits23_0')).toBe('Dataset220_KiTS2023')
  })

  it("puts a user's own data set before the known ones", () => {
    const mine: Dataset = { ...findDataset('BTCV')!, title: 'mine' }
    expect(findDataset('BTCV', [mine])).toBe(mine)
    expect(recognizeDataset('btcv', [{ ...mine, name: 'BTCV_cleaned', aliases: [] }])?.name).toBe('BTCV')
  })
})
