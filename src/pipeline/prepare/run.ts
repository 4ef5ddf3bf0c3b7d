import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { cacheName, refuseSameFile } from '../../curation/case-file-names.js'
import { curate, curationWarnings } from '../../curation/datasets/curate.js'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { ignoredNote } from '../../curation/datasets/region-ids.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { DataError } from '../../errors.js'
import { ensurePhantoms } from '../../phantom/dataset.js'
import { counted } from '../../plain-text.js'
import type { StageContext } from '../context.js'
import type { PreparedCase } from '../ports/cases.js'
import type { CaseError } from '../ports/common.js'
import { byCase, lockUnsharded, type WholeShards, workOnShard } from '../shards.js'
import { applyReviews, type ReviewedCuration, type ReviewSettings, type TrainingReviews } from './reviews.js'
import type { DataSettings, PrepareSettings } from './settings.js'
import { cacheDirectory, cacheIdOf, prepareSpec } from './spec.js'

/** A prepared case with its part in a training. */
export interface TrainingCase {
  readonly id: string
  readonly path: string
  readonly kind: 'labelled' | 'host'
  readonly repeat: number
  readonly heldOut: boolean
  /** SHA-256 of its prepared voxels. */
  readonly content: string
}

export interface PrepareReport {
  readonly cases: readonly TrainingCase[]
  readonly directory: string
  readonly prepared: number
  readonly reused: number
  readonly bytes: number
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
  /** Use of the decisions of reviewers; null without `quality.reviews`. */
  readonly reviews: TrainingReviews | null
}

/** A case of a manifest, with its number of visits per epoch. Default: 1. */
export type CaseToPrepare = Omit<ManifestCase, 'labelMap'> & {
  readonly labelMap: LabelIdMap
  readonly repeat?: number
  /** Name of the case in the cache. Default: its id. */
  readonly cacheId?: string
}

export type CaseProgress = (
  done: number,
  total: number,
  caseId: string,
  result: PreparedCase | CaseError,
) => void

/**
 * Curate the data of a configuration and prepare every case in the cache.
 * @throws DataError if a case cannot be prepared: a study must not lose cases silently
 */
export async function prepareData(
  settings: PrepareSettings & DataSettings & ReviewSettings,
  context: StageContext,
  curation?: ReviewedCuration,
): Promise<readonly TrainingCase[]> {
  const { cases } = curation ?? (await curateData(settings, context))
  const report = await prepareListed(settings, casesToPrepare(cases), context)
  const first = report.failed[0]
  if (first)
    throw new DataError(
      `${report.failed.length} of ${counted(report.cases.length + report.failed.length, 'case')} cannot be prepared; first ${first.caseId}: ${first.error.message}`,
      { hint: first.error.hint || 'correct the file, or remove the case from its list' },
    )
  if (report.prepared > 0)
    context.note(
      `prepared ${counted(report.prepared, 'case')} (${report.reused} reused) in ${report.directory}`,
    )
  return report.cases
}

/**
 * Return the cases of a configuration, with its reviews applied; create its phantoms, and note missing files and ignored
 * label ids.
 */
export async function curateData(
  { region, data, ...settings }: DataSettings & ReviewSettings,
  context: StageContext,
): Promise<ReviewedCuration> {
  if (data.phantoms && (await ensurePhantoms(data.root, region, data.phantoms)))
    context.note(`made phantom CTs in ${data.root}`)
  const curation = await curate(data, region)
  for (const text of curationWarnings(curation)) context.note(text, 'warning')
  for (const text of curation.notes) context.note(text)
  const reviewed = await applyReviews(settings, curation, context)
  noteIgnored(curation.cases, context)
  return reviewed
}

/** Note the label ids of each data set whose voxels are ignored. */
export function noteIgnored(cases: readonly CaseToPrepare[], context: StageContext): void {
  const maps = new Map(cases.map(({ dataset, labelMap }) => [dataset, labelMap]))
  for (const [dataset, labelMap] of maps) {
    const ignored = ignoredNote(dataset, labelMap)
    if (ignored !== null) context.note(ignored)
  }
}

/** Prepare the cases of a configuration in the cache; verify the cached ones. Every failure is in the report. */
export async function prepareCases(
  settings: PrepareSettings & DataSettings & ReviewSettings,
  context: StageContext,
  { onProgress, shard }: { readonly onProgress?: CaseProgress; readonly shard?: Shard | undefined } = {},
): Promise<PrepareReport> {
  const { cases, reviews } = await curateData(settings, context)
  const curated = { cases: casesToPrepare(cases), reviews }
  return await prepareCurated(settings, curated, context, { onProgress, shard })
}

