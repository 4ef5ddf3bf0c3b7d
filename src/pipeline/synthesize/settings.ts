import { checkPainting } from '../../config/check-together.js'
import { withOverrides } from '../../config/load.js'
import { resolveSections } from '../../config/resolve-sections.js'
import type { RunConfig } from '../../config/schema.js'
import { ConfigError, UsageError } from '../../errors.js'
import type { WeightedOrgan } from '../../sampling/sampling-plan.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import { statesPreparation } from '../checkpoint/coverage.js'
import { generatorFile } from '../checkpoint/generator-file.js'
import { notStated } from '../checkpoint/hints.js'
import { setsOf, type WeightSets } from '../checkpoint/weight-sets.js'
import type { CheckpointFacts } from '../ports/checkpoint.js'
import type { WantedWeights } from '../train/weights.js'
import { sizeSettings } from '../tumor-sizes.js'

const SECTIONS = [
  'name',
  'seed',
  'region',
  'prepare',
  'simulation',
  'sampling',
  'networks',
  'quality',
  'synthesize',
  'evaluation',
  'runtime',
  'report',
] as const

/** The sections of a configuration that offline synthesis reads; its host CTs are listed separately. */
export type SynthesisSections = Pick<RunConfig, (typeof SECTIONS)[number]>

/** All settings of an offline synthesis except for its host CTs. */
export interface SynthesisSettings
  extends Omit<SynthesisSections, 'sampling' | 'networks'>,
    Omit<WantedWeights, 'prepare'> {
  /** Size of the sliding windows of both networks. */
  readonly patchVoxels: Vec3
  /** Organs that receive tumors. */
  readonly organs: readonly WeightedOrgan[]
}

/** Flags of `freetumor synthesize`, which replace keys of a configuration. */
export interface SynthesisFlags {
  readonly generator?: string | undefined
  readonly baseline?: string | undefined
  /** Sets of weights in the files of the two, where a file holds several. */
  readonly weights?: WeightSets | undefined
  readonly region?: Region | 'specialist' | undefined
  readonly organs?: readonly OrganName[] | undefined
  readonly variants?: number | undefined
  readonly tumors?: number | undefined
  readonly seed?: number | undefined
  readonly channel?: 'organ' | 'shared' | undefined
  readonly merging?: 'legacy' | 'corrected' | 'v2' | undefined
  readonly layout?: 'plain' | 'nnunet' | undefined
  readonly method?: 'simulated' | 'shrunk' | undefined
  readonly workers?: number | undefined
  /** File of review decisions, or the folder that holds it. */
  readonly reviews?: string | undefined
  readonly keepRejected?: number | undefined
}

/**
 * Return the settings of a configuration, overridden by flags.
 * @throws ConfigError, UsageError for a value that is not allowed or an organ of another region
 */
export function synthesisSettings(
  sections: SynthesisSections,
  flags: SynthesisFlags = {},
): SynthesisSettings {
  const { name, region, prepare, quality, evaluation, report, networks, sampling } = sections
  const { seed, synthesize, simulation, runtime } = withFlags(sections, flags)
  const organWeights = plannedWeights(region, synthesize.specialist, simulation.organWeights)
  const isShrunk = synthesize.method === 'shrunk'
  if (isShrunk) checkShrunk(synthesize, prepare, flags)
  else sizeSettings(simulation, prepare)
  const { baseline } = networks
  // a configuration of a training may have a generator: copies of real tumors do not need it
  const generator = isShrunk ? null : networks.generator
  const weights = setsOf(flags.weights)
  return {
    name,
    seed,
    region,
    prepare,
    simulation: { ...simulation, organWeights },
    patchVoxels: sampling.patchVoxels,
    generator: flags.generator
      ? { checkpoint: flags.generator, weights: weights.generator, trainFrom: null, plugin: null }
      : generator && {
          checkpoint: generatorFile(generator.checkpoint),
          weights: generator.weights,
          trainFrom: generator.trainFrom,
          plugin: generator.plugin,
        },
    baseline: flags.baseline
      ? { checkpoint: flags.baseline, weights: weights.baseline, trainFrom: null, plugin: null }
      : baseline,
    organs: weightedOrgans(region, organWeights),
    generatorChannel: flags.channel ?? generator?.channel ?? (flags.generator ? 'shared' : null),
    baselineMerging: flags.merging ?? (flags.baseline ? null : (baseline?.patchMerging ?? null)),
    quality: { ...quality, reviews: flags.reviews ?? quality.reviews },
    synthesize,
    evaluation,
    runtime,
    report,
  }
}

export interface SettingsOfWeightsOptions {
  /** `key=value` pairs of a configuration, laid over the published settings. */
  readonly set: readonly string[]
  /** Folder of the prepared hosts. */
  readonly cache: string
}

/**
 * Return the settings that flags and checkpoints state; others are the published ones.
 * @param stated the files of `flags.generator` and `flags.baseline`
 * @throws UsageError if no file and no flag states the region; errors of `synthesisSettings`
 */
