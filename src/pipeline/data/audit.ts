import { join, resolve } from 'node:path'
import { DEFAULT_CACHE } from '../../config/defaults.js'
import type { AuditReport } from '../../curation/audit/run.js'
import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { auditNotes, fingerprintAll, runAudit, withoutRepeats } from '../prepare/audit.js'
import {
  lockUnsharded,
  refuseOtherCases,
  type ShardContext,
  type WholeShards,
  workOnShard,
} from '../shards.js'
import { defaultWorkers, withoutFolder } from './check.js'
import { casesAt, decidingSources, noteNotTaken, type SourceOptions, type WorkOptions } from './collect.js'

export interface AuditDataOptions extends SourceOptions, WorkOptions {
  /** Folder for `audit.json` and `audit.html`. Default: neither is written. */
  readonly out?: string | undefined
  /** Folder of fingerprints and of the result for the leak check. Default: that of the configuration, else `.freetumor/cache`. */
  readonly cache?: string | undefined
  /** Largest number of pairs with pictures on the page. Default: 40. */
  readonly pictures?: number | undefined
  readonly onCompared?: ((done: number, total: number) => void) | undefined
  /** Compute the fingerprints of one shard only; needs `out`. The merge compares all cases. */
  readonly shard?: Shard | undefined
}

/** Report of an audit, and whether it covers every scan at the paths. */
export interface DataAudit extends AuditReport {
  /** False if a scan at the paths was not taken, and for a shard, which compares nothing. */
  readonly complete: boolean
}

/**
 * Find copies of one scan, patients in two folds and known overlaps among the cases at paths.
 * @throws DataError for a path without a scan
 */
export async function auditDataAt(
  paths: readonly string[],
  options: AuditDataOptions,
  context: ShardContext,
): Promise<DataAudit> {
  const { out, cache, workers = defaultWorkers(), signal, onCase, shard, ...rest } = options
  const { onCompared, pictures = 40, ...sources } = rest
  const { cwd = process.cwd(), onNote } = sources
  const folder = out === undefined ? null : resolve(cwd, out)
  if (shard !== undefined && folder === null) throw withoutFolder('data audit')
  const found = await casesAt(paths, sources)
  const complete = noteNotTaken(found, onNote)
  const { cases, own, config } = found
  const threads = {
    cache: resolve(cwd, cache ?? config?.prepare.cache ?? DEFAULT_CACHE),
    workers,
    signal,
    onCase,
  }
  if (shard === undefined) {
    await using _lock = folder === null ? null : await lockUnsharded(folder, context)
    const report = await runAudit(cases, { ...threads, own, out: folder, pictures, onCompared })
    return concluded(report, complete, out, onNote)
  }
  const all = withoutRepeats(cases)
  const mine = casesOfShard(all, shard)
  const sharded = {
    command: 'data audit',
    directory: folder!,
    shard,
    settings: { ...decidingSources(paths, sources), cache: threads.cache, pictures } satisfies AuditSettings,
    ids: all.map(({ id }) => id),
    cases: mine.map(({ id }) => id),
  } as const
  return await workOnShard(sharded, context, async () => {
    const answers = await fingerprintAll(mine, threads)
    const unreadable = mine.flatMap(({ id }, at) => {
      const answer = answers[at]!
      return 'problem' in answer ? [{ case: id, message: answer.problem }] : []
    })
    // one shard alone finds no pair of two shards, so it never states that there is no leak
    const nothing = { ok: false, complete: false, pairs: [], sharedSources: [], compared: 0 }
    return { part: null, result: { ...nothing, numCases: mine.length, unreadable } }
  })
}

/** Settings of a sharded audit that its merge needs. */
interface AuditSettings extends ReturnType<typeof decidingSources> {
  readonly cache: string
  readonly pictures: number
}

/**
 * Compare the cases of all shards, whose fingerprints are cached.
 * @throws DataError if the data sets have changed since
 */
export async function mergeAudit(
  out: string,
  shards: WholeShards<AuditSettings, null>,
  { signal, onNote, onCompared }: Pick<AuditDataOptions, 'signal' | 'onNote' | 'onCompared'>,
): Promise<DataAudit> {
  const { paths, cache, pictures, ...sources } = shards.plan.settings
  const found = await casesAt(paths, sources)
  const ids = withoutRepeats(found.cases).map(({ id }) => id)
  refuseOtherCases(out, shards, ids)
  const complete = noteNotTaken(found, onNote)
  const work = { cache, workers: defaultWorkers(), signal, own: found.own, out, pictures, onCompared }
  return concluded(await runAudit(found.cases, work), complete, out, onNote)
}

function concluded(
  report: AuditReport,
  complete: boolean,
  out: string | undefined,
  onNote: AuditDataOptions['onNote'],
): DataAudit {
  for (const note of auditNotes(report)) onNote?.(note, 'warning')
  if (out !== undefined) onNote?.(`pictures: ${join(out, 'audit.html')}`, 'info')
  return { ...report, complete }
}
