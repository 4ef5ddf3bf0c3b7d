import type { RunConfig } from '../config/schema.js'
import { wantedMeasures, wantsAlreadySeen } from '../quality/policy.js'
import type { SampledCase, SamplingPlan } from '../sampling/plan.js'
import { radiiOfVolumes, radiusVoxelsOf, type SizeSettings } from '../simulation/size.js'
import { LABEL_SCHEMES, type LabelScheme, type Organ, type OrganName } from '../volume/labels.js'
import type { TrainingSpec } from './ports/training.js'

/** A prepared case with the part it plays in a run. */
export interface CuratedCase {
  readonly id: string
  readonly path: string
  readonly kind: 'labelled' | 'host'
  readonly repeat: number
  readonly heldOut: boolean
  /** SHA-256 of its prepared voxels. */
  readonly content: string
}

/** Where a run's weights come from, once they exist. */
export interface EarlierWeights {
  readonly baseline: string | null
  readonly generator: string | null
}

const TARGET_ORGANS: Readonly<Record<RunConfig['training']['target'], OrganName | null>> = {
  all: null,
  lits: 'liver',
  panc: 'pancreas',
  kits: 'kidney',
  covid: 'lung',
}

/** The label ids a segmentor learns: all of the region, or background, organ, tumor of one organ (METHOD 10). */
export interface TrainingLabels {
  /** Region id -> training id. */
  readonly map: readonly number[]
  readonly names: readonly string[]
  readonly tumorIds: readonly number[]
  readonly organs: readonly Organ[]
}

export function trainingLabels(config: RunConfig): TrainingLabels {
  const scheme = LABEL_SCHEMES[config.region]
  const organName = TARGET_ORGANS[config.training.target]
  if (organName === null) return config.region === 'chest' ? lesionOnly(scheme) : wholeScheme(scheme)
  const organ = scheme.organs.find((candidate) => candidate.name === organName)!
  const map = scheme.names.map((_, id) => (id === organ.label ? 1 : id === organ.tumorLabel ? 2 : 0))
  return {
    map,
    names: ['background', organ.name, scheme.names[organ.tumorLabel]!],
    tumorIds: [2],
    organs: [organ],
  }
}

/** Cases an epoch draws from, by what the job trains on. */
export function sampledCases(config: RunConfig, cases: readonly CuratedCase[]): SampledCase[] {
  const withHosts = config.job === 'synthesis' || config.training.task === 'freesyn'
  return cases
    .filter((item) => !item.heldOut && item.repeat > 0 && (item.kind === 'labelled' || withHosts))
    .map(({ id, path, repeat, kind }) => ({ id, path, repeat, kind }))
}

export function totalSteps(config: RunConfig, cases: readonly SampledCase[]): number {
  if (config.training.steps !== null) return config.training.steps
  return Math.ceil((config.training.epochs! * itemsPerEpoch(cases)) / config.sampling.itemsPerStep)
}

export function itemsPerEpoch(cases: readonly SampledCase[]): number {
  return cases.reduce((sum, item) => sum + item.repeat, 0)
}

export function samplingPlan(config: RunConfig, cases: readonly SampledCase[]): SamplingPlan {
  const { sampling, simulation } = config
  return {
    seed: config.seed,
    job: config.job,
    cases,
    itemsPerStep: sampling.itemsPerStep,
    cropsPerVolume: sampling.cropsPerVolume,
    patchVoxels: sampling.patchVoxels,
    windowHu: config.prepare.windowHu,
    positiveOdds: sampling.positiveOdds,
    negativeOdds: sampling.negativeOdds,
    tumorOdds: sampling.tumorOdds,
    organs: trainingLabels(config).organs.map((organ) => ({
      ...organ,
      weight: simulation.organWeights[organ.name] ?? 0,
    })),
    tumors: {
      draws: config.job === 'synthesis' ? 2 : config.training.task === 'freesyn' ? 1 : 0,
      condition: config.job === 'synthesis' || config.region === 'chest' ? 'organ' : 'organWithoutTumor',
      perCrop: simulation.tumorsPerCrop,
      ...sizeSettings(config),
      positions: simulation.positions,
      textureSizeVoxels: simulation.texture.sizeVoxels,
      textureCount: simulation.texture.count,
    },
    augmentation: sampling.augmentation,
    mixing: sampling.mixing,
  }
}

/** Tumor sizes in voxels of the prepared grid; those given in millimetres go by its spacing. */
export function sizeSettings({ simulation, prepare }: RunConfig): SizeSettings {
  const { sizeOdds, radiusVoxels, radiusMm, volumesMl } = simulation
  const inVoxels = (mm: number) => radiusVoxelsOf(mm, prepare.spacingMm)
  return {
    sizeOdds,
    radiusVoxels:
      radiusMm === null
        ? radiusVoxels
        : {
            tiny: inVoxels(radiusMm.tiny),
            small: inVoxels(radiusMm.small),
            medium: inVoxels(radiusMm.medium),
            large: inVoxels(radiusMm.large),
          },
    listedRadii: volumesMl && radiiOfVolumes(volumesMl, prepare.spacingMm),
  }
}

