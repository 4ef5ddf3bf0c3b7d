import { FreetumorError } from '../../errors.js'
import { judge, judgeTogether, keptByChance } from '../../quality/judge.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import type { QualityPolicy } from '../../quality/policy.js'
import { affineOf, readCentres } from '../../sampling/cache-reader.js'
import { openCaseGroup } from '../../sampling/case-group.js'
import type { WeightedOrgan } from '../../sampling/sampling-plan.js'
import {
  type AttemptKey,
  attemptStreamKey,
  drawTumorKind,
  planAttempt,
  planShrunkAttempt,
  readSubvolume,
  type Subvolume,
} from '../../sampling/subvolume.js'
import { asPlanned, type TumorKind, type WantedCentre } from '../../sampling/tumors.js'
import { openStream } from '../../simulation/random.js'
import { realTumors, type ShrunkOutcome, type SourceTumor } from '../../simulation/shrunk.js'
import { radiusVoxelsOf, sizeOfRadius } from '../../simulation/size.js'
import type { TumorOutcome, TumorPlan } from '../../simulation/tumor.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import type { Affine } from '../../volume/volume.js'
import type { CaseError } from '../ports/common.js'
import type { AttemptMeasures, VariantFeed, VariantRound, WrittenVariant } from '../ports/synthesis.js'
import { sizeSettings } from '../tumor-sizes.js'
import { type Attempt, finishedLines, lineStart, triedLine } from './lines.js'
import { type KeepOptions, type RejectedToKeep, rejectedToKeep } from './rejected.js'
import type { SynthesisReviews } from './reviews.js'
import type { SynthesisSettings } from './settings.js'

export interface HostCase {
  readonly id: string
  /** Zarr group of the prepared case. */
  readonly prepared: string
  /** SHA-256 of its prepared voxels. */
  readonly content: string
}

/** The settings that plans and verdicts depend on. */
type FeedSettings = Pick<
  SynthesisSettings,
  'seed' | 'region' | 'prepare' | 'patchVoxels' | 'organs' | 'simulation' | 'synthesize'
>

export interface VariantFeedOptions extends Pick<KeepOptions, 'allHosts' | 'rejectedFiles'> {
  readonly settings: FeedSettings
  readonly policy: QualityPolicy
  readonly hosts: readonly HostCase[]
  readonly hasBaseline: boolean
  readonly checkpoints: SynthesisLine['checkpoints']
  /** Decisions of reviewers, which precede the rule. */
  readonly reviews: Pick<SynthesisReviews, 'decisionOn'> | null
  /** Variants that an earlier start finished. */
  readonly isDone: (caseId: string, variant: number) => boolean
  /** Called with all lines of a variant, in order. */
  readonly onVariant: (lines: readonly SynthesisLine[], result: WrittenVariant) => void
  /** Called for a case that fails; its other variants are omitted. */
  readonly onFailure: (caseId: string, error: CaseError) => void
}

/** Case of a rank, with its remaining variants. */
interface OpenCase {
  readonly id: string
  readonly subvolume: Subvolume
  /** Affine of the prepared case. */
  readonly affine: Affine
  readonly organs: readonly WeightedOrgan[]
  /** Listed positions of the case. */
  readonly centres: readonly WantedCentre[] | null
  /** Real tumors by the id of their organ, for the method `shrunk`; else empty. */
  readonly tumors: ReadonlyMap<number, readonly SourceTumor[]>
  readonly variants: number[]
  readonly toKeep: RejectedToKeep
}

interface Tumor extends TumorKind {
  /** Next attempt, and the organ that it is planned in. */
  attempt: number
  organAt: number
  plan: TumorPlan | null
}

interface Variant {
  readonly case: OpenCase
  readonly variant: number
  readonly tumors: readonly Tumor[]
  readonly lines: SynthesisLine[]
  waiting: readonly Attempt[]
  /** Round of the attempts that are judged next. */
  round: number
  planSeconds: number
}

