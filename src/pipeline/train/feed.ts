import type { RunConfig } from '../../config/schema.js'
import { RuntimeCrashError } from '../../errors.js'
import { judge, keptByChance, type Verdict } from '../../quality/judge.js'
import type { LedgerLine } from '../../quality/ledger.js'
import type { QualityPolicy } from '../../quality/policy.js'
import { type JudgedTumor, summarise } from '../../quality/summary.js'
import type { Feeder } from '../../sampling/feeder.js'
import type { NoRoomReason, PlannedCrop, PlannedTumor } from '../../sampling/sampling-plan.js'
import { openStream } from '../../simulation/random.js'
import type { SynthesisEvent } from '../../training/events.js'
import type { CropMeasures, CropVerdict, StepFeed } from '../ports/training.js'

type Untimed<T> = Omit<T, 'time'>

export interface TrainingFeedOptions {
  readonly config: RunConfig
  readonly policy: QualityPolicy
  readonly feeder: Feeder
  /** Number of ranks on all nodes, which share the items. */
  readonly ranks: number
  /** Number of ranks of this node, which this feed serves. */
  readonly ranksHere: number
  /** True if the ranks send measures of every step; a baseline training has no tumors to judge. */
  readonly judges: boolean
  /** Resolves when the feed may serve items. */
  readonly ready: Promise<void>
  readonly onLedger: (line: LedgerLine) => void
  readonly onSynthesis: (event: Untimed<SynthesisEvent>) => void
}

/** State of a step between its crops and the verdicts of all its ranks. */
interface OpenStep {
  readonly crops: Map<string, PlannedCrop>
  readonly judged: JudgedTumor[]
  ranksJudged: number
  noRoom: number
}

/**
 * Serve the ranks: items from the feeder, verdicts from the quality policy. A step is kept in memory until all its
 * ranks have sent their measures, and not at all if they send none.
 */
export function trainingFeed(options: TrainingFeedOptions): StepFeed {
  const { config, feeder, ranks, ranksHere, ready } = options
  const open = new Map<number, OpenStep>()
  const openStep = (step: number): OpenStep => {
    const known = open.get(step)
    if (known) return known
    const fresh: OpenStep = { crops: new Map(), judged: [], ranksJudged: 0, noRoom: 0 }
    open.set(step, fresh)
    return fresh
  }

  return {
    async crops(step, rank) {
      await ready
      const crops = await feeder.step(step, rank, ranks, config.training.accumulation)
      if (options.judges) remember(options, step, openStep(step), crops)
      return crops
    },

    async judge(step, _rank, measures) {
      const memory = openStep(step)
      const verdicts = measures.map((measured) => judgeTumor(options, step, memory, measured))
      // the rank sends the measures of further attempts before its part of the step is complete
      if (verdicts.some(({ nextDraw }) => nextDraw !== null)) return verdicts
      if (++memory.ranksJudged === ranksHere) {
        open.delete(step)
        options.onSynthesis({ type: 'synthesis', step, ...summarise(memory.judged, memory.noRoom) })
      }
      return verdicts
    },
  }
}

/** Keep the plans of a step's crops for their verdicts. */
function remember(
  options: TrainingFeedOptions,
  step: number,
  memory: OpenStep,
  crops: readonly PlannedCrop[],
): void {
  for (const crop of crops) {
    // The ledger needs the plan, not the voxels.
    memory.crops.set(cropKey(crop), withoutVoxels(crop))
    if (crop.noRoom === null) continue
    memory.noRoom++
    options.onLedger(noRoomLine(step, crop, crop.noRoom))
  }
}

/** Judge a tumor and record the verdict. @throws RuntimeCrashError when the tumor was not sent */
function judgeTumor(
  { config, policy, onLedger }: TrainingFeedOptions,
  step: number,
  memory: OpenStep,
  measured: CropMeasures,
): CropVerdict {
  const { item, draw } = measured
  const crop = memory.crops.get(cropKey(measured))
  const tumor = crop?.tumors.find((candidate) => candidate.draw === draw)
  if (!crop || !tumor)
    throw new RuntimeCrashError(
      `step ${step}: received measures of an unknown tumor (item ${item}, crop ${measured.crop}, draw ${draw})`,
      { hint: 'resume the run; if this repeats, report it with the logs' },
    )
  const { seed, job } = config
  const verdict = keptByChance(
    judge(tumor, measured, policy, config.networks.baseline !== null),
    policy,
    () => openStream([seed, job, item, measured.crop, `keep ${draw}`]).uniform(),
  )
  memory.judged.push({ organ: tumor.organ, size: tumor.size, verdict })
  onLedger(tumorLine(config, step, crop, tumor, verdict))
  const { accepted, reason } = verdict
  const nextDraw = accepted || job !== 'segmentation' ? null : nextDrawOf(crop, draw)
  return { item, crop: measured.crop, accepted, reason, nextDraw }
}

/** Return the attempt of a crop that follows a rejected one; null after the last. */
function nextDrawOf({ tumors }: PlannedCrop, draw: number): number | null {
  const later = tumors.filter((tumor) => tumor.draw > draw).map((tumor) => tumor.draw)
  return later.length === 0 ? null : Math.min(...later)
}

function cropKey(crop: { readonly item: number; readonly crop: number }): string {
  return `${crop.item}/${crop.crop}`
}

function withoutVoxels(crop: PlannedCrop): PlannedCrop {
  const tumors = crop.tumors.map((tumor) => ({ ...tumor, box: new Uint8Array(0) }))
  return { ...crop, image: new Int16Array(0), label: new Uint8Array(0), tumors }
}

function noRoomLine(step: number, crop: PlannedCrop, reason: NoRoomReason): LedgerLine {
  return { step, item: crop.item, crop: crop.crop, case: crop.caseId, verdict: 'noRoom', reason }
}

function tumorLine(
  config: RunConfig,
  step: number,
  crop: PlannedCrop,
  tumor: PlannedTumor,
  verdict: Verdict,
): LedgerLine {
  // synthesis training records detected fractions and rejects nothing (docs/method.md 7)
  const gated = config.job === 'segmentation'
  return {
    step,
    item: crop.item,
    crop: crop.crop,
    case: crop.caseId,
    organ: tumor.organ,
    size: tumor.size,
    draw: tumor.draw,
    verdict: gated ? (verdict.accepted ? 'accepted' : 'rejected') : 'recorded',
    reason: verdict.reason,
    measures: verdict.measures,
  }
}
