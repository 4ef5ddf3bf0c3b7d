import { checkPainting } from '../../config/check-together.js'
import { deepFreeze } from '../../config/complete.js'
import { resolveSections } from '../../config/resolve-sections.js'
import type { ConfigInput, RunConfig } from '../../config/schema.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import {
  plannedOrgans,
  refuseWrongGenerator,
  segmentorOf,
  statesPreparation,
} from '../checkpoint/coverage.js'
import { isWhole } from '../checkpoint/differences.js'
import { notStated } from '../checkpoint/hints.js'
import { setsOf, type WeightSets } from '../checkpoint/weight-sets.js'
import type { CheckpointFacts } from '../ports/checkpoint.js'
import { unaimedSizes } from '../tumor-sizes.js'

/** Settings of a warm runtime. An option that the files state may be omitted and must not contradict them. */
export interface ServingOptions {
  /** Default: `auto`, which is CUDA if there is a device. */
  readonly device?: 'auto' | 'cpu' | 'cuda' | undefined
  /** Region whose published intensity window, spacing and patch hold if the files do not state them. */
  readonly region?: Region | undefined
  readonly windowHu?: readonly [number, number] | undefined
  readonly spacingMm?: Vec3 | undefined
  /** Size of the sliding windows. If given, it holds for both networks, whatever their files state. */
  readonly patchVoxels?: Vec3 | undefined
  /** Patch-merging order of a SwinUNETR whose file does not state it. */
  readonly merging?: 'legacy' | 'corrected' | 'v2' | undefined
  /** Sets of weights in the files of generator and baseline, where a file holds several. */
  readonly weights?: WeightSets | undefined
  /** Output of the generator for an organ. Default: what its file states, else `shared` as published. */
  readonly channel?: 'organ' | 'shared' | undefined
  /** Sizes and textures of tumors, rules of acceptance, overlap of windows: sections of a run's configuration. */
  readonly simulation?: ConfigInput['simulation'] | undefined
  readonly quality?: ConfigInput['quality'] | undefined
  readonly synthesize?: ConfigInput['synthesize'] | undefined
  readonly evaluation?: ConfigInput['evaluation'] | undefined
  /** Seed of the textures. Default: 0. */
  readonly seed?: number | undefined
  /** Folder that keeps the textures. Default: `.freetumor/cache`. */
  readonly cache?: string | undefined
  /** Number of threads of a computation on the CPU. Default: 1. */
  readonly threads?: number | undefined
}

/** The sections of a configuration that hold for every call of a warm runtime. */
export interface ServeConfig
  extends Pick<RunConfig, 'seed' | 'region' | 'simulation' | 'quality' | 'synthesize' | 'evaluation'> {
  readonly prepare: Pick<RunConfig['prepare'], 'cache' | 'windowHu' | 'spacingMm'>
  /** `patchVoxels` is the size of the sliding windows of the generator. */
  readonly sampling: Pick<RunConfig['sampling'], 'patchVoxels'>
  readonly networks: Pick<RunConfig['networks'], 'baseline' | 'generator'>
  readonly runtime: Pick<RunConfig['runtime'], 'device' | 'threadsPerProcess'>
}

export interface ServeSettings {
  readonly config: ServeConfig
  readonly generator: CheckpointFacts | null
  readonly baseline: CheckpointFacts | null
  /** Size of the sliding windows of the segmentor. */
  readonly segmentPatchVoxels: Vec3
  /** Warnings for the user. */
  readonly notes: readonly string[]
}

const PREPARATION = ['windowHu', 'spacingMm'] as const
const SECTIONS = [
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
] as const

/**
 * Combine the metadata of the files, the options and the region.
 * @throws CheckpointError for a file without the expected network; UsageError for a setting that is missing or stated
 *   twice with different values
 */