/** Error of a case without a label voxel; the case id precedes the message. */
const NO_LABEL: CaseError = {
  kind: 'data',
  message: 'its label map is empty',
  hint: 'give it organ labels, or remove it from the list',
}

/**
 * Plan, judge and record the tumors of an offline synthesis, for any number of ranks. A variant depends only on the
 * configuration and the case, not on the rank or on earlier work.
 */
export function openVariantFeed(options: VariantFeedOptions): VariantFeed {
  const { settings, hosts } = options
  const queue = [...hosts]
  const open = new Map<number, OpenCase>()
  const current = new Map<number, Variant>()

  const nextCase = async (): Promise<OpenCase | null> => {
    for (let host = queue.shift(); host; host = queue.shift()) {
      const { id } = host
      const variants = range(settings.synthesize.variants).filter((variant) => !options.isDone(id, variant))
      if (variants.length === 0) continue
      const found = await subvolumeOf(host)
      if ('message' in found) options.onFailure(id, found)
      else {
        const tumors = isShrunk(settings) ? tumorsOf(found.subvolume, settings) : new Map()
        const organs = settings.organs.filter(
          ({ label }) => found.subvolume.label.includes(label) && mayReceive(settings, tumors.get(label)),
        )
        return { id, ...found, organs, tumors, variants, toKeep: rejectedToKeep(options, id) }
      }
    }
    return null
  }

  const subvolumeOf = async ({
    id,
    prepared,
    content,
  }: HostCase): Promise<Pick<OpenCase, 'subvolume' | 'affine' | 'centres'> | CaseError> => {
    try {
      const group = await openCaseGroup({ caseId: id, path: prepared, content })
      const subvolume = readSubvolume(group, settings.patchVoxels)
      if (subvolume === null) return { ...NO_LABEL, message: `${id}: ${NO_LABEL.message}` }
      const centres = readCentres(group, settings.simulation.positions)
      return { subvolume, affine: affineOf(group), centres }
    } catch (error) {
      if (!(error instanceof FreetumorError)) throw error
      return { kind: error.code, message: error.message, hint: error.commandHint ?? '' }
    }
  }

  return {
    async begin(rank) {
      let working = open.get(rank) ?? null
      while (working === null || working.variants.length === 0) {
        working = await nextCase()
        if (working === null) {
          open.delete(rank)
          return null
        }
      }
      open.set(rank, working)
      const variant = beginVariant(options, working, working.variants.shift()!)
      current.set(rank, variant)
      return nextRound(options, variant, { accepted: [], keptRejected: [] })
    },

    async judged(rank, measures) {
      const variant = current.get(rank)!
      const settled = settle(options, variant, measures)
      return nextRound(options, variant, settled)
    },

    async written(rank, caseId, _variant, result) {
      if ('error' in result) {
        const working = open.get(rank)
        if (working?.id === caseId) working.variants.length = 0
        options.onFailure(caseId, result.error)
        return
      }
      const variant = current.get(rank)!
      const seconds = { ...result.seconds, plan: Number(variant.planSeconds.toFixed(4)) }
      options.onVariant(finishedLines(variant.lines, result), { ...result, seconds })
      current.delete(rank)
    },
  }
}

function beginVariant({ settings }: VariantFeedOptions, working: OpenCase, variant: number): Variant {
  const sizes = sizeSettings(settings.simulation, settings.prepare)
  const tumors = range(settings.synthesize.tumorsPerVariant).map((tumor): Tumor => {
    // for a case without any of the organs, the ledger still names the missing organ
    const present = working.organs.length > 0 ? working.organs : settings.organs
    const kind = drawTumorKind(keyOf(settings, working, variant, tumor), present, sizes)
    return { ...kind, ...shrunkSize(settings), attempt: 0, organAt: 0, plan: null }
  })
  return { case: working, variant, tumors, lines: [], waiting: [], round: -1, planSeconds: 0 }
}

