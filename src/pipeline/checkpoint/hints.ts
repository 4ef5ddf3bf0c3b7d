import type { RunConfig } from '../../config/schema.js'
import { FreetumorError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { CheckpointFacts, NetworkFacts } from '../ports/checkpoint.js'
import { trainingLabels } from '../training-labels.js'
import { plannedOrgans, refuseBlindBaseline, segmentorOf } from './coverage.js'

/** The sections of a configuration that a file is compared with. */
export type ComparedSections = Pick<
  RunConfig,
  'job' | 'region' | 'prepare' | 'simulation' | 'sampling' | 'networks' | 'training'
>

/**
 * Return hints about a file: its faults and their remedies. With a configuration, also its differences from the
 * networks that the configuration asks for.
 */
export function checkpointHints(facts: CheckpointFacts, config: ComparedSections | null): readonly string[] {
  return [
    ...facts.networks.flatMap(networkHints),
    ...mergingHints(facts),
    ...channelHints(facts),
    ...(config ? configHints(facts, config) : []),
    ...(facts.verifiedBy === 'nothing'
      ? ['the file has no checksum and no manifest.json next to it: compare its sha256 yourself']
      : []),
  ]
}

function networkHints(network: NetworkFacts): string[] {
  const { name, architecture, causes, unexpected, notFinite } = network
  const hints = [...causes.map((cause) => `${name}: ${cause}`), ...useHints(network)]
  if (architecture !== null && unexpected > 0)
    hints.push(
      `${name} has ${counted(unexpected, 'tensor', ['that does', 'that do'])} not belong to its ${architecture}; loading ignores this where allowed`,
    )
  if (notFinite.length > 0)
    hints.push(
      `${name} holds NaN or infinity in ${counted(notFinite.length, 'tensor')}, first in ${notFinite[0]}`,
    )
  return hints
}

/** Possible uses of a network that is unknown, incomplete or of other outputs. */
function useHints(network: NetworkFacts): string[] {
  const { name, architecture, family, causes, missing, missingKeys, outputs, tumorOutputs } = network
  if (architecture === null)
    return [
      family === null
        ? `${name} is no network that is known; ${closest(network)}`
        : `${name} is ${family}, which freetumor cannot use`,
    ]
  if (causes.length > 0) return []
  if (missing > 0 && architecture === 'swinunetr' && outputs === null)
    return [
      missingKeys.every((key) => key.startsWith('out.'))
        ? `${name} is whole but for its head: it can start a segmentor (networks.segmentor.initialWeights)`
        : `${name} is the encoder of a SwinUNETR: it can start a segmentor (networks.segmentor.initialWeights)`,
    ]
  if (missing > 0)
    return [
      `${name} lacks ${counted(missing, 'tensor')} of its ${architecture}, so it does not load strictly`,
    ]
  return architecture !== 'unet3d' && outputs !== null && tumorOutputs === null
    ? [
        `${name} has ${outputs} outputs of unknown labels: it can start a segmentor, but not predict or be a baseline`,
      ]
    : []
}

function closest(network: NetworkFacts): string {
  const best = Object.entries(network.against).sort(([, one], [, other]) => other.matched - one.matched)[0]
  if (!best || best[1].matched === 0) return 'no tensor agrees with a published one'
  return `closest is ${best[0]} with ${counted(best[1].matched, 'tensor')} matched and ${best[1].missing} missing`
}

function mergingHints(facts: CheckpointFacts): string[] {
  const { order, assumed, needed } = facts.patchMerging
  if (needed)
    return [
      'the patch-merging order is not stated: give --merging (legacy for weights of MONAI before 1.5, corrected for newer ones), or find it out with --probe IMAGE LABELS',
    ]
  return assumed
    ? [`patch-merging order ${order} is assumed, as for every published file; --probe confirms it`]
    : []
}

function channelHints(facts: CheckpointFacts): string[] {
  const { mode, assumed, untouchedOutputs } = facts.channelMode
  if (mode === null) return []
  const generator = facts.networks.find((one) => one.architecture === 'unet3d')
  if (untouchedOutputs.length > 0 && untouchedOutputs.length === generator?.outputs)
    return ['no output of the generator looks trained']
  const advice = `use the generator with channel: shared`
  if (untouchedOutputs.length > 0)
    return [`${outputs(untouchedOutputs)} of the generator look untrained: ${advice}`]
  return assumed && (generator?.outputs ?? 1) > 1
    ? [`the channel mode is not stated; as published, ${advice}`]
    : []
}

function configHints(facts: CheckpointFacts, config: ComparedSections): string[] {
  return [
    ...facts.networks.flatMap((network) => sizeHints(network, config)),
    ...preparationHints(facts, config),
    ...orderHints(facts, config),
    ...baselineHints(facts, config),
  ]
}

function sizeHints({ name, architecture, width, outputs }: NetworkFacts, config: ComparedSections): string[] {
  const { generator, segmentor } = config.networks
  if (architecture === 'unet3d')
    return generator && width !== generator.baseChannels
      ? [`${name}: wrong base channels (the config expects ${generator.baseChannels}, found ${width})`]
      : []
  // the segmentor inside a synthesis checkpoint is not the one that the config trains
  if (architecture === null || name !== 'network') return []
  const hints: string[] = []
  const wanted = trainingLabels(config).names.length
  if (outputs !== null && outputs !== wanted)
    hints.push(
      `wrong number of outputs (job ${config.job} with target ${config.training.target} expects ${wanted}, found ${outputs})`,
    )
  if (architecture !== segmentor.kind)
    hints.push(`wrong segmentor (the config expects ${segmentor.kind}, found ${architecture})`)
  else if (width !== segmentor.featureSize)
    hints.push(`wrong feature size (the config expects ${segmentor.featureSize}, found ${width})`)
  return hints
}

/** Return why the run would refuse the file as its baseline; empty if the file is not meant as one. */
function baselineHints(facts: CheckpointFacts, config: ComparedSections): string[] {
  const { baseline } = config.networks
  if (baseline === null || facts.kind === 'generator' || !segmentorOf(facts)) return []
  const organs = plannedOrgans(trainingLabels(config).organs, config.simulation.organWeights)
  try {
    refuseBlindBaseline({ organs, baselineMerging: baseline.patchMerging }, facts)
    return []
  } catch (error) {
    if (!(error instanceof FreetumorError)) throw error
    return [`it cannot be the baseline of this run: ${error.message}`]
  }
}

function orderHints(facts: CheckpointFacts, config: ComparedSections): string[] {
  const { order } = facts.patchMerging
  if (facts.kind === 'generator') return []
  const wanted = config.networks.segmentor.patchMerging
  return order !== null && order !== wanted
    ? [`wrong patch-merging order (the config expects ${wanted}, found ${order})`]
    : []
}

/** Compare region, intensity window, spacing and patch with those of the training: weights work on no others. */
function preparationHints(facts: CheckpointFacts, config: ComparedSections): string[] {
  const wanted = {
    region: config.region,
    windowHu: config.prepare.windowHu,
    spacingMm: config.prepare.spacingMm,
    patchVoxels: config.sampling.patchVoxels,
  }
  return Object.entries(wanted).flatMap(([key, value]) => {
    const found = facts.metadata?.[key]
    return found === undefined || JSON.stringify(found) === JSON.stringify(value)
      ? []
      : [`wrong ${key} (the config expects ${JSON.stringify(value)}, found ${JSON.stringify(found)})`]
  })
}

/** Return the message for settings that no checkpoint states. */
export function notStated(files: readonly CheckpointFacts[], settings: readonly string[]): string {
  const paths = files.map(({ path }) => path)
  if (paths.length === 0) return `no checkpoint and no option states the ${settings.join(', ')}`
  return `${paths.join(' and ')}: ${paths.length === 1 ? 'does' : 'do'} not state the ${settings.join(', ')}`
}

function outputs(numbers: readonly number[]): string {
  if (numbers.length === 1) return `channel ${numbers[0]}`
  return `channels ${numbers.slice(0, -1).join(', ')} and ${numbers.at(-1)}`
}
