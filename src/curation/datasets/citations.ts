/** Citation of a data set: its article, its record in an archive, or its page if it has no DOI. */
export interface Citation {
  readonly text: string
  readonly url: string
}

/** Citations of the registered data sets, by name. The publishers ask for them. */
const CITATIONS: Readonly<Record<string, readonly Citation[]>> = {
  Dataset003_Liver: [
    cited(
      'P. Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image Analysis, 2023',
      '10.1016/j.media.2022.102680',
    ),
    decathlon(),
  ],
  Dataset007_Pancreas: [decathlon()],
  Dataset009_Spleen: [decathlon()],
  Dataset010_Colon: [decathlon()],
  Dataset220_KiTS2023: [cited('N. Heller et al., The KiTS21 Challenge, 2023', '10.48550/arXiv.2307.01984')],
  BTCV: [
    cited(
      'B. Landman et al., Multi-Atlas Labeling Beyond the Cranial Vault, Synapse, 2015',
      '10.7303/syn3193805',
    ),
  ],
  Flare22: [
    cited(
      'J. Ma et al., Unleashing the strengths of unlabelled data in deep learning-assisted pan-cancer abdominal organ quantification: the FLARE22 challenge, The Lancet Digital Health, 2024',
      '10.1016/S2589-7500(24)00154-7',
    ),
  ],
  Flare23: [
    cited(
      'J. Ma et al., Automatic Organ and Pan-cancer Segmentation in Abdomen CT: the FLARE 2023 Challenge, 2024',
      '10.48550/arXiv.2408.12534',
    ),
  ],
  PANORAMA: [
    cited(
      'N. Alves et al., Artificial intelligence and radiologists in pancreatic cancer detection using standard of care CT scans (PANORAMA), The Lancet Oncology, 2025',
      '10.1016/S1470-2045(25)00567-4',
    ),
  ],
  Amos2022: [
    cited(
      'Y. Ji et al., AMOS: A Large-Scale Abdominal Multi-Organ Benchmark, NeurIPS, 2022',
      '10.48550/arXiv.2206.08023',
    ),
  ],
  WORD: [
    cited(
      'X. Luo et al., WORD: A large scale dataset for abdominal organ segmentation, Medical Image Analysis, 2022',
      '10.1016/j.media.2022.102642',
    ),
  ],
  'AbdomenCT-1K': [
    cited(
      'J. Ma et al., AbdomenCT-1K: Is Abdominal Organ Segmentation A Solved Problem?, IEEE TPAMI, 2022',
      '10.1109/TPAMI.2021.3100536',
    ),
  ],
  CHAOS: [
    cited('A. E. Kavur et al., CHAOS Challenge, Medical Image Analysis, 2021', '10.1016/j.media.2020.101950'),
  ],
  'Dataset082_TCIA_Pancreas-CT': [
    cited(
      'H. Roth et al., Data From Pancreas-CT, The Cancer Imaging Archive, 2016',
      '10.7937/K9/TCIA.2016.tNB1kqBU',
    ),
  ],
  'Dataset224_AbdomenAtlas1.0': [
    cited('C. Qu et al., AbdomenAtlas-8K, NeurIPS, 2023', '10.48550/arXiv.2305.09666'),
  ],
  Covid19_20: [
    cited(
      'H. Roth et al., Rapid artificial intelligence solutions in a pandemic: COVID-19-20, Medical Image Analysis, 2022',
      '10.1016/j.media.2022.102605',
    ),
  ],
  TCIAcovid19: [
    cited(
      'P. An et al., CT Images in COVID-19, The Cancer Imaging Archive, 2020',
      '10.7937/TCIA.2020.GQRY-NC81',
    ),
  ],
  stoic21: [
    cited(
      'M.-P. Revel et al., Study of Thoracic CT in COVID-19: The STOIC Project, Radiology, 2021',
      '10.1148/radiol.2021210384',
    ),
  ],
  LIDC: [
    cited(
      'S. G. Armato III et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015',
      '10.7937/K9/TCIA.2015.LO9QL9SX',
    ),
  ],
  MELA: [
    {
      text: 'Mediastinal Lesion Analysis (MELA), challenge of MICCAI 2022',
      url: 'https://mela.grand-challenge.org/',
    },
  ],
  '3Dircadb1_convert': [
    {
      text: 'L. Soler et al., 3D image reconstruction for comparison of algorithm database: a patient-specific anatomical and medical image database, technical report, IRCAD, Strasbourg, 2010',
      url: 'https://www.ircad.fr/research/data-sets/liver-segmentation-3d-ircadb-01/',
    },
  ],
}

/** Return the citations of a data set; none if the registry has none. */
export function citationsOf(name: string): readonly Citation[] {
  return Object.hasOwn(CITATIONS, name) ? CITATIONS[name]! : []
}

function decathlon(): Citation {
  return cited(
    'M. Antonelli et al., The Medical Segmentation Decathlon, Nature Communications, 2022',
    '10.1038/s41467-022-30695-9',
  )
}

function cited(text: string, doi: string): Citation {
  return { text, url: `https://doi.org/${doi}` }
}