export function settingsOfWeights(
  flags: SynthesisFlags,
  stated: { readonly generator: CheckpointFacts | null; readonly baseline: CheckpointFacts | null },
  { set, cache }: SettingsOfWeightsOptions,
): SynthesisSettings {
  const files = [stated.generator, stated.baseline].filter(statesPreparation)
  const ofFirst = (key: string): unknown =>
    files.find(({ metadata }) => metadata?.[key])?.metadata?.[key] ?? undefined
  const region = bodyRegion(flags) ?? ofFirst('region')
  if (region === undefined)
    throw new UsageError(notStated(files, ['region', 'intensity window', 'spacing', 'patch']), {
      hint: 'pass --region abdomen or --region chest, or --config FILE',
    })
  const { generator } = stated
  const isShared =
    generator !== null && (flags.channel ?? generator.channelMode.mode ?? 'shared') === 'shared'
  const input = {
    job: 'segmentation',
    name: 'synthesis',
    region,
    prepare: { cache, windowHu: ofFirst('windowHu'), spacingMm: ofFirst('spacingMm') },
    sampling: { patchVoxels: ofFirst('patchVoxels') },
    // as published, see `simulation.texture.count`
    simulation: region === 'abdomen' && isShared ? { texture: { count: 1 } } : {},
    networks: { baseline: null, generator: null },
  }
  const sections = resolveSections(SECTIONS, withOverrides(input, set))
  checkPainting(sections, 'config')
  return { ...synthesisSettings(sections, flags), generatorChannel: flags.channel ?? null }
}

/** Return the region of the flags; for a specialist, the region of its organ. `withFlags` refuses one without an organ. */
function bodyRegion({ region, organs }: SynthesisFlags): Region | undefined {
  if (region !== 'specialist') return region
  return organs?.[0] === 'lung' ? 'chest' : 'abdomen'
}

function withFlags(
  { seed, region, synthesize, simulation, runtime }: SynthesisSections,
  flags: SynthesisFlags,
): Pick<SynthesisSections, 'seed' | 'synthesize' | 'simulation' | 'runtime'> {
  const organs = flags.organs ?? []
  if (flags.region === 'specialist' && organs.length !== 1)
    throw new UsageError('--region specialist: needs exactly one organ', {
      hint: 'pass --organs NAME',
    })
  const known = organNames(region)
  const strange = organs.filter((name) => !known.includes(name))
  if (strange.length > 0)
    throw new UsageError(`--organs: ${strange.join(', ')} is no organ of the ${region}`, {
      hint: organsHint(region),
    })
  const weights = organs.map((name) => [name, simulation.organWeights[name] || 1] as const)
  return resolveSections(['seed', 'synthesize', 'simulation', 'runtime'], {
    job: 'segmentation',
    region,
    seed: flags.seed ?? seed,
    synthesize: {
      ...synthesize,
      variants: flags.variants ?? synthesize.variants,
      tumorsPerVariant: flags.tumors ?? synthesize.tumorsPerVariant,
      layout: flags.layout ?? synthesize.layout,
      method: flags.method ?? synthesize.method,
      keepRejected: flags.keepRejected ?? synthesize.keepRejected,
      specialist: flags.region === 'specialist' ? organs[0] : synthesize.specialist,
    },
    simulation: {
      ...simulation,
      organWeights: organs.length === 0 ? simulation.organWeights : Object.fromEntries(weights),
    },
    runtime: { ...runtime, processesPerNode: flags.workers ?? runtime.processesPerNode },
  })
}

/** Copies of fewer voxels across have neither a shape nor a certain label (docs/method.md#shrunk-real-tumors). */
const LEAST_VOXELS = 3

function checkShrunk(
  { shrunkDiameterMm: [smallestMm] }: SynthesisSections['synthesize'],
  { spacingMm }: SynthesisSections['prepare'],
  { generator }: SynthesisFlags,
): void {
  if (generator !== undefined)
    throw new UsageError('--generator: not possible with method shrunk, which copies real tumors', {
      hint: 'omit --generator, or use --method simulated',
    })
  const leastMm = LEAST_VOXELS * Math.max(...spacingMm)
  if (smallestMm < leastMm)
    throw new ConfigError(
      `synthesize.shrunkDiameterMm: too small for the grid (expected at least ${LEAST_VOXELS} voxels, ${leastMm} mm, found ${smallestMm} mm)`,
      {
        hint: `set prepare.spacingMm to at most ${Math.floor((100 * smallestMm) / LEAST_VOXELS) / 100} mm along each axis, or larger diameters`,
      },
    )
}

type OrganWeights = SynthesisSections['simulation']['organWeights']

/** Return the weights of the organs that receive tumors; for a specialist, that of its organ alone. */
function plannedWeights(region: Region, specialist: OrganName | null, weights: OrganWeights): OrganWeights {
  if (specialist === null) return weights
  if (!organNames(region).includes(specialist))
    throw new ConfigError(`synthesize.specialist: ${specialist} is no organ of the ${region}`, {
      hint: organsHint(region),
    })
  return { [specialist]: weights[specialist] || 1 }
}

function weightedOrgans(region: Region, weights: OrganWeights): WeightedOrgan[] {
  const wanted = LABEL_SCHEMES[region].organs.flatMap((organ) => {
    const weight = weights[organ.name] ?? 0
    return weight > 0 ? [{ ...organ, weight }] : []
  })
  if (wanted.length === 0)
    throw new ConfigError('simulation.organWeights: no organ of the region has a weight above 0', {
      hint: `give one of ${organNames(region).join(', ')} a weight`,
    })
  return wanted
}

function organNames(region: Region): readonly OrganName[] {
  return LABEL_SCHEMES[region].organs.map(({ name }) => name)
}

function organsHint(region: Region): string {
  return `organs of the ${region}: ${organNames(region).join(', ')}`
}
