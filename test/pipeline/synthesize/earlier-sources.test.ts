import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { withEarlierSources } from '../../../src/pipeline/synthesize/earlier-sources.js'
import type { LicensedSource } from '../../../src/provenance/licence.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { makeSignedSet } from '../../provenance/signed-set.js'

const UNSTATED: LicensedSource = { kind: 'hosts', name: 'hosts', licence: null }
const EARLIER: LicensedSource = { kind: 'hosts', name: 'Mine', licence: 'CC BY 4.0' }

/** Return the sources of a synthesis into these images, and its notes. */
async function sourcesOf(own: LicensedSource, images: readonly string[]) {
  const notes: string[] = []
  const hosts = images.map((image) => ({ dataset: 'hosts', image }))
  const sources = await withEarlierSources([own], hosts, { note: (text) => notes.push(text) })
  return { sources, notes }
}

describe('hosts that are synthetic scans', () => {
  it('have the licence of their data set, and its sources follow', async () => {
    const { folder } = await makeSignedSet(temporaryFolder(), 1)
    const { sources, notes } = await sourcesOf(UNSTATED, [join(folder, 'imagesTr/a.nii.gz')])
    expect(sources).toEqual([{ ...UNSTATED, licence: 'CC BY 4.0' }, EARLIER])
    expect(notes).toEqual([])
  })

  it('keep the licence that the user states, with the earlier sources', async () => {
    const { folder } = await makeSignedSet(temporaryFolder(), 1)
    const stated = { ...UNSTATED, licence: 'CC0 1.0' }
    const { sources } = await sourcesOf(stated, [join(folder, 'imagesTr/a.nii.gz')])
    expect(sources).toEqual([stated, EARLIER])
  })

  it('leave the licence open if other hosts have none', async () => {
    const root = temporaryFolder()
    const { folder, host } = await makeSignedSet(root, 1)
    const { sources } = await sourcesOf(UNSTATED, [join(folder, 'imagesTr/a.nii.gz'), host])
    expect(sources).toEqual([UNSTATED, EARLIER])
  })

  it('warn of a damaged manifest', async () => {
    const folder = temporaryFolder()
    await writeFile(join(folder, 'provenance.json'), '{}')
    const { sources, notes } = await sourcesOf(UNSTATED, [join(folder, 'imagesTr/a.nii.gz')])
    expect(sources).toEqual([UNSTATED])
    expect(notes).toEqual([expect.stringContaining('the licences of its sources are not taken over')])
  })
})
