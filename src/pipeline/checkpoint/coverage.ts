import { CheckpointError, ConfigError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { LABEL_SCHEMES, type Organ, type OrganName } from '../../volume/labels.js'
import type { CheckpointFacts, NetworkFacts } from '../ports/checkpoint.js'
import { differences, isWhole, kindsOf } from './differences.js'

/** Organs whose tumors a segmentor labels: by name, and the number of tumor outputs without a name. */
export interface TumorCoverage {
  readonly named: readonly OrganName[]
  readonly unnamed: number
}

/** The organs that a stage paints, and how it uses its networks. */
export interface PaintingPlan {
  /** Organs that receive tumors. */
  readonly organs: readonly Organ[]
  /** Patch-merging order of the baseline; null: as its file states. */
  readonly baselineMerging: string | null
  /** Output of the generator for an organ; null: as its file states. */
  readonly generatorChannel: 'organ' | 'shared' | null
}

/** Return the organs that receive tumors. */
export function plannedOrgans(
  organs: readonly Organ[],
  weights: Readonly<Partial<Record<OrganName, number | undefined>>>,
): readonly Organ[] {
  return organs.filter(({ name }) => (weights[name] ?? 0) > 0)
}

/** Return the classes of a segmentor: its own label names, else the abdomen's for 7 outputs, else no names. */
export function tumorCoverage(facts: CheckpointFacts): TumorCoverage {
  const outputs = segmentorOf(facts)?.tumorOutputs ?? []
  const names = facts.metadata?.labelNames
  if (!Array.isArray(names)) {
    const generalist = segmentorOf(facts)?.outputs === LABEL_SCHEMES.abdomen.names.length
    return generalist
      ? { named: LABEL_SCHEMES.abdomen.organs.map((organ) => organ.name), unnamed: 0 }
      : { named: [], unnamed: outputs.length }
  }
  const organs = outputs.map((output) => organOfTumor(String(names[output])))
  const named = organs.filter((organ) => organ !== null)
  return { named, unnamed: organs.length - named.length }
}

/** Return whether the segmentor can detect tumors in all these organs. A tumor output without a name covers any one organ. */
export function covers(coverage: TumorCoverage, planned: readonly OrganName[]): boolean {
  return planned.filter((organ) => !coverage.named.includes(organ)).length <= coverage.unnamed
}

/**
 * Refuse a baseline that a run cannot use, before any rank starts.
 * @throws CheckpointError if it is no complete segmentor, or does not detect tumors of a planned organ; ConfigError if
 *   the configuration must state its patch-merging order
 */
export function refuseBlindBaseline(
  plan: Pick<PaintingPlan, 'organs' | 'baselineMerging'>,
  facts: CheckpointFacts,
): void {
  const where = `networks.baseline.checkpoint: ${facts.path}`
  const network = segmentorOf(facts)
  if (!network || network.tumorOutputs === null)
    throw new CheckpointError(
      `${where}: holds no segmentor with known tumor outputs (found ${network ? (network.outputs === null ? 'no outputs' : counted(network.outputs, 'output')) : kindsOf(facts.networks)})`,
      { hint: 'name weights with 7, 3 or 2 outputs, or the model.pt of a `baseline` run' },
    )
  if (!isWhole(network))
    throw new CheckpointError(`${where}: ${differences(network).join('; ')}`, {
      hint: 'run `freetumor checkpoint inspect` to list its tensors; a baseline must be complete',
    })
  const planned = namesOf(plan)
  if (!covers(tumorCoverage(facts), planned)) {
    const seen = tumorCoverage(facts).named.join(', ') || 'not named'
    throw new CheckpointError(
      `${where}: its tumor outputs ${network.tumorOutputs.join(', ')} (${seen}) do not cover the planned organs ${planned.join(', ')}`,
      { hint: COVER_HINT },
    )
  }
  if (facts.patchMerging.needed && plan.baselineMerging === null)
    throw new ConfigError(`${where}: does not state the patch-merging order of its SwinUNETR`, {
      hint: 'set networks.baseline.patchMerging; `freetumor checkpoint inspect --probe IMAGE LABELS` determines it',
    })
}

/**
 * Refuse to train a baseline that could not detect the planned tumors.
 * @param learned the organs whose tumors it would learn under the configuration `file`
 * @throws ConfigError
 */
export function refuseBlindTraining(
  plan: Pick<PaintingPlan, 'organs'>,
  learned: readonly Organ[],
  file: string,
): void {
  const planned = namesOf(plan)
  const named = learned.map((organ) => organ.name)
  if (!covers({ named, unnamed: 0 }, planned))
    throw new ConfigError(
      `networks.baseline.trainFrom: ${file} does not train on all planned organs (expected ${planned.join(', ')}, found ${named.join(', ')})`,
      { hint: COVER_HINT },
    )
}

/**
 * Refuse a generator that a run cannot paint with, before any rank starts.
 * @returns a warning for the user, or null
 * @throws CheckpointError
 */
export function refuseWrongGenerator(
  plan: Pick<PaintingPlan, 'organs' | 'generatorChannel'>,
  facts: CheckpointFacts,
): string | null {
  const where = `networks.generator.checkpoint: ${facts.path}`
  const network = facts.networks.find((one) => one.architecture === 'unet3d' && one.name !== 'netD')
  if (!network)
    throw new CheckpointError(`${where}: holds no generator (found ${kindsOf(facts.networks)})`, {
      hint: 'name a synthesis checkpoint',
    })
  if (!isWhole(network))
    throw new CheckpointError(`${where}: ${differences(network).join('; ')}`, {
      hint: 'run `freetumor checkpoint inspect` to list its tensors; a generator must be complete',
    })
  if (plan.generatorChannel !== 'organ') return null
  const outputs = network.outputs ?? 0
  const lacking = plan.organs.filter(({ channel }) => channel >= outputs)
  if (lacking.length > 0)
    throw new CheckpointError(
      `${where}: no output is for ${lacking.map(({ name }) => name).join(', ')} (found ${counted(outputs, 'output')})`,
      { hint: 'set networks.generator.channel: shared' },
    )
  const { untouchedOutputs } = facts.channelMode
  const untouched = plan.organs.filter(({ channel }) => untouchedOutputs.includes(channel))
  // If output 0 is untouched too, the training was short, not shared: another channel would not help.
  if (untouched.length === 0 || untouchedOutputs.includes(0)) return null
  return `${where}: its outputs for ${untouched.map(({ name }) => name).join(', ')} look untrained; set networks.generator.channel: shared`
}

function namesOf({ organs }: Pick<PaintingPlan, 'organs'>): readonly OrganName[] {
  return organs.map(({ name }) => name)
}

const COVER_HINT = 'name a baseline for these organs, or set the other simulation.organWeights to 0'

/** Return the segmentor of a file; undefined if it has none. */
export function segmentorOf(facts: CheckpointFacts): NetworkFacts | undefined {
  return facts.networks.find((one) => one.architecture !== null && one.architecture !== 'unet3d')
}

/** Return whether a file may state the prepared grid: an nnU-Net has a grid of its own, which its judge resamples to. */
export function statesPreparation(facts: CheckpointFacts | null): facts is CheckpointFacts {
  return facts !== null && facts.format !== 'nnunet'
}

function organOfTumor(name: string): OrganName | null {
  for (const scheme of Object.values(LABEL_SCHEMES)) {
    const organ = scheme.organs.find((one) => scheme.names[one.tumorLabel] === name)
    if (organ) return organ.name
  }
  return null
}
