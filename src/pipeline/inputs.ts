import type { RunConfig } from '../config/schema.js'
import { DataError } from '../errors.js'
import type { SampledCase } from '../sampling/plan.js'
import type { StageContext } from './context.js'
import { curateData, prepareData } from './data.js'
import { refuseLeaks } from './leak-gate.js'
import { compareData, type Fingerprint, fingerprintOf, type ResumePoint, recordInputs } from './resume.js'
import { type CuratedCase, type EarlierWeights, sampledCases } from './specs.js'
import { earlierWeights, type StartTraining } from './weights.js'

/** What a training is made of before its runtime starts. */
export interface TrainingInputs {
  readonly weights: EarlierWeights
  readonly cases: readonly CuratedCase[]
  readonly fingerprint: Fingerprint
  /** Those that items are drawn from. */
  readonly sampled: readonly SampledCase[]
}

/**
 * Leaks first: no weights are trained for a study that is refused. Then earlier weights, since a file that cannot serve is
 * known in seconds; then prepared cases. A run that goes on must find what it left, unless changes are accepted.
 */
export async function gatherInputs(
  config: RunConfig,
  context: StageContext,
  directory: string,
  resumed: ResumePoint | null,
  acceptChanges: boolean,
  start: StartTraining,
): Promise<TrainingInputs> {
  const curation = await curateData(config, context)
  await refuseLeaks(config, curation.cases, context)
  const weights = await earlierWeights(config, context, start)
  const cases = await prepareData(config, context, curation)
  const fingerprint = await fingerprintOf(config, cases, weights)
  if (resumed !== null) {
    const told = await compareData(directory, resumed, fingerprint, cases, acceptChanges)
    if (told !== null) context.note(told.text, told.level)
  }
  await recordInputs(directory, config, cases)
  const sampled = sampledCases(config, cases)
  if (sampled.length === 0)
    throw new DataError(
      `job ${config.job} has no training case: every data set is empty, held out or of another role`,
      {
        hint: '`freetumor data check` on the config tells which',
      },
    )
  return { weights, cases, fingerprint, sampled }
}
