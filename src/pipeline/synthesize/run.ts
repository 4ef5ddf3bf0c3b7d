import { join, resolve } from 'node:path'
import { caseFileNames } from '../../curation/case-file-names.js'
import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { openJsonLog } from '../../jsonl.js'
import type { LicensedSource } from '../../provenance/licence.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import type { QualityPolicy } from '../../quality/policy.js'
import { makeFolder, refuseUnwritableFolder, sweepUnfinished } from '../../whole-file.js'
import { identityOf } from '../checkpoint/plugin.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import type { EarlierWeights } from '../plan/spec.js'
import { type CaseToPrepare, noteIgnored, prepareListed } from '../prepare/run.js'
import { openPolicy, refuseOtherBaseline } from '../quality-policy.js'
import { type ReviewSummary, reviewCountsInWords, staleWarning } from '../review-summary.js'
import { byCase, shardFolder, startLog, type WholeShards, workOnShard } from '../shards.js'
import { startTraining } from '../train/run.js'
import { earlierWeights } from '../train/weights.js'
import { unaimedSizes } from '../tumor-sizes.js'
import {
  concludeSynthesis,
  countSynthesis,
  LEDGER,
  recordHosts,
  recordLicences,
  type Synthesis,
  variantKey,
  wholeVariants,
} from './dataset.js'
import { withEarlierSources } from './earlier-sources.js'
import { openVariantFeed } from './feed.js'
import { type Hosts, hostsOf } from './hosts.js'
import { hostSources, refuseForbidden, weightsSources } from './provenance.js'
import { paintingHash, recordedSettings, refuseOtherSettings } from './record.js'
import { openSynthesisReviews, type SynthesisReviews } from './reviews.js'
import type { SynthesisSettings } from './settings.js'
import { synthesizeSpec } from './spec.js'

export interface SynthesizeOptions {
  readonly settings: SynthesisSettings
  readonly out: string
  /** Healthy scans that receive tumors, the path of them, or the data sets that list them. */
  readonly hosts: Hosts
  /** Licence of the hosts. Default: that of their data sets in the registry or in the configuration. */
  readonly licence?: string | undefined
  /** Work on the hosts of one shard only. */
  readonly shard?: Shard | undefined
  readonly onProgress?: ((progress: SynthesisProgress) => void) | undefined
}

export interface SynthesisProgress {
  /** Number of finished variants, of this start and of earlier ones. */
  readonly done: number
  /** Number of finished variants of this start alone. */
  readonly doneHere: number
  readonly total: number
  readonly caseId: string
  readonly variant: number
  readonly kept: number
  readonly tried: number
  /** Seconds of this variant: `read`, `plan`, `render`, `judge`, `write`. */
  readonly seconds: Readonly<Record<string, number>>
  /** Memory of the process in MB: with its networks loaded, and the peak so far. */
  readonly memoryMb?: { readonly loaded: number; readonly peak: number } | undefined
  /** Wall time per variant, over all processes, without one-time work; null before the second variant. */
  readonly secondsPerVariant: number | null
}

/**
 * Write a synthetic data set: the wanted number of variants of each host CT with painted tumors, on its own grid. Resumes
 * an interrupted synthesis of the same settings.
 * @throws ConfigError, DataError, UsageError before the first case; a case that fails is in the result
 */
