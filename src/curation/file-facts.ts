import { DataError } from '../errors.js'
import { openJsonLog, readJsonLog } from '../jsonl.js'
import { type FileEnds, probeNifti } from '../volume/nifti-probe.js'
import { forEachCase, type ThreadOptions } from './case-threads.js'
import type { ManifestCase } from './datasets/manifest.js'
import type { RefusedCase } from './datasets/merged-labels.js'
import type { MeasuredFiles } from './measure-case.js'

export interface CasesWithFacts {
  readonly cases: readonly ManifestCase[]
  /** Cases that cannot be read or measured; `cases` lacks them. */
  readonly refused: readonly RefusedCase[]
}

/** Number of parallel reads; disks and networks serve several at a time. */
const OPEN_FILES = 16

/**
 * Add facts from headers and ends of files: geometry, sizes, digests. A case with an unreadable file is refused.
 */
export async function withFileFacts(cases: readonly ManifestCase[]): Promise<CasesWithFacts> {
  const found: (ManifestCase | RefusedCase)[] = [...cases]
  let next = 0
  const work = async () => {
    for (let at = next++; at < cases.length; at = next++) {
      const item = cases[at]!
      try {
        found[at] = await probed(item)
      } catch (error) {
        if (!(error instanceof DataError)) throw error
        found[at] = { id: item.id, error }
      }
    }
  }
  await Promise.all(Array.from({ length: OPEN_FILES }, work))
  return divided(found)
}

/** Measures of one case in a journal, with the facts and the map that they belong to. */
interface JournalLine {
  readonly key: string
  readonly measured: MeasuredFiles
}

/**
 * Add facts from whole files: volumes of the classes of each label, SHA-256 of the files, hash of the voxels.
 * A case that cannot be measured is refused.
 * @param journal file that keeps the measures of an interrupted call; the next call reuses those of unchanged
 * files. Default: none
 */
export async function withMeasures(
  { cases, refused }: CasesWithFacts,
  threads: ThreadOptions,
  journal: string | null = null,
): Promise<CasesWithFacts> {
  const known = journal === null ? new Map<string, MeasuredFiles>() : await readJournal(journal)
  const waiting = cases.filter((item) => !known.has(keyOf(item)))
  {
    await using log = journal === null ? null : await openJsonLog<JournalLine>(journal)
    await forEachCase(waiting, { name: 'measure', options: null }, threads, async (item, measured) => {
      known.set(keyOf(item), measured)
      log?.write({ key: keyOf(item), measured })
      await log?.flush()
    })
  }
  const found = divided(cases.map((item) => withMeasured(item, known.get(keyOf(item))!)))
  return { cases: found.cases, refused: [...refused, ...found.refused] }
}

function withMeasured(item: ManifestCase, measured: MeasuredFiles): ManifestCase | RefusedCase {
  const { labelMl, digests, fingerprint, problem, hint } = measured
  if (problem !== null) return { id: item.id, error: new DataError(problem, hint ? { hint } : {}) }
  const { image, label } = item.files!
  const files = {
    image: { ...image, digest: digests.image },
    label: label && { ...label, digest: digests.label! },
  }
  return { ...item, files, ...(labelMl && { labelMl }), ...(fingerprint && { fingerprint }) }
}

function divided(found: readonly (ManifestCase | RefusedCase)[]): CasesWithFacts {
  return {
    cases: found.filter((one): one is ManifestCase => !('error' in one)),
    refused: found.filter((one) => 'error' in one),
  }
}

async function readJournal(journal: string): Promise<Map<string, MeasuredFiles>> {
  const found = new Map<string, MeasuredFiles>()
  try {
    for await (const { key, measured } of readJsonLog<JournalLine>(journal)) found.set(key, measured)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return found
}

/** Return what the measures of a case depend on; a changed file has another digest. */
function keyOf({ id, image, label, labelMap, region, files }: ManifestCase): string {
  return JSON.stringify({ id, image, label, labelMap, region, files })
}

async function probed(item: ManifestCase): Promise<ManifestCase> {
  const { header, ...image } = await probeNifti(item.image)
  const label = item.label === null ? null : await fileFacts(item.label)
  const { shape, spacingMm, affine, dataType } = header
  return { ...item, geometry: { shape, spacingMm, affine, dataType }, files: { image, label } }
}

async function fileFacts(file: string): Promise<Pick<FileEnds, 'bytes' | 'digest'>> {
  const { bytes, digest } = await probeNifti(file)
  return { bytes, digest }
}
