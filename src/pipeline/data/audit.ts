import { join, resolve } from 'node:path'
import { DEFAULT_CACHE } from '../../config/defaults.js'
import type { AuditReport } from '../../curation/audit/run.js'
import { auditNotes, runAudit } from '../prepare/audit.js'
import { defaultWorkers } from './check.js'
import { casesAt, noteNotTaken, type SourceOptions, type WorkOptions } from './collect.js'

export interface AuditDataOptions extends SourceOptions, WorkOptions {
  /** Folder for `audit.json` and `audit.html`. Default: neither is written. */
  readonly out?: string | undefined
  /** Folder of fingerprints and of the result for the leak check. Default: that of the configuration, else `.freetumor/cache`. */
  readonly cache?: string | undefined
  /** Largest number of pairs with pictures on the page. Default: 40. */
  readonly pictures?: number | undefined
  readonly onCompared?: ((done: number, total: number) => void) | undefined
}

/** Report of an audit, and whether it covers every scan at the paths. */
export interface DataAudit extends AuditReport {
  /** False if a scan at the paths was not taken. */
  readonly complete: boolean
}

/**
 * Find copies of one scan, patients in two folds and known overlaps among the cases at paths.
 * @throws DataError for a path without a scan
 */
export async function auditData(
  paths: readonly string[],
  {
    out,
    cache,
    pictures = 40,
    workers = defaultWorkers(),
    signal,
    onCase,
    onCompared,
    ...sources
  }: AuditDataOptions = {},
): Promise<DataAudit> {
  const { cwd = process.cwd(), onNote } = sources
  const found = await casesAt(paths, sources)
  const complete = noteNotTaken(found, onNote)
  const { cases, own, config } = found
  const report = await runAudit(cases, {
    own,
    cache: resolve(cwd, cache ?? config?.prepare.cache ?? DEFAULT_CACHE),
    out: out === undefined ? null : resolve(cwd, out),
    pictures,
    workers,
    signal,
    onCase,
    onCompared,
  })
  for (const note of auditNotes(report)) onNote?.(note, 'warning')
  if (out !== undefined) onNote?.(`pictures: ${join(out, 'audit.html')}`, 'info')
  return { ...report, complete }
}
