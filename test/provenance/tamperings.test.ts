import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ALLOWED, TAMPERINGS, type TamperedSet } from '../../scripts/faults/tamperings.mjs'
import { createKey, readKeyring, revokeKey, signingKey } from '../../src/provenance/keys.js'
import { PROVENANCE, type ProvenanceFile, writeProvenance } from '../../src/provenance/manifest.js'
import { openManifest } from '../../src/provenance/read-manifest.js'
import { verifyScans } from '../../src/provenance/verify.js'
import { keptFolder, temporaryFolder } from '../helpers/temporary.js'
import { makeSignedSet, type SignedSet } from './signed-set.js'

const kept = keptFolder()
let original: SignedSet
beforeAll(async () => {
  original = await makeSignedSet(kept)
})

/** Copy the signed set, for one tampering. The same seed picks the same file. */
async function setOf(seed: number): Promise<TamperedSet & SignedSet> {
  const root = temporaryFolder()
  await cp(kept, root, { recursive: true })
  const { host } = original
  const [folder, keys] = [join(root, 'synthetic'), join(root, 'keys')]
  let state = seed * 7919 + 12345
  return {
    folder,
    keys,
    host,
    random: (limit) => {
      state = (state * 48271) % 2147483647
      return state % limit
    },
    revokeKey: async () => revokeKey(keys, (await readKeyring(keys))[0]!.id, 'test'),
    signAsStranger: () => signWithNewKey(folder, join(root, 'stranger')),
  }
}

async function signWithNewKey(folder: string, stranger: string): Promise<void> {
  await createKey(stranger)
  const files: ProvenanceFile[] = []
  const path = join(folder, PROVENANCE)
  await using manifest = await openManifest(path, [])
  for await (const { file } of manifest.entries()) files.push(file)
  await writeProvenance(path, manifest.head, files, await signingKey(stranger, folder))
}

describe('verify', () => {
  it('finds an untouched data set authentic', async () => {
    const { folder, keys } = await setOf(1)
    const { files, counts } = await verifyScans(folder, { keys })
    expect(counts).toEqual({ authentic: 16, altered: 0, unsigned: 0, unmarked: 0 })
    expect(files.map(({ path }) => path)).toContain(join(folder, 'imagesTr/case_v002.nii.gz'))
  })

  for (const { name, where, apply } of TAMPERINGS)
    it.each([1, 2])(`finds a tampering and its place: ${name}, seed %i`, async (seed) => {
      const set = await setOf(seed)
      await apply(set)
      const { files, counts } = await verifyScans(set.folder, { keys: set.keys })
      expect(counts.altered + counts.unsigned + counts.unmarked).toBeGreaterThan(0)
      expect(files.filter(({ state }) => state !== 'authentic').map(({ reason }) => reason)).toEqual(
        expect.arrayContaining([expect.stringMatching(where)]),
      )
    })

  for (const { name, apply } of ALLOWED)
    it(`accepts a change that keeps the content: ${name}`, async () => {
      const set = await setOf(1)
      await apply(set)
      const { files, counts } = await verifyScans(set.folder, { keys: set.keys })
      expect(counts).toEqual({ authentic: 16, altered: 0, unsigned: 0, unmarked: 0 })
      expect(files.filter(({ reason }) => reason.includes('its form differs'))).toHaveLength(1)
    })
})
