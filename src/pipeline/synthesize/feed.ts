import { FreetumorError } from '../../errors.js'
import { judge, judgeTogether, keptByChance, type Verdict } from '../../quality/judge.js'
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
  readSubvolume,
  type Subvolume,
} from '../../sampling/subvolume.js'
import { asPlanned, type TumorKind, type WantedCentre } from '../../sampling/tumors.js'
import { openStream } from '../../simulation/random.js'
import type { TumorPlan } from '../../simulation/tumor.js'
import { applyAffine } from '../../volume/geometry.js'
import type { Affine, Vec3 } from '../../volume/volume.js'
import type { CaseError } from '../ports/common.js'
import type { AttemptMeasures, VariantFeed, VariantRound, WrittenVariant } from '../ports/synthesis.js'
import { sizeSettings } from '../tumor-sizes.js'
import { type KeepOptions, type RejectedToKeep, rejectedFileOf, rejectedToKeep } from './rejected.js'
import type { SynthesisReviews } from './reviews.js'
import type { SynthesisSettings } from './settings.js'

export interface HostCase {
  readonly id: string
  /** Zarr group of the prepared case. */
  readonly prepared: string
}

/** The settings that plans and verdicts depend on. */
type FeedSettings = Pick<
  SynthesisSettings,
  'seed' | 'prepare' | 'patchVoxels' | 'organs' | 'simulation' | 'synthesize'
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
  readonly variants: number[]
  readonly toKeep: RejectedToKeep
}

interface Tumor extends TumorKind {
  /** Next attempt, and the organ that it is planned in. */
  attempt: number
  organAt: number
  plan: TumorPlan | null
}

interface Attempt {
  readonly tumor: number
  readonly attempt: number
  readonly organ: WeightedOrgan
  readonly plan: TumorPlan
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
        const organs = settings.organs.filter(({ label }) => found.subvolume.label.includes(label))
        return { id, ...found, organs, variants, toKeep: rejectedToKeep(options, id) }
      }
    }
    return null
  }

  const subvolumeOf = async ({
    id,
    prepared,
  }: HostCase): Promise<Pick<OpenCase, 'subvolume' | 'affine' | 'centres'> | CaseError> => {
    try {
      const group = await openCaseGroup({ caseId: id, path: prepared })
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
      options.onVariant(finished(variant.lines, result), { ...result, seconds })
      current.delete(rank)
    },
  }
}

function beginVariant({ settings }: VariantFeedOptions, working: OpenCase, variant: number): Variant {
  const sizes = sizeSettings(settings.simulation, settings.prepare.spacingMm)
  const tumors = range(settings.synthesize.tumorsPerVariant).map((tumor): Tumor => {
    // for a case without any of the organs, the ledger still names the missing organ
    const present = working.organs.length > 0 ? working.organs : settings.organs
    const kind = drawTumorKind(keyOf(settings, working, variant, tumor), present, sizes)
    return { ...kind, attempt: 0, organAt: 0, plan: null }
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
    attempts: variant.waiting.map(({ tumor, attempt, organ, plan }) => ({
      tumor,
      attempt,
      plan: asPlanned(organ.name, plan, 0),
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
  const { settings } = options
  const { case: working } = variant
  const tumor = variant.tumors[number]!
  const { texture } = settings.simulation
  const textures = { textureSizeVoxels: texture.sizeVoxels, textureCount: texture.count }
  while (tumor.attempt < settings.synthesize.triesPerTumor && tumor.organAt < tumor.organs.length) {
    const attempt = tumor.attempt++
    const organ = tumor.organs[tumor.organAt]!
    const key = attemptStreamKey(keyOf(settings, working, variant.variant, number), attempt)
    const found = planAttempt(working.subvolume, key, organ, tumor, textures, earlier, working.centres)
    if (found.outcome === 'placed') return { tumor: number, attempt, organ, plan: found.plan }
    tumor.organAt++
    variant.lines.push({
      ...lineStart(options, variant, number, attempt, organ),
      plan: null,
      verdict: 'noRoom',
      reason: found.outcome,
      measures: {},
    })
  }
  return null
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
    const line = reviewedLine(triedLine(options, variant, one, verdict), options.reviews)
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

function triedLine(
  options: VariantFeedOptions,
  variant: Variant,
  one: Attempt,
  verdict: Verdict,
): SynthesisLine {
  const { centre, radii, box, boxOrigin, edgeSigma, textureIndex, textureStart, handcraftedDifference } =
    one.plan
  const { affine, subvolume } = variant.case
  const { start } = subvolume
  const inCase = (voxel: Vec3): Vec3 => [voxel[0] + start[0], voxel[1] + start[1], voxel[2] + start[2]]
  return {
    ...lineStart(options, variant, one.tumor, one.attempt, one.organ),
    plan: {
      centre: inCase(centre),
      radii,
      boxOrigin: inCase(boxOrigin),
      boxShape: box.shape,
      centreMm: applyAffine(affine, middleOf(inCase(boxOrigin), box.shape)),
      edgeSigma,
      textureIndex,
      textureStart,
      handcraftedDifference,
    },
    verdict: verdict.accepted ? 'accepted' : 'rejected',
    reason: verdict.reason,
    measures: options.hasBaseline ? verdict.measures : withoutSeen(verdict.measures),
  }
}

/** Return the centre of a box, in voxels. */
function middleOf(origin: Vec3, shape: Vec3): Vec3 {
  const along = (axis: 0 | 1 | 2): number => origin[axis] + (shape[axis] - 1) / 2
  return [along(0), along(1), along(2)]
}

/** Return the measures without the detections: without a baseline, zeros would mean that it detected nothing. */
function withoutSeen(measures: Verdict['measures']): SynthesisLine['measures'] {
  const { seenVoxels: _, alreadySeenVoxels: __, shareSeen: ___, ...taken } = measures
  return taken
}

function lineStart(
  { settings, checkpoints }: VariantFeedOptions,
  variant: Variant,
  tumor: number,
  attempt: number,
  organ: WeightedOrgan,
) {
  const key = keyOf(settings, variant.case, variant.variant, tumor)
  return {
    case: variant.case.id,
    host: null,
    variant: variant.variant,
    tumor,
    attempt,
    round: variant.round,
    organ: organ.name,
    size: variant.tumors[tumor]!.size,
    seed: settings.seed,
    k: attemptStreamKey(key, attempt),
    checkpoints,
    time: '',
  }
}

/** Return the lines of a finished variant in the order of its tumors, with the final facts of the variant. */
function finished(lines: readonly SynthesisLine[], result: WrittenVariant): SynthesisLine[] {
  const time = new Date().toISOString()
  const sorted = [...lines].sort((a, b) => a.tumor - b.tumor || a.attempt - b.attempt)
  const { files, sha256 } = result
  return sorted.map((line, at) => ({
    ...line,
    host: result.host ?? null,
    ...(line.verdict === 'accepted' && files ? { file: files.image } : {}),
    ...(line.verdict === 'accepted' && sha256 ? { sha256: sha256.image } : {}),
    ...rejectedFileOf(line, result),
    ...(at === sorted.length - 1 ? { last: true as const } : {}),
    time,
  }))
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
