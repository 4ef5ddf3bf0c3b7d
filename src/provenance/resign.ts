import { join } from 'node:path'
import { DataError, UsageError } from '../errors.js'
import { keyFolder, readKeyring, signingKey } from './keys.js'
import { PROVENANCE, type ProvenanceFile, writeProvenance } from './manifest.js'
import { openManifest } from './read-manifest.js'
import { verifyScans } from './verify.js'

export interface SignedManifest {
  readonly manifest: string
  readonly key: string
  readonly files: number
}

/**
 * Sign the manifest of a data set with the key of this user, after its files have been verified: one that is not signed, or
 * that a key of the keyring signed.
 * @throws UsageError without a key, or for a manifest of a key that is not trusted; DataError if a file was altered
 */
export async function signDataset(directory: string, folder: string = keyFolder()): Promise<SignedManifest> {
  const path = join(directory, PROVENANCE)
  const { head, files, signer } = await contentOf(path, folder)
  const key = await signingKey(folder, directory)
  if (key === null) throw new UsageError(`${folder}: there is no key`, { hint: 'run `freetumor key create`' })
  if (signer === 'unknown')
    throw new UsageError(`${path}: signed by a key that is not trusted`, {
      hint: 'trust its key first: `freetumor key trust FILE`',
    })
  const { files: verified } = await verifyScans(directory, { keys: folder })
  const bad = verified.find(({ state }) => state === 'altered' || state === 'unmarked')
  if (bad !== undefined)
    throw new DataError(`${bad.path}: ${bad.state} (${bad.reason})`, {
      hint: 'restore the file, or repeat the synthesis',
    })
  await writeProvenance(path, head, files, key)
  return { manifest: path, key: key.id, files: files.length }
}

async function contentOf(path: string, folder: string) {
  await using manifest = await openManifest(path, await readKeyring(folder))
  const files: ProvenanceFile[] = []
  for await (const { file } of manifest.entries()) files.push(file)
  const { head, signer } = manifest
  return { head, files, signer }
}
