import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'

/** The use of a data set: real tumors of these organs, host CTs, or a test set that is never trained on. */
export type DatasetRole =
  | { readonly kind: 'labelled'; readonly organs: readonly OrganName[] }
  | { readonly kind: 'host' }
  | { readonly kind: 'test'; readonly organs: readonly OrganName[] }

export interface KnownOverlap {
  readonly dataset: string
  readonly note: string
  /** File stems of the shared cases; absent if the list of shared cases is unknown. */
  readonly cases?: RegExp | undefined
}

/** Id of the source -> id of the region; every id of the source is listed, 0 for background. */
export type LabelIdMap = Readonly<Record<string, number>>

export interface KidneySides {
  readonly left: number
  readonly right: number
}

export interface Dataset {
  /** Folder below the data root, and name in a configuration. */
  readonly name: string
  readonly title: string
  readonly region: Region
  readonly role: DatasetRole
  /** Published numbers of cases; validation is 0 if the published list has none. */
  readonly published: { readonly training: number; readonly validation: number }
  /** Null: there are several published forms, so a configuration must set it. */
  readonly labelMap: LabelIdMap | null
  /** Known limits of the labels. */
  readonly note?: string
  /** Short form; read the terms before use. */
  readonly licence: string
  /** Other data sets that contain some of the same scans or patients. */
  readonly overlaps: readonly KnownOverlap[]
  /** Other names in list files, in lower case. */
  readonly aliases?: readonly string[]
  /** Ids of the two kidneys in the source, if it separates them. */
  readonly kidneySides?: KidneySides | undefined
  /** Patient of a case, if several scans share one: the first group. Default: every scan is a patient. */
  readonly patientPattern?: RegExp
  /** Folders other than imagesTr and labelsTr, or one folder of pairs with distinct endings. */
  readonly layout?: Layout
}

export type Layout =
  | { readonly kind: 'folders'; readonly images: string; readonly labels: string }
  | {
      readonly kind: 'flat'
      readonly folder: string
      readonly imageEnding: string
      readonly labelEnding: string
    }

/**
 * Data sets that are known by name. The user's own data sets have the same form: pass them in addition, or
 * set `role` and `labelMap` in the configuration.
 */