/**
 * Prepare curated cases, or one shard of them, and verify the cached ones.
 * @param cases all cases, also for a shard
 * @throws DataError if two cases would share a file of the cache; UsageError if another process works on the shard
 */
export async function prepareCurated(
  settings: PrepareSettings & DataSettings & ReviewSettings,
  { cases, reviews }: { readonly cases: readonly CaseToPrepare[] } & Pick<PrepareReport, 'reviews'>,
  context: StageContext,
  {
    onProgress,
    shard,
  }: { readonly onProgress?: CaseProgress | undefined; readonly shard?: Shard | undefined },
): Promise<PrepareReport> {
  const ids = cases.map(cacheIdOf)
  refuseSameFile(ids, cacheName)
  const directory = preparationDirectory(settings)
  if (shard === undefined) {
    await using _lock = await lockUnsharded(directory, context)
    return { ...(await prepareListed(settings, cases, context, onProgress, true)), reviews }
  }
  const mine = casesOfShard(cases, shard)
  const work = {
    command: 'prepare',
    directory,
    shard,
    settings: { cache: cacheDirectory(settings) },
    ids,
    cases: mine.map(({ id }) => id),
  } as const
  return await workOnShard(work, context, async () => {
    const result = { ...(await prepareListed(settings, mine, context, onProgress, true)), reviews }
    return { part: result, result }
  })
}

/** Start of the names of folders with the shards of a preparation, in `prepare.cache`. */
export const PREPARATION = 'prepare-'

/** Return the folder for the shards of a preparation: one for each set of cases and deciding settings. */
export function preparationDirectory(settings: PrepareSettings & DataSettings & ReviewSettings): string {
  const data = { ...settings.data, root: resolve(settings.data.root) }
  const text = JSON.stringify({ cache: cacheDirectory(settings), data, reviews: settings.quality.reviews })
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
  return join(resolve(settings.prepare.cache), `${PREPARATION}${hash}`)
}

/** Return the report of all shards together: that of an unsharded preparation. */
export function mergePreparation(
  shards: WholeShards<{ readonly cache: string }, PrepareReport>,
): PrepareReport {
  const parts = shards.records.map(({ part }) => part)
  const sum = (key: 'prepared' | 'reused' | 'bytes'): number =>
    parts.reduce((total, part) => total + part[key], 0)
  return {
    cases: byCase(
      shards,
      parts.flatMap(({ cases }) => cases),
      ({ id }) => id,
    ),
    directory: shards.plan.settings.cache,
    prepared: sum('prepared'),
    reused: sum('reused'),
    bytes: sum('bytes'),
    failed: byCase(
      shards,
      parts.flatMap(({ failed }) => failed),
      ({ caseId }) => caseId,
    ),
    // every shard sees all reviews
    reviews: parts[0]!.reviews,
  }
}

/** Return all but the test cases, which are evaluated on their own grid and never cached. */
export function casesToPrepare<T extends Pick<CaseToPrepare, 'split'>>(cases: readonly T[]): T[] {
  return cases.filter((item) => item.split !== 'test')
}

/**
 * Prepare these cases in the cache of the configuration.
 * @param verify check every byte of a reused case; a training omits this, because its feeder checks each read
 * @throws DataError if two cases would share a file of the cache
 */
export async function prepareListed(
  settings: PrepareSettings,
  cases: readonly CaseToPrepare[],
  context: StageContext,
  onProgress?: CaseProgress,
  verify = false,
): Promise<Omit<PrepareReport, 'reviews'>> {
  refuseSameFile(cases.map(cacheIdOf), cacheName)
  const spec = prepareSpec(settings, cases, verify)
  const byId = new Map(cases.map((item) => [cacheIdOf(item), item]))
  const done: TrainingCase[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  let reused = 0
  let bytes = 0
  for await (const outcome of context.runtime.prepare(spec, {
    signal: context.signal,
    logDirectory: context.logDirectory,
  })) {
    const item = byId.get(outcome.caseId)!
    if ('error' in outcome) failed.push({ caseId: item.id, error: outcome.error })
    else {
      if (outcome.result.reused) reused++
      bytes += outcome.result.bytes
      done.push({
        id: item.id,
        path: outcome.result.path,
        kind: item.role.kind,
        repeat: item.repeat ?? 1,
        heldOut: item.split === 'validation',
        content: outcome.result.contentSha256,
      })
    }
    onProgress?.(
      done.length + failed.length,
      cases.length,
      item.id,
      'error' in outcome ? outcome.error : outcome.result,
    )
  }
  // The order of a run's cases must not depend on the order of completion.
  const order = new Map(cases.map((item, at) => [item.id, at]))
  done.sort((a, b) => order.get(a.id)! - order.get(b.id)!)
  return { cases: done, directory: spec.directory, prepared: done.length - reused, reused, bytes, failed }
}
