import { citationsOf } from '../../curation/datasets/citations.js'
import type { DatasetCardFacts } from './dataset-facts.js'

const CONTEXT = {
  '@language': 'en',
  '@vocab': 'https://schema.org/',
  citeAs: 'cr:citeAs',
  column: 'cr:column',
  conformsTo: 'dct:conformsTo',
  cr: 'http://mlcommons.org/croissant/',
  rai: 'http://mlcommons.org/croissant/RAI/',
  data: { '@id': 'cr:data', '@type': '@json' },
  dataType: { '@id': 'cr:dataType', '@type': '@vocab' },
  dct: 'http://purl.org/dc/terms/',
  equivalentProperty: 'cr:equivalentProperty',
  examples: { '@id': 'cr:examples', '@type': '@json' },
  extract: 'cr:extract',
  field: 'cr:field',
  fileProperty: 'cr:fileProperty',
  fileObject: 'cr:fileObject',
  fileSet: 'cr:fileSet',
  format: 'cr:format',
  includes: 'cr:includes',
  isLiveDataset: 'cr:isLiveDataset',
  jsonPath: 'cr:jsonPath',
  key: 'cr:key',
  md5: 'cr:md5',
  parentField: 'cr:parentField',
  path: 'cr:path',
  recordSet: 'cr:recordSet',
  references: 'cr:references',
  regex: 'cr:regex',
  repeated: 'cr:repeated',
  replace: 'cr:replace',
  samplingRate: 'cr:samplingRate',
  sc: 'https://schema.org/',
  separator: 'cr:separator',
  source: 'cr:source',
  subField: 'cr:subField',
  transform: 'cr:transform',
}

const CC = /^CC BY((?:-NC|-SA)*) (\d\.\d)$/
const FOLDERS = {
  imagesTr: 'CT scans with synthetic tumors',
  labelsTr: 'label maps with the synthetic tumors',
  changeTr: 'masks of the voxels that may differ from the host CT',
  tumorsTr: 'number of each tumor in ledger.jsonl, plus 1',
}
const FIELDS = [
  ['case', 'sc:Text', 'id of the host CT'],
  ['variant', 'sc:Integer', 'number of the synthetic scan of this host'],
  ['tumor', 'sc:Integer', 'number of the tumor in the scan'],
  ['attempt', 'sc:Integer', 'number of the attempt of this tumor'],
  ['organ', 'sc:Text', 'organ that holds the tumor'],
  ['size', 'sc:Text', 'size class of the plan'],
  ['verdict', 'sc:Text', 'accepted, rejected or noRoom'],
  ['reason', 'sc:Text', 'reason of the verdict'],
] as const

/** Return the Croissant 1.0 description of a synthetic data set (https://docs.mlcommons.org/croissant). */
export function croissant(facts: DatasetCardFacts, sha256: Readonly<Record<string, string>>): object {
  const { head, finished } = facts
  const cited = head.sources.flatMap(({ name }) =>
    citationsOf(name).map(({ text, url }) => `${text}. ${url}`),
  )
  const documents = Object.entries(sha256).map(([path, hash]) => ({
    '@type': 'cr:FileObject',
    '@id': path,
    name: path,
    contentUrl: path,
    encodingFormat: path.endsWith('.jsonl') ? 'application/jsonlines' : 'application/json',
    sha256: hash,
  }))
  return {
    '@context': CONTEXT,
    '@type': 'sc:Dataset',
    name: head.name,
    description: head.statement,
    conformsTo: 'http://mlcommons.org/croissant/1.0',
    license: licenceUrl(head.licence.name) ?? 'see provenance.json',
    // a data set without an address is named by its manifest
    url: `urn:sha256:${sha256['provenance.json']}`,
    version: '1.0.0',
    ...(finished === null ? {} : { datePublished: finished }),
    citeAs: cited.length > 0 ? [...new Set(cited)].join(' ') : 'not stated',
    creator: {
      '@type': 'sc:Organization',
      name: `freetumor ${head.versions.freetumor ?? ''}`.trim(),
      url: 'https://www.npmjs.com/package/freetumor',
    },
    distribution: [
      ...documents,
      ...Object.entries(FOLDERS).map(([folder, description]) => ({
        '@type': 'cr:FileSet',
        '@id': folder,
        name: folder,
        description,
        encodingFormat: 'application/gzip',
        includes: `${folder}/*.nii.gz`,
      })),
    ],
    recordSet: [
      {
        '@type': 'cr:RecordSet',
        '@id': 'tumors',
        name: 'tumors',
        description: 'one record per attempt to paint a tumor',
        field: FIELDS.map(([name, dataType, description]) => ({
          '@type': 'cr:Field',
          '@id': `tumors/${name}`,
          name,
          description,
          dataType,
          source: { fileObject: { '@id': 'ledger.jsonl' }, extract: { column: name } },
        })),
      },
    ],
  }
}

function licenceUrl(name: string | null): string | null {
  if (name === 'CC0 1.0') return 'https://creativecommons.org/publicdomain/zero/1.0/'
  const [, parts, version] = CC.exec(name ?? '') ?? []
  return version === undefined
    ? null
    : `https://creativecommons.org/licenses/by${parts!.toLowerCase()}/${version}/`
}