export const DATASETS: readonly Dataset[] = [
  {
    name: 'Dataset003_Liver',
    title: 'LiTS: liver tumors',
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver'] },
    published: { training: 104, validation: 27 },
    labelMap: { '1': 1, '2': 2 },
    licence: 'CC BY-NC-ND 4.0 (LiTS), CC BY-SA 4.0 (as MSD Task03)',
    overlaps: [
      {
        dataset: '3Dircadb1_convert',
        note: 'liver_28 to liver_47 are its cases with the spacing reset to 1 mm',
        cases: /^(liver_|volume-)(2[89]|3\d|4[0-7])$/,
      },
      { dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from LiTS' },
      { dataset: 'AbdomenCT-1K', note: 'built partly from LiTS' },
      { dataset: 'Flare22', note: 'built partly from LiTS' },
      { dataset: 'Flare23', note: 'built partly from LiTS' },
    ],
    aliases: ['lits', 'lits17', 'msd_liver', 'task03'],
  },
  {
    name: 'Dataset007_Pancreas',
    title: 'MSD Task07: pancreas tumors',
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['pancreas'] },
    published: { training: 224, validation: 57 },
    labelMap: { '1': 3, '2': 4 },
    licence: 'CC BY-SA 4.0',
    overlaps: [
      { dataset: 'PANORAMA', note: 'PANORAMA holds 194 of its scans' },
      { dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from MSD' },
      { dataset: 'AbdomenCT-1K', note: 'built partly from MSD' },
      { dataset: 'Flare22', note: 'built partly from MSD' },
      { dataset: 'Flare23', note: 'built partly from MSD' },
    ],
    aliases: ['msd_pancreas', 'task07', 'panc'],
  },
  {
    name: 'Dataset220_KiTS2023',
    title: 'KiTS23: kidney tumors',
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['kidney'] },
    published: { training: 391, validation: 98 },
    labelMap: { '1': 5, '2': 6, '3': 5 },
    note: 'id 3 is a cyst and counts as kidney; the published list calls it "right kidney"',
    licence: 'CC BY-NC-SA 4.0',
    overlaps: [
      { dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from KiTS' },
      { dataset: 'AbdomenCT-1K', note: 'built partly from KiTS' },
      { dataset: 'Flare22', note: 'built partly from KiTS' },
      { dataset: 'Flare23', note: 'built partly from KiTS' },
    ],
    aliases: ['kits', 'kits23', 'kits2023'],
  },
  {
    name: 'BTCV',
    title: 'Beyond the Cranial Vault',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 30, validation: 0 },
    labelMap: { ...background(13), '2': 5, '3': 5, '6': 1, '11': 3 },
    kidneySides: { left: 3, right: 2 },
    licence: 'terms of the Synapse project, after registration',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from BTCV' }],
    aliases: ['btcv'],
  },
  {
    name: 'Flare22',
    title: 'FLARE 2022, labelled part',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 50, validation: 0 },
    labelMap: { ...background(13), '1': 1, '2': 5, '4': 3, '13': 5 },
    kidneySides: { left: 13, right: 2 },
    licence: 'terms of the challenge',
    overlaps: [{ dataset: 'Dataset007_Pancreas', note: 'built partly from MSD' }],
    aliases: ['flare22'],
  },
  {
    name: 'Flare23',
    title: 'FLARE 2023',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 4500, validation: 0 },
    labelMap: { ...background(13), '1': 1, '2': 5, '4': 3, '13': 5 },
    note: 'id 14 is a tumor of any organ and is not mapped: a case with it is not a healthy host. Many cases have partial labels',
    kidneySides: { left: 13, right: 2 },
    licence: 'terms of the challenge',
    overlaps: [
      { dataset: 'Dataset003_Liver', note: 'built partly from LiTS' },
      { dataset: 'Dataset007_Pancreas', note: 'built partly from MSD' },
      { dataset: 'Dataset220_KiTS2023', note: 'built partly from KiTS' },
      { dataset: 'AbdomenCT-1K', note: 'shares its sources' },
    ],
    aliases: ['flare23'],
  },
  {
    name: 'Amos2022',
    title: 'AMOS 2022, CT part',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 200, validation: 0 },
    labelMap: { ...background(15), '2': 5, '3': 5, '6': 1, '10': 3 },
    note: 'cases from 500 on are MR scans and do not belong here',
    kidneySides: { left: 3, right: 2 },
    licence: 'CC BY 4.0 or CC BY-NC-SA 4.0: its publications differ',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from AMOS' }],
    aliases: ['amos', 'amos22', 'amos2022'],
  },
  {
    name: 'WORD',
    title: 'WORD',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 100, validation: 0 },
    labelMap: { ...background(16), '1': 1, '3': 5, '4': 5, '8': 3 },
    kidneySides: { left: 3, right: 4 },
    licence: 'research use, on request',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from WORD' }],
    aliases: ['word'],
  },
  {
    name: 'PANORAMA',
    title: 'PANORAMA: pancreatic cancer',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 1782, validation: 0 },
    labelMap: { ...background(6), '1': 4, '4': 3, '5': 3 },
    note: 'its own labels show a real cancer (id 1) in some cases, and neither liver nor kidney',
    licence: 'CC BY-NC 4.0',
    overlaps: [
      { dataset: 'Dataset007_Pancreas', note: 'holds 194 of its scans' },
      { dataset: 'Dataset082_TCIA_Pancreas-CT', note: 'holds its 80 scans' },
      {
        dataset: 'PANORAMA',
        note: 'patients 100417 and 100456 are in training and validation of its own list',
      },
    ],
    aliases: ['panorama'],
    patientPattern: /^(\d+)_/,
  },
  {
    name: 'AbdomenCT-1K',
    title: 'AbdomenCT-1K',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 1062, validation: 0 },
    labelMap: { ...background(4), '1': 1, '2': 5, '4': 3 },
    note: 'its organ labels include the tumors in them: a host may hide a real tumor',
    licence: 'terms of its publisher; its sources have their own',
    overlaps: [
      { dataset: 'Dataset003_Liver', note: 'built partly from LiTS' },
      { dataset: 'Dataset007_Pancreas', note: 'built partly from MSD' },
      { dataset: 'Dataset220_KiTS2023', note: 'built partly from KiTS' },
      { dataset: 'Dataset009_Spleen', note: 'built partly from MSD' },
      { dataset: 'Dataset082_TCIA_Pancreas-CT', note: 'built partly from it' },
    ],
    aliases: ['abdomenct', 'abdomenct1k', 'abdomen-1k', 'abdomen1k'],
  },
  {
    name: 'CHAOS',
    title: 'CHAOS, CT part',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 20, validation: 0 },
    labelMap: { '1': 1 },
    note: 'the source labels only the liver',
    licence: 'CC BY-NC-SA 4.0',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from CHAOS' }],
    aliases: ['chaos'],
  },
  {
    name: 'Dataset082_TCIA_Pancreas-CT',
    title: 'TCIA (NIH) Pancreas-CT',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 80, validation: 0 },
    labelMap: { '1': 3 },
    note: 'the source labels only the pancreas',
    licence: 'CC BY 3.0',
    overlaps: [
      { dataset: 'PANORAMA', note: 'PANORAMA holds its 80 scans' },
      { dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from it' },
    ],
    aliases: ['tcia_panc', 'pancreas-ct', 'pancreas_ct'],
  },
  {
    name: 'Dataset009_Spleen',
    title: 'MSD Task09',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 41, validation: 0 },
    labelMap: null,
    note: 'the source labels the spleen, which is not in the label scheme: create organ labels with a segmentor',
    licence: 'CC BY-SA 4.0',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from MSD' }],
    aliases: ['spleen', 'task09'],
  },
  {
    name: 'Dataset010_Colon',
    title: 'MSD Task10',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 126, validation: 0 },
    labelMap: null,
    note: 'the source labels colon cancer, which is not in the label scheme: create organ labels with a segmentor',
    licence: 'CC BY-SA 4.0',
    overlaps: [{ dataset: 'Dataset224_AbdomenAtlas1.0', note: 'built partly from MSD' }],
    aliases: ['colon', 'task10'],
  },
  {
    name: 'Dataset224_AbdomenAtlas1.0',
    title: 'AbdomenAtlas 1.0 Mini',
    region: 'abdomen',
    role: { kind: 'host' },
    published: { training: 5195, validation: 0 },
    labelMap: { ...background(9), '3': 5, '4': 5, '5': 1, '6': 3 },
    note: 'its organ labels include the tumors in them: a host may hide a real tumor',
    kidneySides: { left: 3, right: 4 },
    licence: 'CC BY-NC-SA 4.0, after registration',
    overlaps: [
      { dataset: 'Dataset003_Liver', note: 'built partly from LiTS' },
      { dataset: 'Dataset007_Pancreas', note: 'built partly from MSD' },
      { dataset: 'Dataset220_KiTS2023', note: 'built partly from KiTS' },
    ],
    aliases: ['atlas', 'abdomenatlas', 'abdomenatlas1.0', 'abdomenatlas1.0mini', 'abdomenatlasmini'],
  },
  {
    name: '3Dircadb1_convert',
    title: '3D-IRCADb-01',
    region: 'abdomen',
    role: { kind: 'test', organs: ['liver'] },
    published: { training: 20, validation: 0 },
    labelMap: null,
    note: 'an external test set, never a host',
    licence: 'CC BY-NC-ND 3.0',
    overlaps: [{ dataset: 'Dataset003_Liver', note: 'its cases are liver_28 to liver_47 of LiTS' }],
    aliases: ['ircad', 'ircadb', '3dircadb', '3dircadb1'],
  },
  {
    name: 'Covid19_20',
    title: 'COVID-19-20: lesions',
    region: 'chest',
    role: { kind: 'labelled', organs: ['lung'] },
    published: { training: 159, validation: 40 },
    labelMap: { '1': 1, '2': 2 },
    note: "Train_lungmask: 1 lung, 2 lesion. The challenge's own Train folder has 1 for the lesion: map 1 to 2 there",
    licence: 'terms of the challenge',
    overlaps: [{ dataset: 'TCIAcovid19', note: 'both use CT Images in COVID-19 of TCIA' }],
    aliases: ['covid19_20', 'covid_19_20', 'covid'],
    layout: { kind: 'flat', folder: 'Train_lungmask', imageEnding: '_ct', labelEnding: '_seg' },
  },
  {
    name: 'TCIAcovid19',
    title: 'CT Images in COVID-19 (TCIA)',
    region: 'chest',
    role: { kind: 'host' },
    published: { training: 722, validation: 0 },
    labelMap: { '1': 1 },
    note: 'id 1 is the lung; the published list calls it "Covid"',
    licence: 'CC BY 4.0',
    overlaps: [{ dataset: 'Covid19_20', note: 'both use CT Images in COVID-19 of TCIA' }],
    aliases: ['tciacovid', 'tciacovid19'],
  },
  {
    name: 'stoic21',
    title: 'STOIC 2021',
    region: 'chest',
    role: { kind: 'host' },
    published: { training: 2000, validation: 0 },
    labelMap: { '1': 1 },
    note: 'id 1 is the lung; the published list calls it "Covid"',
    licence: 'CC BY-NC 4.0',
    overlaps: [],
    aliases: ['stoic', 'stoic2021'],
  },
  {
    name: 'LIDC',
    title: 'LIDC-IDRI',
    region: 'chest',
    role: { kind: 'host' },
    published: { training: 1018, validation: 0 },
    labelMap: { '1': 1 },
    note: 'holds real nodules, which the lung labels do not show',
    licence: 'CC BY 3.0',
    overlaps: [],
    aliases: ['lidc', 'lidc-idri'],
  },
  {
    name: 'MELA',
    title: 'MELA: mediastinal lesions',
    region: 'chest',
    role: { kind: 'host' },
    published: { training: 770, validation: 0 },
    labelMap: { '1': 1 },
    note: 'abdomen labels lie in labelsTr_abdomen; no published loader reads them',
    licence: 'terms of the challenge',
    overlaps: [],
    aliases: ['mela'],
  },
]

/** Return the data set of a name, of the user or of the registry; undefined if neither has it. */
export function findDataset(name: string, own: readonly Dataset[] = []): Dataset | undefined {
  return [...own, ...DATASETS].find((dataset) => dataset.name === name)
}

/** Return the organs whose tumors a label map leads to. */
export function tumorOrgans(labelMap: LabelIdMap, region: Region): OrganName[] {
  const targets = new Set(Object.values(labelMap))
  return LABEL_SCHEMES[region].organs
    .filter((organ) => targets.has(organ.tumorLabel))
    .map((organ) => organ.name)
}

/** Map the ids from 1 to the last to background; spread other ids over it. */
export function background(lastId: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: lastId }, (_, n) => [String(n + 1), 0]))
}