export async function synthesizeCases(options: SynthesizeOptions, context: StageContext): Promise<Synthesis> {
  const { settings, shard } = options
  const out = resolve(options.out)
  await refuseUnwritableFolder(out)
  const unaimed =
    settings.synthesize.method === 'shrunk' ? [] : unaimedSizes(settings.simulation, settings.prepare)
  for (const text of unaimed) context.note(text, 'warning')
  const ofHosts = hostSources(options.hosts, options.licence)
  refuseForbidden(ofHosts)
  const weights = await earlierWeights(settings, context, startTraining, (found) =>
    refuseForbidden(weightsSources(found)),
  )
  const hashes = {
    generator: await hashOf(weights.generator, settings.generator?.weights, context),
    baseline: await hashOf(weights.baseline, settings.baseline?.weights, context),
    ...(weights.plugins === undefined ? {} : { plugins: identitiesOf(weights.plugins) }),
  }
  const { policy, calibration } = await openPolicy(settings.quality, settings.prepare)
  refuseOtherBaseline(calibration, hashes.baseline)
  const contents = { reviews: null as string | null, calibration: calibration?.sha256 ?? null }
  const { hosts, leftOut } = await hostsOf(options.hosts, settings, context)
  const sources = await withEarlierSources([...ofHosts, ...weightsSources(weights)], hosts, context)
  refuseForbidden(sources)
  noteUnstated(sources, context)
  const ids = hosts.map(({ id }) => id)
  const names = caseFileNames(ids)
  const reviewFile = settings.quality.reviews
  const reviews = reviewFile === null ? null : await openSynthesisReviews(reviewFile, settings, hashes, hosts)
  contents.reviews = reviews?.sha256 ?? null
  const work = {
    settings,
    policy,
    out,
    weights,
    hashes,
    hosts,
    names,
    reviews,
    onProgress: options.onProgress,
  }
  await makeFolder(out)
  if (shard === undefined) {
    await using _lock = await context.runtime.lock(out, WRITING)
    await refuseOtherSettings(out, settings, hashes, contents)
    await sweepDataset(out, settings)
    const failed = await paint({ ...work, mine: hosts, ledger: join(out, LEDGER) }, context)
    const concluded = await concludeSynthesis(out, settings, hosts, failed, { reviews, sources }, context)
    noteReviews(concluded.reviews, context)
    return { ...concluded, leftOut }
  }
  const mine = casesOfShard(hosts, shard)
  const { name, region, synthesize } = settings
  const sharded = {
    command: 'synthesize',
    directory: out,
    shard,
    settings: { name, region, synthesize, ...hashes, ...contents },
    ids,
    cases: mine.map(({ id }) => id),
  } as const
  return await workOnShard(sharded, context, async (folder) => {
    await refuseOtherSettings(out, settings, hashes, contents)
    const ledger = join(folder, LEDGER)
    await startLog<SynthesisLine>(ledger, join(out, LEDGER), sharded.cases)
    const failed = await paint({ ...work, mine, ledger }, context)
    const part: SynthesisPart = { hosts: mine, failed, leftOut, reviewed: reviews && settings, sources }
    return { part, result: { ...(await countSynthesis(out, mine, ledger, failed)), leftOut } }
  })
}

/** Results of a shard for the merge, besides its ledger. */
interface SynthesisPart extends Pick<Synthesis, 'failed' | 'leftOut'> {
  readonly hosts: readonly CaseToPrepare[]
  /** Settings to read the reviews with; null without reviews. */
  readonly reviewed: SynthesisSettings | null
  /** Missing in shards of earlier versions. */
  readonly sources?: readonly LicensedSource[]
}

/** Settings of the plan of shards. */
type ShardedSettings = Pick<SynthesisSettings, 'name' | 'region' | 'synthesize'> &
  SynthesisLine['checkpoints'] & {
    /** SHA-256 of the review file; null without reviews. */
    readonly reviews: string | null
    /** SHA-256 of the calibration file; null without one. */
    readonly calibration: string | null
  }

/** Complete the folder as a data set from all shards: ledger, list, manifest, page. */
export async function mergeSynthesis(
  out: string,
  shards: WholeShards<ShardedSettings, SynthesisPart>,
  context: StageContext,
): Promise<Synthesis> {
  const parts = shards.records.map(({ part }) => part)
  const hosts = byCase(
    shards,
    parts.flatMap((part) => part.hosts),
    ({ id }) => id,
  )
  const failed = byCase(
    shards,
    parts.flatMap((part) => part.failed),
    ({ caseId }) => caseId,
  )
  const { count, settings } = shards.plan
  const ledgers = shards.records.map(({ index }) => join(shardFolder(out, { index, count }), LEDGER))
  const { reviewed, leftOut, sources = [] } = parts[0]!
  const file = reviewed?.quality.reviews ?? null
  const { generator, baseline, plugins } = settings
  const checkpoints = { generator, baseline, ...(plugins === undefined ? {} : { plugins }) }
  const reviews =
    reviewed === null || file === null ? null : await openSynthesisReviews(file, reviewed, checkpoints, hosts)
  if (reviews !== null && reviews.sha256 !== settings.reviews)
    throw new UsageError(
      `${out}: the reviews have changed since the shards (expected those of ${file} then)`,
      {
        hint: 'restore the file, or run the shards again with another --out',
      },
    )
  await sweepDataset(out, settings)
  const made = { reviews, sources }
  const concluded = await concludeSynthesis(out, settings, hosts, failed, made, context, ledgers)
  noteReviews(concluded.reviews, context)
  return { ...concluded, leftOut }
}

/** Remove the temporary files of killed writers; no other process may write. */
async function sweepDataset(out: string, settings: Pick<SynthesisSettings, 'synthesize'>): Promise<void> {
  for (const folder of ['', ...scanFolders(settings), 'pictures']) await sweepUnfinished(join(out, folder))
}

/** Return the folders of the written scans. */
function scanFolders({ synthesize }: Pick<SynthesisSettings, 'synthesize'>): string[] {
  const folders = ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr']
  return synthesize.keepRejected > 0
    ? [...folders, ...folders.map((folder) => join('rejected', folder))]
    : folders
}

