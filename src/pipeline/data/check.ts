import { join, resolve } from 'node:path'
import type { Finding } from '../../curation/check/finding.js'
import {
  type CheckReport,
  checkCases,
  checkEachCase,
  checkList,
  checkReport,
} from '../../curation/check/run.js'
import { casesOfShard, inWholeOrder, type Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { usableProcessors } from '../../usable-processors.js'
import { makeWritableFolder, writeWhole } from '../../whole-file.js'
import {
  lockUnsharded,
  refuseOtherCases,
  type ShardContext,
  type WholeShards,
  workOnShard,
} from '../shards.js'
import { casesAt, decidingSources, type SourceOptions, type WorkOptions } from './collect.js'

export interface CheckDataOptions extends SourceOptions, WorkOptions {
  /** Largest decoded size of a file in bytes. Default: the limit of the reader. */
  readonly maxBytes?: number | undefined
  /** Folder for `findings.json`. Default: it is not written. */
  readonly out?: string | undefined
  /** Check the cases of one shard only, and the list as a whole; needs `out`. */
  readonly shard?: Shard | undefined
}

/**
 * Check every voxel of every case at paths: data sets of any layout, lists, manifests, configurations or scans.
 * @returns findings with rule, severity, cause and remedy
 * @throws DataError for a path without a scan
 */
export async function checkDataAt(
  paths: readonly string[],
  { maxBytes, workers = defaultWorkers(), signal, onCase, out, shard, ...sources }: CheckDataOptions,
  context: ShardContext,
): Promise<CheckReport> {
  const { cwd = process.cwd() } = sources
  const folder = out === undefined ? null : resolve(cwd, out)
  if (shard !== undefined && folder === null) throw withoutFolder('data check')
  const { cases, missing, refused, leftOut, notes, config } = await casesAt(paths, sources)
  for (const note of notes) sources.onNote?.(note, 'info')
  const prepared = config && {
    spacingMm: config.prepare.spacingMm,
    lowerHu: config.prepare.windowHu[0],
    patchVoxels: config.sampling.patchVoxels,
  }
  const files = { prepared, refused, leftOut, maxBytes: maxBytes ?? null }
  const options = { ...files, workers, signal, onCase }
  if (folder !== null) await makeWritableFolder(folder)
  if (shard === undefined) {
    await using _lock = folder === null ? null : await lockUnsharded(folder, context)
    const report = await checkCases(cases, missing, options)
    if (folder !== null) await writeFindings(folder, report)
    return report
  }
  const mine = casesOfShard(cases, shard)
  const sharded = {
    command: 'data check',
    directory: folder!,
    shard,
    settings: { ...decidingSources(paths, sources), prepared, maxBytes: maxBytes ?? null },
    ids: cases.map(({ id }) => id),
    cases: mine.map(({ id }) => id),
    inputs: mine.flatMap(({ image, label }) => (label === null ? [image] : [image, label])),
  } as const
  return await workOnShard(sharded, context, async () => {
    const listed = checkList(cases, missing, files)
    const byCase = await checkEachCase(mine, options)
    const part: CheckPart = { listed, byCase }
    return { part, result: checkReport(mine.length, listed, byCase) }
  })
}

/** Results of a shard for the merge: findings about the whole list, and those of each of its cases. */
interface CheckPart {
  readonly listed: readonly Finding[]
  readonly byCase: readonly (readonly Finding[])[]
}

/**
 * Write and return the report of all shards together.
 * @throws DataError if the data sets have changed since
 */
export async function mergeCheck(
  folder: string,
  shards: WholeShards<ReturnType<typeof decidingSources>, CheckPart>,
): Promise<CheckReport> {
  const { paths, ...sources } = shards.plan.settings
  const { cases } = await casesAt(paths, sources)
  refuseOtherCases(
    folder,
    shards,
    cases.map(({ id }) => id),
  )
  const parts = shards.records.map(({ part }) => part)
  const byCase = inWholeOrder(parts.map((part) => part.byCase))
  const report = checkReport(byCase.length, parts[0]!.listed, byCase)
  await writeFindings(folder, report)
  return report
}

async function writeFindings(folder: string, report: CheckReport): Promise<void> {
  await writeWhole(join(folder, 'findings.json'), `${JSON.stringify(report, null, 2)}\n`)
}

/** Return the error of a shard that has no folder for its record. */
export function withoutFolder(command: string): UsageError {
  return new UsageError(`${command} --shard: no folder for the record of the shard (expected --out)`, {
    hint: 'pass --out DIR, the same for every shard',
  })
}

/** Return the default number of threads that read cases. */
export function defaultWorkers(): number {
  return Math.min(8, usableProcessors().processors)
}
