import { paintsTumors } from '../../config/jobs.js'
import type { RunConfig } from '../../config/schema.js'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { ConfigError, DataError } from '../../errors.js'
import type { QualityPolicy } from '../../quality/policy.js'
import type { SampledCase } from '../../sampling/sampling-plan.js'
import type { StageContext } from '../context.js'
import { sampledCases } from '../plan/sampling.js'
import type { EarlierWeights } from '../plan/spec.js'
import { refuseLeaks } from '../prepare/leak-check.js'
import { curateData, prepareData, type TrainingCase } from '../prepare/run.js'
import { openPolicy, refuseOtherBaseline, writeUsedCalibration } from '../quality-policy.js'
import { writeReviewSummary } from '../review-summary.js'
import { trainingLabels } from '../training-labels.js'
import { unaimedSizes } from '../tumor-sizes.js'
import {
  compareData,
  hashInputs,
  type InputHashes,
  type ResumePoint,
  recordInputs,
  sha256Of,
} from './resume.js'
import { earlierWeights, type StartTraining, wantedWeights } from './weights.js'

/** Prepared cases and weights of a training, before its runtime starts. */
export interface TrainingInputs {
  readonly weights: EarlierWeights
  readonly cases: readonly TrainingCase[]
  readonly fingerprint: InputHashes
  /** The cases that items are drawn from. */
  readonly sampled: readonly SampledCase[]
  /** The quality policy, with the thresholds of its calibration. */
  readonly policy: QualityPolicy
}

/**
 * Refuse scans in which the organ of a specialist is not labelled: the segmentor would learn it as background. A data set
 * that does not state its labelled organs is accepted.
 * @throws ConfigError naming the data set
 */
export function refuseOtherOrgans(
  config: RunConfig,
  cases: readonly Pick<ManifestCase, 'id' | 'dataset' | 'role' | 'split'>[],
): void {
  const { target } = config.training
  if (target === 'all') return
  const [organ] = trainingLabels(config).organs
  const other = cases.find(
    ({ role, split }) =>
      split === 'training' &&
      role.kind === 'labelled' &&
      role.organs.length > 0 &&
      !role.organs.includes(organ!.name),
  )
  if (other?.role.kind === 'labelled')
    throw new ConfigError(
      `training.target ${target}: ${other.dataset} has real tumors of another organ (expected ${organ!.name}, found ${other.role.organs.join(', ')})`,
      {
        hint: `remove ${other.dataset} from data.datasets, or give it \`role: host\` if the ${organ!.name} is labelled in it`,
      },
    )
}

/**
 * Gather the inputs in this order: leak check, so that a refused study trains no weights; earlier weights, because an
 * unsuitable file is found in seconds; prepared cases. `accepted` is called before the work that may take long. A resumed
 * run must find the data of its checkpoint, unless changes are accepted.
 */
export async function gatherInputs(
  config: RunConfig,
  context: StageContext,
  directory: string,
  resumed: ResumePoint | null,
  acceptChanges: boolean,
  start: StartTraining,
  accepted: () => void,
): Promise<TrainingInputs> {
  for (const text of unaimedSizes(config.simulation, config.prepare)) context.note(text, 'warning')
  const curation = await curateData(config, context)
  refuseOtherOrgans(config, curation.cases)
  await refuseLeaks(config, curation.cases, context)
  const opened = await policyOf(config)
  const { policy, calibration } = opened
  const weights = await earlierWeights(wantedWeights(config), context, start, accepted)
  if (calibration !== null && weights.baseline !== null)
    refuseOtherBaseline(calibration, await sha256Of(weights.baseline))
  const cases = await prepareData(config, context, curation)
  const { reviews } = curation
  const fingerprint = await hashInputs(
    config,
    cases,
    weights,
    reviews?.sha256 ?? null,
    calibration?.sha256 ?? null,
  )
  if (resumed !== null) {
    const changes = await compareData(directory, resumed, fingerprint, cases, reviews, acceptChanges)
    if (changes !== null) context.note(changes.text, changes.level)
  }
  await recordInputs(directory, config, cases)
  await writeReviewSummary(directory, reviews)
  await writeUsedCalibration(directory, opened, config.quality)
  const sampled = sampledCases(config, cases)
  if (sampled.length === 0)
    throw new DataError(`data.datasets: job ${config.job} has no training case`, {
      hint: 'run `freetumor data check` on the config: all cases are held out, or their roles do not fit',
    })
  return { weights, cases, fingerprint, sampled, policy }
}

/** Return the policy of a training; only a segmentation with synthetic tumors uses a calibration. */
function policyOf(config: RunConfig) {
  const { quality, prepare, job } = config
  const judges = job === 'segmentation' && paintsTumors(config)
  return openPolicy(judges ? quality : { ...quality, policy: 'published' }, prepare)
}
