import { DataError } from '../errors.js'
import { openJsonLog, readJsonLog } from '../jsonl.js'
import { type FileEnds, probeNifti } from '../volume/nifti-probe.js'
import { forEachCase, type ThreadOptions } from './case-threads.js'
import type { ManifestCase } from './datasets/manifest.js'
import type { MeasuredFiles } from './measure-case.js'

/** Unreadable files per data set. */
export interface UnreadableFiles {
  readonly dataset: string
  readonly count: number
  readonly example: string
}

export interface CasesWithFacts {
  readonly cases: readonly ManifestCase[]
  readonly unreadable: readonly UnreadableFiles[]
}

/** Number of parallel reads; disks and networks serve several at a time. */
const OPEN_FILES = 16

/**
 * Add facts from headers and ends of files: geometry, sizes, digests. Cases with unreadable files are
 * returned without facts.
 */
export async function withFileFacts(cases: readonly ManifestCase[]): Promise<CasesWithFacts> {
  const found: ManifestCase[] = [...cases]
  const problems: Problem[] = []
  let next = 0
  const work = async () => {
    for (let at = next++; at < cases.length; at = next++) {
      const item = cases[at]!
      try {
        found[at] = await probed(item)
      } catch (error) {
        if (!(error instanceof DataError)) throw error
        problems.push({ dataset: item.dataset, at, message: error.message })
      }
    }
  }
  await Promise.all(Array.from({ length: OPEN_FILES }, work))
  return { cases: found, unreadable: byDataset(problems) }
}

/** Measures of one case in a journal, with the facts and the map that they belong to. */
interface JournalLine {
  readonly key: string
  readonly measured: MeasuredFiles
}

/**
 * Add facts from whole files: volumes of the classes of each label, SHA-256 of the files, hash of the voxels.
 * @param journal file that keeps the measures of an interrupted call; the next call reuses those of unchanged
 * files. Default: none
 */
export async function withMeasures(
  { cases, unreadable }: CasesWithFacts,
  threads: ThreadOptions,
  journal: string | null = null,
): Promise<CasesWithFacts> {
  const readable = cases.filter(({ files }) => files)
  const earlier = journal === null ? new Map<string, MeasuredFiles>() : await readJournal(journal)
  const waiting = readable.filter((item) => !earlier.has(keyOf(item)))
  {
    await using log = journal === null ? null : await openJsonLog<JournalLine>(journal)
    await forEachCase(waiting, { name: 'measure', options: null }, threads, async (item, measured) => {
      earlier.set(keyOf(item), measured)
      log?.write({ key: keyOf(item), measured })
      await log?.flush()
    })
  }
  const measures = readable.map((item) => earlier.get(keyOf(item))!)
  const problems: Problem[] = []
  const measured = new Map(
    readable.map((item, at) => {
      const { labelMl, digests, fingerprint, problem } = measures[at]!
      if (problem !== null) problems.push({ dataset: item.dataset, at, message: problem })
      const { image, label } = item.files!
      const files = {
        image: { ...image, digest: digests.image },
        label: label && { ...label, digest: digests.label! },
      }
      return [
        item.id,
        { ...item, files, ...(labelMl && { labelMl }), ...(fingerprint && { fingerprint }) },
      ] as const
    }),
  )
  return {
    cases: cases.map((item) => measured.get(item.id) ?? item),
    unreadable: [...unreadable, ...byDataset(problems)],
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

interface Problem {
  readonly dataset: string
  readonly at: number
  readonly message: string
}

function byDataset(problems: readonly Problem[]): UnreadableFiles[] {
  const groups = new Map<string, Problem[]>()
  for (const problem of problems.toSorted((a, b) => a.at - b.at)) {
    const group = groups.get(problem.dataset)
    if (group) group.push(problem)
    else groups.set(problem.dataset, [problem])
  }
  return [...groups].map(([dataset, group]) => ({ dataset, count: group.length, example: group[0]!.message }))
}