export interface SpecContext {
  readonly runId: string
  readonly runDirectory: string
  readonly ownerNumber: number
  readonly textureDirectory: string
  readonly resumeFrom: string | null
  readonly fingerprint: TrainingSpec['fingerprint']
  readonly cases: readonly CuratedCase[]
  readonly weights: EarlierWeights
}

export function trainingSpec(config: RunConfig, context: SpecContext): TrainingSpec {
  const { training, sampling, networks, simulation, quality } = config
  const scheme = LABEL_SCHEMES[config.region]
  const labels = trainingLabels(config)
  const steps = totalSteps(config, sampledCases(config, context.cases))
  const paints = config.job === 'synthesis' || training.task === 'freesyn'
  const { background, organ, tumor } = training.crossEntropyWeights
  const { patchMerging, ...segmentor } = networks.segmentor
  const checkpoint = networks.generator?.checkpoint ?? null
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
    organs: scheme.organs,
    trainingLabels: labels.map,
    labelNames: labels.names,
    crossEntropyWeights: labels.names.map((_, id) =>
      id === 0 ? background : labels.tumorIds.includes(id) ? tumor : organ,
    ),
    mixing: sampling.mixing,
    synthesis: paints
      ? {
          textureSizeVoxels: simulation.texture.sizeVoxels,
          textureDirectory: context.textureDirectory,
          textureSeed: config.seed,
          gated: config.job === 'segmentation',
          measureAlreadySeen: wantsAlreadySeen(quality),
          measures: wantedMeasures(quality),
        }
      : null,
    segmentor: { ...segmentor, patchMerging, outputs: labels.names.length },
    baseline:
      paints && networks.baseline && context.weights.baseline
        ? { checkpoint: context.weights.baseline, patchMerging: networks.baseline.patchMerging }
        : null,
    generator:
      paints && networks.generator
        ? {
            checkpoint: context.weights.generator,
            use: typeof checkpoint === 'object' ? (checkpoint?.use ?? 'both') : 'both',
            baseChannels: networks.generator.baseChannels,
            channel: networks.generator.channel,
            outputs: scheme.organs.length,
            activationCheckpointing: networks.generator.activationCheckpointing,
          }
        : null,
    optimizer: {
      kind: training.optimizer,
      learningRate: training.learningRate,
      weightDecay: training.weightDecay,
      schedule: training.schedule,
      warmupSteps: warmupSteps(config, context.cases),
      gradientClip: training.gradientClip,
    },
    adversarialWeight: training.adversarialWeight,
    freeze: training.freeze,
    precision: config.runtime.precision,
    reproducible: config.runtime.reproducible,
    compile: config.runtime.compile,
    memoryFormat: config.runtime.memoryFormat,
    device: config.runtime.device,
    processesPerNode: config.runtime.processesPerNode,
    threadsPerProcess: config.runtime.threadsPerProcess,
    validation: {
      everySteps: validateEverySteps(config, context.cases),
      cases: context.cases.filter((item) => item.heldOut).map(({ id, path }) => ({ id, path })),
      windows: {
        overlap: config.evaluation.overlap,
        blend: config.evaluation.blend,
        windowBatch: config.evaluation.windowBatch,
      },
    },
    checkpoint: { everySteps: training.checkpointEverySteps },
    pictures: config.report.pictures,
  }
}

function validateEverySteps(config: RunConfig, cases: readonly CuratedCase[]): number | null {
  const { validateEverySteps: steps, validateEveryEpochs: epochs } = config.training
  return epochs === null ? steps : Math.max(1, Math.round(epochs * stepsPerEpoch(config, cases)))
}

function warmupSteps(config: RunConfig, cases: readonly CuratedCase[]): number {
  if (config.training.warmupSteps !== null) return config.training.warmupSteps
  return Math.round((config.training.warmupEpochs ?? 0) * stepsPerEpoch(config, cases))
}

function stepsPerEpoch(config: RunConfig, cases: readonly CuratedCase[]): number {
  return itemsPerEpoch(sampledCases(config, cases)) / config.sampling.itemsPerStep
}

function wholeScheme(scheme: LabelScheme): TrainingLabels {
  return {
    map: scheme.names.map((_, id) => id),
    names: scheme.names,
    tumorIds: scheme.organs.map((organ) => organ.tumorLabel),
    organs: scheme.organs,
  }
}

/** The chest baseline knows background and lesion only (METHOD 8). */
function lesionOnly(scheme: LabelScheme): TrainingLabels {
  const lung = scheme.organs[0]!
  return {
    map: scheme.names.map((_, id) => (id === lung.tumorLabel ? 1 : 0)),
    names: ['background', scheme.names[lung.tumorLabel]!],
    tumorIds: [1],
    organs: scheme.organs,
  }
}