/** Return the next attempts; none if every tumor is placed or given up. */
function nextRound(options: VariantFeedOptions, variant: Variant, settled: Settled): VariantRound {
  variant.round++
  const started = performance.now()
  variant.waiting = options.policy.shareOver === 'case' ? tryAll(options, variant) : tryOne(options, variant)
  variant.planSeconds += (performance.now() - started) / 1000
  const { id, subvolume } = variant.case
  return {
    caseId: id,
    variant: variant.variant,
    subvolumeStart: subvolume.start,
    subvolumeShape: subvolume.shape,
    ...settled,
    attempts: variant.waiting.map(({ tumor, attempt, organ, plan, source }) => ({
      tumor,
      attempt,
      plan: asPlanned(organ.name, plan, 0),
      source:
        source === null
          ? null
          : {
              voxel: source.tumor.voxel,
              centroid: source.tumor.centroid,
              centre: plan.centre,
              factor: source.factor,
            },
    })),
  }
}

function tryOne(options: VariantFeedOptions, variant: Variant): Attempt[] {
  for (const [number, tumor] of variant.tumors.entries()) {
    if (tumor.plan !== null) continue
    const found = planNext(options, variant, number, placedPlans(variant))
    if (found) return [found]
  }
  return []
}

/** Return an attempt for every tumor, until one of the variant's rounds accepted some. */
function tryAll(options: VariantFeedOptions, variant: Variant): Attempt[] {
  if (variant.tumors.some(({ plan }) => plan !== null)) return []
  const tries: Attempt[] = []
  for (const number of variant.tumors.keys()) {
    const found = planNext(
      options,
      variant,
      number,
      tries.map(({ plan }) => plan),
    )
    if (found) tries.push(found)
  }
  return tries
}

/** Return the next attempt of a tumor that finds a place; skip organs without room, each with a line in the ledger. */
function planNext(
  options: VariantFeedOptions,
  variant: Variant,
  number: number,
  earlier: readonly TumorPlan[],
): Attempt | null {
  const { settings, checkpoints } = options
  const { case: working, round } = variant
  const tumor = variant.tumors[number]!
  const key = keyOf(settings, working, variant.variant, number)
  while (tumor.attempt < settings.synthesize.triesPerTumor && tumor.organAt < tumor.organs.length) {
    const attempt = tumor.attempt++
    const organ = tumor.organs[tumor.organAt]!
    const found = planOne(settings, working, key, attempt, organ, tumor, earlier)
    if (found.outcome === 'placed') {
      const source = 'source' in found ? found.source : null
      return { tumor: number, attempt, organ, plan: found.plan, source }
    }
    tumor.organAt++
    variant.lines.push({
      ...lineStart(key, attempt, { round, organ, size: tumor.size, checkpoints }, isShrunk(settings)),
      plan: null,
      verdict: 'noRoom',
      reason: found.outcome,
      measures: {},
    })
  }
  return null
}

/** Plan one attempt by the method of the synthesis. */
function planOne(
  settings: FeedSettings,
  { subvolume, centres, tumors }: OpenCase,
  key: AttemptKey,
  attempt: number,
  organ: WeightedOrgan,
  kind: TumorKind,
  earlier: readonly TumorPlan[],
): TumorOutcome | ShrunkOutcome {
  if (!isShrunk(settings)) {
    const { sizeVoxels, count } = settings.simulation.texture
    const textures = { textureSizeVoxels: sizeVoxels, textureCount: count }
    const streamKey = attemptStreamKey(key, attempt)
    return planAttempt(subvolume, streamKey, organ, kind, textures, earlier, centres)
  }
  const shrunk = {
    diameterMm: settings.synthesize.shrunkDiameterMm,
    spacingMm: settings.prepare.spacingMm,
    tumorLabels: LABEL_SCHEMES[settings.region].organs.map(({ tumorLabel }) => tumorLabel),
    earlier,
  }
  return planShrunkAttempt(subvolume, key, attempt, organ, tumors.get(organ.label) ?? [], shrunk, centres)
}

