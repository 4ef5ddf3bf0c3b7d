import { DataError, UsageError } from '../../errors.js'
import { datasetNameOf, type LeftOut } from './file-names.js'
import type { ListedCase, Split } from './lists.js'
import { readSource, sourcesAt } from './sources.js'

export interface ScanOptions {
  /** Split of a data set that has several. */
  readonly split?: Split | 'all' | undefined
  readonly allowOutside?: boolean | undefined
}

export interface Scans {
  /** Cases whose names are unique but for equal files; they can be file names. */
  readonly scans: readonly ListedCase[]
  readonly leftOut: readonly LeftOut[]
  readonly notes: readonly string[]
}

/**
 * Return the scans at a path of any layout (see `sourcesAt`), for commands that need no manifest. With several
 * data sets, the name of a case starts with that of its data set: `Dataset003_Liver__liver_1`.
 * @throws UsageError for a path without a scan, or with several splits and no `split`; DataError as `readSource`
 */
export function scansAt(path: string, options: ScanOptions = {}): Promise<Scans> {
  return asUsage(() => readScans(path, options))
}

/** Return the result; the path of a command without a scan is a wrong use of the command. */
export async function asUsage<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof DataError) || error.facts.reason !== 'noScan') throw error
    const hint = error.commandHint ?? 'correct the path'
    throw new UsageError(error.message, { hint, cause: error })
  }
}

async function readScans(path: string, { split, allowOutside }: ScanOptions): Promise<Scans> {
  const sources = await sourcesAt(path)
  const scans: ListedCase[] = []
  const leftOut: LeftOut[] = []
  const notes: string[] = []
  for (const source of sources) {
    const list = await readSource(source, { allowOutside })
    const hasSplits = source.kind === 'list' || source.kind === 'folders'
    const wanted = hasSplits && split !== 'all' ? ofSplit(list.cases, split, source.path) : list.cases
    const prefix = sources.length > 1 ? `${datasetNameOf(source.path)}__` : ''
    scans.push(...wanted.map((item) => ({ ...item, name: prefix + item.name.replaceAll('/', '__') })))
    leftOut.push(...list.leftOut)
    notes.push(...list.notes)
  }
  return { scans, leftOut, notes }
}

function ofSplit(
  cases: readonly ListedCase[],
  split: Split | undefined,
  path: string,
): readonly ListedCase[] {
  const splits = [...new Set(cases.map((item) => item.split))]
  if (split === undefined && splits.length > 1)
    throw new UsageError(`${path}: several splits (expected one, found ${splits.join(', ')})`, {
      hint: 'select one with --split',
    })
  const wanted = cases.filter((item) => split === undefined || item.split === split)
  if (wanted.length === 0)
    throw new UsageError(`${path}: no case of split ${split} (found ${splits.join(', ') || 'none'})`, {
      hint: 'select another split with --split',
    })
  return wanted
}
