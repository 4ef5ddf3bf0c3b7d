import { describe, expect, it } from 'vitest'
import { DATASETS } from '../../src/curation/datasets/registry.js'
import { forbiddenSources, type LicensedSource, resultLicence } from '../../src/provenance/licence.js'

const hosts = (...licences: (string | null)[]): LicensedSource[] =>
  licences.map((licence, at) => ({ kind: 'hosts', name: `set-${at}`, licence }))

describe('the licence of the result', () => {
  it.each([
    [['CC BY 4.0'], 'CC BY 4.0'],
    [['CC0 1.0'], 'CC0 1.0'],
    [['phantoms, no patient'], 'CC0 1.0'],
    [['CC BY 3.0', 'CC BY-SA 4.0'], 'CC BY-SA 4.0'],
    [['CC BY-SA 4.0', 'CC-BY-NC-4.0'], 'CC BY-NC-SA 4.0'],
    [['CC BY 4.0', 'Apache-2.0'], 'CC BY 4.0'],
    [['CC BY 4.0 or CC BY-NC-SA 4.0: its publications differ'], 'CC BY-NC-SA 4.0'],
    [['CC BY 4.0', 'terms of the challenge'], null],
    [['CC BY 4.0', null], null],
    [[], null],
  ])('of %j is %s', (licences, name) => {
    expect(resultLicence(hosts(...licences)).name).toBe(name)
  })

  it('lists the terms that have no name, and the sources that state none', () => {
    expect(resultLicence(hosts('terms of the challenge', null, 'CC BY-NC 4.0'))).toEqual({
      name: null,
      attribution: true,
      nonCommercial: true,
      shareAlike: false,
      otherTerms: ['terms of the challenge'],
      unstated: ['set-1'],
    })
  })
})

it('the registered data sets that forbid derivatives are LiTS and 3D-IRCADb', () => {
  const sources = DATASETS.map(({ name, licence }) => ({ kind: 'hosts', name, licence }) as const)
  expect(forbiddenSources(sources).map(({ name }) => name)).toEqual(['Dataset003_Liver', '3Dircadb1_convert'])
})