/** Numbers of the tumors of a round that stay, and of the rejected ones that are written for reviewers. */
type Settled = Pick<VariantRound, 'accepted' | 'keptRejected'>

/** Judge the measured attempts. A decision of reviewers on the same tumor precedes the rule. */
function settle(
  options: VariantFeedOptions,
  variant: Variant,
  measures: readonly AttemptMeasures[],
): Settled {
  const { policy, settings, hasBaseline } = options
  const judged = variant.waiting.map((one) => ({
    kind: { organ: one.organ.name, size: one.plan.size },
    measures: measures.find(({ tumor }) => tumor === one.tumor)!,
  }))
  const verdicts =
    policy.shareOver === 'case'
      ? judgeTogether(judged, policy, hasBaseline)
      : judged.map((one) => judge(one.kind, one.measures, policy, hasBaseline))
  const [accepted, keptRejected]: [number[], number[]] = [[], []]
  for (const [at, one] of variant.waiting.entries()) {
    const key = keyOf(settings, variant.case, variant.variant, one.tumor)
    const uniform = () => openStream([...attemptStreamKey(key, one.attempt), 'keep']).uniform()
    const verdict = keptByChance(verdicts[at]!, policy, uniform)
    const { organ, plan } = one
    const facts = { round: variant.round, organ, size: plan.size, checkpoints: options.checkpoints }
    const start = lineStart(key, one.attempt, facts, isShrunk(settings))
    const grid = { affine: variant.case.affine, start: variant.case.subvolume.start }
    const line = reviewedLine(triedLine(start, one, verdict, grid, hasBaseline), options.reviews)
    variant.lines.push(line)
    if (line.verdict === 'accepted') {
      variant.tumors[one.tumor]!.plan = one.plan
      accepted.push(one.tumor)
    } else if (variant.case.toKeep.take(line)) keptRejected.push(one.tumor)
  }
  return { accepted, keptRejected }
}

function reviewedLine(line: SynthesisLine, reviews: VariantFeedOptions['reviews']): SynthesisLine {
  const review = line.reason === 'empty' ? null : (reviews?.decisionOn(line) ?? null)
  if (review === null) return line
  const verdict = review === 'accept' ? 'accepted' : 'rejected'
  return verdict === line.verdict ? { ...line, review } : { ...line, verdict, reason: 'review', review }
}

function isShrunk({ synthesize }: Pick<FeedSettings, 'synthesize'>): boolean {
  return synthesize.method === 'shrunk'
}

function tumorsOf(
  subvolume: Subvolume,
  { organs, prepare }: FeedSettings,
): ReadonlyMap<number, readonly SourceTumor[]> {
  const found = organs.map((organ) => {
    return [organ.label, realTumors(subvolume, organ.tumorLabel, prepare.spacingMm)] as const
  })
  return new Map(found)
}

/** Return whether an organ can receive a tumor: a copy needs a real tumor that is large enough. */
function mayReceive(settings: FeedSettings, tumors: readonly SourceTumor[] = []): boolean {
  if (!isShrunk(settings)) return true
  const [smallestMm] = settings.synthesize.shrunkDiameterMm
  return tumors.some(({ diameterMm }) => diameterMm >= smallestMm)
}

/** Return the size of copies that find no source or place; a planned copy has its own. */
function shrunkSize({ synthesize, prepare }: FeedSettings): Partial<Pick<Tumor, 'size'>> {
  if (!isShrunk({ synthesize })) return {}
  return { size: sizeOfRadius(radiusVoxelsOf(synthesize.shrunkDiameterMm[0] / 2, prepare.spacingMm)) }
}

function placedPlans(variant: Variant): TumorPlan[] {
  return variant.tumors.flatMap(({ plan }) => (plan === null ? [] : [plan]))
}

function keyOf({ seed }: FeedSettings, working: OpenCase, variant: number, tumor: number): AttemptKey {
  return { seed, caseId: working.id, variant, tumor }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at)
}
