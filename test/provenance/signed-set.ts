import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { markHash } from '../../src/provenance/compare.js'
import { createKey, signingKey } from '../../src/provenance/keys.js'
import {
  FORMAT,
  type ProvenanceFile,
  type ProvenanceHead,
  writeProvenance,
} from '../../src/provenance/manifest.js'
import { DESCRIPTION, MARKED_KINDS, type Mark } from '../../src/provenance/mark.js'
import { hashFile, readScanFacts } from '../../src/provenance/scan-facts.js'
import { encodeNiftiHeader } from '../../src/volume/nifti-header.js'

export const SETTINGS = 'a'.repeat(64)
const FOLDERS = { image: 'imagesTr', label: 'labelsTr', change: 'changeTr', tumors: 'tumorsTr' }
const SHAPE = [6, 5, 4] as const
const AFFINE = [0.8, 0, 0, -10, 0, 0.8, 0, 5, 0, 0, 2.5, 7, 0, 0, 0, 1]

export interface SignedSet {
  readonly folder: string
  /** Folder of the keys. */
  readonly keys: string
  /** An unmarked scan of the same grid. */
  readonly host: string
}

/** Write a small synthetic data set with marks, in the form of the Python runtime, and sign it. */
export async function makeSignedSet(
  root: string,
  scans = 3,
  ledger = '{"file":"ledger.jsonl"}\n',
): Promise<SignedSet> {
  const set = { folder: join(root, 'synthetic'), keys: join(root, 'keys'), host: join(root, 'host.nii.gz') }
  for (const folder of Object.values(FOLDERS)) await mkdir(join(set.folder, folder), { recursive: true })
  await writeFile(set.host, scanBytes(voxels(100), null))
  await createKey(set.keys)
  const files: ProvenanceFile[] = []
  for (let variant = 0; variant < scans; variant++)
    for (const [at, kind] of MARKED_KINDS.entries())
      files.push(await writeMarked(set.folder, kind, variant, voxels(variant * 4 + at)))
  const documents: ProvenanceHead['documents'][number][] = []
  for (const path of ['dataset.json', 'ledger.jsonl', 'synthesis.json']) {
    await writeFile(join(set.folder, path), path === 'ledger.jsonl' ? ledger : `{"file":"${path}"}\n`)
    documents.push({ path, sha256: (await hashFile(join(set.folder, path))).sha256 })
  }
  const head: ProvenanceHead = {
    format: FORMAT,
    statement: 'synthetic',
    settings: SETTINGS,
    name: 'test',
    versions: { freetumor: '0.1.0' },
    checkpoints: { generator: null, baseline: null },
    reviews: null,
    sources: [{ kind: 'hosts', name: 'Mine', licence: 'CC BY 4.0' }],
    licence: {
      name: 'CC BY 4.0',
      attribution: true,
      nonCommercial: false,
      shareAlike: false,
      otherTerms: [],
      unstated: [],
    },
    documents,
  }
  await writeProvenance(
    join(set.folder, 'provenance.json'),
    head,
    files,
    await signingKey(set.keys, set.folder),
  )
  return set
}

async function writeMarked(
  folder: string,
  kind: Mark['kind'],
  variant: number,
  data: Int16Array,
): Promise<ProvenanceFile> {
  const path = `${FOLDERS[kind]}/case_v00${variant}.nii.gz`
  const mark: Mark = {
    format: 'freetumor mark 1',
    synthetic: true,
    kind,
    verdict: 'accepted',
    variant,
    host: 'b'.repeat(64),
    settings: SETTINGS,
    generator: null,
    voxels: createHash('sha256').update(new Uint8Array(data.buffer)).digest('hex'),
  }
  await writeFile(join(folder, path), scanBytes(data, JSON.stringify(mark)))
  const facts = await readScanFacts(join(folder, path))
  const { sha256, bytes } = await hashFile(join(folder, path))
  return {
    ...{ path, kind, verdict: 'accepted', case: 'case', variant, host: mark.host, seed: 3, tumors: [] },
    ...{ bytes, sha256, voxels: facts.voxels, header: facts.header, mark: markHash(facts.mark!) },
  }
}

function voxels(seed: number): Int16Array {
  return Int16Array.from({ length: 120 }, (_, at) => ((at * 37 + seed * 101) % 400) - 200)
}

/** Return a compressed NIfTI-1 with a comment; without one, it has no description either. */
export function scanBytes(data: Int16Array, comment: string | null): Buffer {
  const header = Buffer.from(encodeNiftiHeader(SHAPE, AFFINE, 'int16'))
  const pixels = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (comment === null) return gzipSync(Buffer.concat([header, pixels]))
  const size = Math.ceil((comment.length + 8) / 16) * 16
  const extension = Buffer.alloc(size)
  extension.writeInt32LE(size, 0)
  extension.writeInt32LE(6, 4)
  extension.write(comment, 8, 'latin1')
  header.write(DESCRIPTION, 148, 'latin1')
  header[348] = 1
  header.writeFloatLE(352 + size, 108)
  return gzipSync(Buffer.concat([header, extension, pixels]))
}
