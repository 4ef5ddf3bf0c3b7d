import { paintsTumors } from '../../config/jobs.js'
import { type NetworkStage, networkStages } from '../../config/network-stages.js'
import type { RunConfig } from '../../config/schema.js'
import { wantedMeasures, wantsAlreadySeen } from '../../quality/policy.js'
import { threadsOf } from '../../usable-processors.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { pluginSpec } from '../checkpoint/plugin.js'
import type { WeightsLicence } from '../ports/checkpoint.js'
import type { PluginFacts } from '../ports/plugin.js'
import type { OptimizerSpec, SegmentorSpec, SynthesisSpec, TrainingSpec } from '../ports/training.js'
import type { TrainingCase } from '../prepare/run.js'
import { type TrainingLabels, trainingLabels } from '../training-labels.js'
import { itemsPerEpoch, sampledCases, totalSteps } from './sampling.js'

/** Checkpoints of earlier trainings that a training uses; null without one. */
export interface EarlierWeights {
  readonly baseline: string | null
  readonly generator: string | null
  /** Licences of the weights of other projects among them, and of those that they build on. */
  readonly licences: readonly WeightsLicence[]
  /** Plug-ins that are used instead of weights. */
  readonly plugins?: Partial<Readonly<Record<'baseline' | 'generator', PluginFacts>>>
}

/** Inputs of a spec that are not in the configuration. */
export interface SpecContext {
  readonly runId: string
  readonly runDirectory: string
  readonly ownerNumber: number
  readonly textureDirectory: string
  readonly resumeFrom: string | null
  readonly fingerprint: TrainingSpec['fingerprint']
  readonly cases: readonly TrainingCase[]
  readonly weights: EarlierWeights
  /** File that the segmentor starts from. */
  readonly initialWeights: string | null
}

/** Return the training as Python receives it; `plan.json` holds it in this order. */
export function trainingSpec(config: RunConfig, context: SpecContext): TrainingSpec {
  const { training, sampling } = config
  const labels = trainingLabels(config)
  const steps = totalSteps(config, sampledCases(config, context.cases))
  return {
    job: config.job,
    runId: context.runId,
    runDirectory: context.runDirectory,
    ownerNumber: context.ownerNumber,
    seed: config.seed,
    region: config.region,
    steps,
    resumeFrom: context.resumeFrom,
    fingerprint: context.fingerprint,
    itemsPerStep: sampling.itemsPerStep,
    cropsPerVolume: sampling.cropsPerVolume,
    accumulation: training.accumulation,
    patchVoxels: sampling.patchVoxels,
    windowHu: config.prepare.windowHu,
    spacingMm: config.prepare.spacingMm,
    organs: LABEL_SCHEMES[config.region].organs,
    trainingLabels: labels.map,
    labelNames: labels.names,
    crossEntropyWeights: crossEntropyWeights(training, labels),
    mixing: sampling.mixing,
    synthesis: synthesisSpec(config, context.textureDirectory),
    segmentor: segmentorSpec(config, context.initialWeights, labels),
    baseline: baselineSpec(config, context.weights),
    generator: generatorSpec(config, context.weights),
    optimizer: optimizerSpec(config, context.cases),
    adversarialWeight: training.adversarialWeight,
    freeze: training.freeze,
    ...ofRuntime(config.runtime),
    validation: validationSpec(config, context.cases),
    checkpoint: { everySteps: training.checkpointEverySteps },
    pictures: config.report.pictures,
    licences: context.weights.licences,
  }
}

/** Return the keys of `runtime` that the ranks need, in the order of the spec. */
function ofRuntime(runtime: RunConfig['runtime']) {
  const { precision, reproducible, compile, memoryFormat, device, processesPerNode } = runtime
  const threadsPerProcess = threadsOf(runtime).threads
  return { precision, reproducible, compile, memoryFormat, device, processesPerNode, threadsPerProcess }
}

function crossEntropyWeights(training: RunConfig['training'], labels: TrainingLabels): number[] {
  const { background, organ, tumor } = training.crossEntropyWeights
  return labels.names.map((_, id) => (id === 0 ? background : labels.tumorIds.includes(id) ? tumor : organ))
}

function synthesisSpec(config: RunConfig, textureDirectory: string): SynthesisSpec | null {
  if (!paintsTumors(config)) return null
  return {
    textureSizeVoxels: config.simulation.texture.sizeVoxels,
    textureDirectory,
    textureSeed: config.seed,
    gated: config.job === 'segmentation',
    measureAlreadySeen: wantsAlreadySeen(config.quality),
    measures: wantedMeasures(config.quality),
  }
}

function segmentorSpec(
  config: RunConfig,
  initialWeights: string | null,
  labels: TrainingLabels,
): SegmentorSpec {
  const { preset: _, ...segmentor } = config.networks.segmentor
  return { ...segmentor, stages: segmentorStages(config), initialWeights, outputs: labels.names.length }
}

/** Return the resolutions of a `resenc` or `unet`; none for the other kinds. */
export function segmentorStages({ networks, sampling, prepare }: RunConfig): NetworkStage[] {
  const { kind, featureSize } = networks.segmentor
  if (kind !== 'resenc' && kind !== 'unet') return []
  return networkStages(kind, featureSize, sampling.patchVoxels, prepare.spacingMm)
}

function baselineSpec(config: RunConfig, weights: EarlierWeights): TrainingSpec['baseline'] {
  const { baseline } = config.networks
  if (!paintsTumors(config) || !baseline) return null
  const plugin = pluginSpec(baseline.plugin)
  if (!weights.baseline && plugin === null) return null
  const { patchMerging } = baseline
  return { checkpoint: weights.baseline, patchMerging, weights: baseline.weights, plugin }
}

function generatorSpec(config: RunConfig, weights: EarlierWeights): TrainingSpec['generator'] {
  const { generator } = config.networks
  if (!paintsTumors(config) || !generator) return null
  const { checkpoint } = generator
  return {
    checkpoint: weights.generator,
    use: typeof checkpoint === 'object' ? (checkpoint?.use ?? 'both') : 'both',
    weights: generator.weights,
    baseChannels: generator.baseChannels,
    channel: generator.channel,
    outputs: LABEL_SCHEMES[config.region].organs.length,
    activationCheckpointing: generator.activationCheckpointing,
    plugin: pluginSpec(generator.plugin),
  }
}

function optimizerSpec(config: RunConfig, cases: readonly TrainingCase[]): OptimizerSpec {
  const { training } = config
  const warmupSteps =
    training.warmupSteps ?? Math.round((training.warmupEpochs ?? 0) * stepsPerEpoch(config, cases))
  return {
    kind: training.optimizer,
    learningRate: training.learningRate,
    weightDecay: training.weightDecay,
    schedule: training.schedule,
    warmupSteps,
    gradientClip: training.gradientClip,
  }
}

function validationSpec(config: RunConfig, cases: readonly TrainingCase[]): TrainingSpec['validation'] {
  const { overlap, blend, windowBatch } = config.evaluation
  const { validateEverySteps: steps, validateEveryEpochs: epochs } = config.training
  return {
    everySteps: epochs === null ? steps : Math.max(1, Math.round(epochs * stepsPerEpoch(config, cases))),
    cases: cases
      .filter((item) => item.heldOut)
      .map(({ id, path, content }) => ({ id, path, contentSha256: content })),
    windows: { overlap, blend, windowBatch },
  }
}

function stepsPerEpoch(config: RunConfig, cases: readonly TrainingCase[]): number {
  return itemsPerEpoch(sampledCases(config, cases)) / config.sampling.itemsPerStep
}
