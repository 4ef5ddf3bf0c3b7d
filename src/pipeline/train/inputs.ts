import type { RunConfig } from '../../config/schema.js'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { ConfigError, DataError } from '../../errors.js'
import type { SampledCase } from '../../sampling/sampling-plan.js'
import type { StageContext } from '../context.js'
import { sampledCases } from '../plan/sampling.js'
import type { EarlierWeights } from '../plan/spec.js'
import { refuseLeaks } from '../prepare/leak-check.js'
import { curateData, prepareData, type TrainingCase } from '../prepare/run.js'
import { trainingLabels } from '../training-labels.js'
import { compareData, hashInputs, type InputHashes, type ResumePoint, recordInputs } from './resume.js'
import { earlierWeights, type StartTraining, wantedWeights } from './weights.js'

/** Prepared cases and weights of a training, before its runtime starts. */
export interface TrainingInputs {
  readonly weights: EarlierWeights
  readonly cases: readonly TrainingCase[]
  readonly fingerprint: InputHashes
  /** Those that items are drawn from. */
  readonly sampled: readonly SampledCase[]
}

/**
 * A segmentor of one organ must not learn from scans in which that organ is not labelled: all of it would be background.
 * @throws ConfigError naming the data set; one that does not say which organs it labels is taken as it is
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
      `training.target ${target}: the real tumors of ${other.dataset} are of the ${other.role.organs.join(', ')}, not of the ${organ!.name}`,
      {
        hint: `remove ${other.dataset} from data.datasets, or give it \`role: host\` if the ${organ!.name} is labelled in it`,
      },
    )
}

/**
 * Leaks first: no weights are trained for a study that is refused. Then earlier weights, since a file that cannot serve is
 * known in seconds; then prepared cases. What may take long begins with the call of `accepted`. A resumed run must find
 * the data of its checkpoint, unless changes are accepted.
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
  const curation = await curateData(config, context)
  refuseOtherOrgans(config, curation.cases)
  await refuseLeaks(config, curation.cases, context)
  const weights = await earlierWeights(wantedWeights(config), context, start, accepted)
  const cases = await prepareData(config, context, curation)
  const fingerprint = await hashInputs(config, cases, weights)
  if (resumed !== null) {
    const changes = await compareData(directory, resumed, fingerprint, cases, acceptChanges)
    if (changes !== null) context.note(changes.text, changes.level)
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