export function serveSettings(
  options: ServingOptions,
  generator: CheckpointFacts | null,
  baseline: CheckpointFacts | null,
): ServeSettings {
  const files = [generator, baseline].filter(statesPreparation)
  const region = agreed('region', options.region, files)
  if (region === undefined)
    throw new UsageError(notStated(files, ['region', 'intensity window', 'spacing', 'patch']), {
      hint: "pass `region: 'abdomen'` or `region: 'chest'`",
    })
  const [windowHu, spacingMm] = PREPARATION.map((key) => agreed(key, options[key], files))
  const patchVoxels =
    options.patchVoxels ?? files.find(({ metadata }) => metadata?.patchVoxels)?.metadata?.patchVoxels
  const known = { windowHu, spacingMm, patchVoxels }
  const missing = Object.entries(known).flatMap(([key, value]) => (value === undefined ? [key] : []))
  if (missing.length > 0 && options.region === undefined)
    throw new UsageError(notStated(files, missing), {
      hint: `pass ${missing.join(', ')}, or \`region\` for the published values`,
    })
  const channel = options.channel ?? generator?.channelMode.mode ?? 'shared'
  const config = configOf(options, region as Region, known, { generator, baseline, channel })
  if (baseline !== null) refuseNoSegmentor(baseline, options)
  const organs = plannedOrgans(LABEL_SCHEMES[config.region].organs, config.simulation.organWeights)
  const notes: (string | null)[] = unaimedSizes(config.simulation, config.prepare)
  if (generator !== null) notes.push(refuseWrongGenerator({ organs, generatorChannel: channel }, generator))
  if (baseline?.patchMerging.assumed && options.merging === undefined)
    notes.push(`${baseline.path}: patch-merging order ${baseline.patchMerging.order} is assumed`)
  const own = statesPreparation(baseline) ? (baseline.metadata?.patchVoxels as Vec3 | undefined) : undefined
  return {
    config,
    generator,
    baseline,
    segmentPatchVoxels: options.patchVoxels ?? own ?? config.sampling.patchVoxels,
    notes: notes.filter((note) => note !== null),
  }
}

/** Return the value of option and files, which must agree. */
function agreed(key: string, option: unknown, files: readonly CheckpointFacts[]): unknown {
  const stated: { readonly source: string; readonly value: unknown }[] = files.flatMap(
    ({ path, metadata }) =>
      metadata?.[key] == null ? [] : [{ source: path, value: metadata[key] as unknown }],
  )
  if (option !== undefined) stated.unshift({ source: 'the option', value: option })
  const [first] = stated
  const other = stated.find(({ value }) => JSON.stringify(value) !== JSON.stringify(first!.value))
  if (other)
    throw new UsageError(
      `${key}: ${first!.source} states ${JSON.stringify(first!.value)}, ${other.source} states ${JSON.stringify(other.value)}`,
      { hint: 'use files of one preparation: weights work only on the data that they were trained for' },
    )
  return first?.value
}

interface Networks {
  readonly generator: CheckpointFacts | null
  readonly baseline: CheckpointFacts | null
  readonly channel: 'organ' | 'shared'
}

function configOf(
  options: ServingOptions,
  region: Region,
  known: { readonly windowHu?: unknown; readonly spacingMm?: unknown; readonly patchVoxels?: unknown },
  { generator, baseline, channel }: Networks,
): ServeConfig {
  const { windowHu, spacingMm, patchVoxels } = known
  const weights = setsOf(options.weights)
  const input = {
    job: 'segmentation',
    region,
    seed: options.seed ?? 0,
    prepare: { cache: options.cache, windowHu, spacingMm },
    sampling: { patchVoxels },
    networks: {
      baseline: baseline && {
        checkpoint: baseline.path,
        weights: weights.baseline,
        trainFrom: null,
        patchMerging: options.merging,
      },
      generator: generator && {
        checkpoint: generator.path,
        weights: weights.generator,
        trainFrom: null,
        channel,
      },
    },
    simulation: options.simulation,
    quality: options.quality,
    synthesize: options.synthesize,
    evaluation: options.evaluation,
    runtime: { device: options.device ?? 'auto', threadsPerProcess: options.threads ?? 1 },
  }
  const { prepare, sampling, networks, runtime, ...sections } = resolveSections(
    SECTIONS,
    input,
    'openRuntime',
  )
  checkPainting({ ...sections, prepare, sampling, networks }, 'openRuntime')
  return deepFreeze({
    ...sections,
    prepare: { cache: prepare.cache, windowHu: prepare.windowHu, spacingMm: prepare.spacingMm },
    sampling: { patchVoxels: sampling.patchVoxels },
    networks: { baseline: networks.baseline, generator: networks.generator },
    runtime: { device: runtime.device, threadsPerProcess: runtime.threadsPerProcess },
  })
}

function refuseNoSegmentor(facts: CheckpointFacts, { merging }: ServingOptions): void {
  const network = segmentorOf(facts)
  if (!network || network.tumorOutputs === null || !isWhole(network))
    throw new CheckpointError(`baseline: ${facts.path} holds no complete segmentor (found ${facts.kind})`, {
      hint: 'run `freetumor checkpoint inspect` to list its content',
    })
  if (facts.patchMerging.needed && merging === undefined)
    throw new UsageError(`baseline: ${facts.path} does not state the patch-merging order of its SwinUNETR`, {
      hint: 'pass `merging`; `freetumor checkpoint inspect --probe IMAGE LABELS` determines it',
    })
}