function noteUnstated(sources: readonly LicensedSource[], context: StageContext): void {
  for (const { kind, name, licence } of sources)
    if (kind === 'hosts' && licence === null)
      context.note(`${name}: the licence of the host CTs is not stated (pass --licence NAME)`)
}

function noteReviews(reviews: ReviewSummary | null, context: StageContext): void {
  if (reviews === null) return
  context.note(reviewCountsInWords(reviews))
  const warning = staleWarning(reviews)
  if (warning !== null) context.note(warning, 'warning')
}

interface Painting {
  readonly settings: SynthesisSettings
  readonly policy: QualityPolicy
  readonly out: string
  readonly weights: EarlierWeights
  readonly hashes: SynthesisLine['checkpoints']
  /** All hosts, and those of this start. */
  readonly hosts: readonly CaseToPrepare[]
  readonly mine: readonly CaseToPrepare[]
  readonly names: ReadonlyMap<string, string>
  readonly reviews: SynthesisReviews | null
  readonly ledger: string
  readonly onProgress: SynthesizeOptions['onProgress']
}

/** Paint the missing variants of hosts, and append their lines to the ledger. Return the failed hosts. */
async function paint(work: Painting, context: StageContext): Promise<Synthesis['failed']> {
  const { settings, policy, out, weights, hashes, hosts, mine, names, reviews, ledger, onProgress } = work
  for (const folder of scanFolders(settings)) await makeFolder(join(out, folder))
  await recordHosts(out, hosts)
  await recordLicences(out, weights.licences)
  noteIgnored(mine, context)
  const prepared = await prepareListed(settings, mine, context)
  const failed = [...prepared.failed]
  const textureDirectory = join(resolve(settings.prepare.cache), 'textures')
  await makeFolder(textureDirectory)
  const pictured = new Set(hosts.slice(0, settings.report.pictures).map(({ id }) => id))
  const { generator, plugins } = hashes
  const mark = {
    settings: paintingHash(recordedSettings(settings, hashes, { reviews: null, calibration: null })),
    generator: generator ?? plugins?.generator?.sha256 ?? null,
  }
  const parts = { out, hosts, prepared: prepared.cases, names, weights, textureDirectory, pictured, mark }
  const spec = synthesizeSpec(settings, parts)

  const pace = openPace()
  const { done, rejectedFiles } = await wholeVariants(ledger, out)
  const counts = {
    done: done.size,
    doneHere: 0,
    total: prepared.cases.length * settings.synthesize.variants,
    kept: 0,
    tried: 0,
  }
  await using log = await openJsonLog<SynthesisLine>(ledger, { keep: (line) => done.has(variantKey(line)) })
  const feed = openVariantFeed({
    settings,
    policy,
    hosts: prepared.cases.map(({ id, path, content }) => ({ id, prepared: path, content })),
    allHosts: hosts,
    hasBaseline: spec.baseline !== null,
    checkpoints: hashes,
    reviews,
    rejectedFiles,
    isDone: (caseId, variant) => done.has(variantKey({ case: caseId, variant })),
    onVariant: (lines, result) => {
      for (const line of lines) log.write(line)
      counts.done++
      counts.doneHere++
      counts.kept += lines.filter(({ verdict }) => verdict === 'accepted').length
      counts.tried += lines.filter(({ verdict }) => verdict !== 'noRoom').length
      const { case: caseId, variant } = lines[0]!
      const { seconds, memoryMb } = result
      const secondsPerVariant = pace(counts.doneHere)
      onProgress?.({ ...counts, caseId, variant, seconds, memoryMb, secondsPerVariant })
    },
    onFailure: (caseId, error) => failed.push({ caseId, error }),
  })
  const { signal, logDirectory, note } = context
  if (counts.done < counts.total) await context.runtime.synthesize(spec, feed, { signal, logDirectory, note })
  return failed
}

/** Return a function that gives the seconds per variant since the first one, so without the load of networks and textures. */
function openPace(): (done: number) => number | null {
  let first: number | null = null
  return (done) => {
    first ??= performance.now()
    return done < 2 ? null : (performance.now() - first) / 1000 / (done - 1)
  }
}

function identitiesOf(plugins: NonNullable<EarlierWeights['plugins']>) {
  return Object.fromEntries(Object.entries(plugins).map(([network, facts]) => [network, identityOf(facts)]))
}

async function hashOf(
  checkpoint: string | null,
  weights: string | null | undefined,
  { runtime, signal }: StageContext,
): Promise<string | null> {
  return checkpoint === null ? null : (await runtime.inspect(checkpoint, { signal, weights })).sha256
}
