import { paintsTumors } from '../../config/jobs.js'
import type { RunConfig } from '../../config/schema.js'
import type { SampledCase, SamplingPlan } from '../../sampling/sampling-plan.js'
import type { TrainingCase } from '../prepare/run.js'
import { trainingLabels } from '../training-labels.js'
import { sizeSettings } from '../tumor-sizes.js'

/** Return the cases that an epoch draws from, for the kind of job. */
export function sampledCases(config: RunConfig, cases: readonly TrainingCase[]): SampledCase[] {
  const withHosts = paintsTumors(config)
  return cases
    .filter((item) => !item.heldOut && item.repeat > 0 && (item.kind === 'labelled' || withHosts))
    .map(({ id, path, repeat, kind, content }) => ({ id, path, repeat, kind, content }))
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
    hardNegatives:
      sampling.hardNegatives === null
        ? null
        : { list: sampling.hardNegatives, share: sampling.hardNegativeShare },
    organs: trainingLabels(config).organs.map((organ) => ({
      ...organ,
      weight: simulation.organWeights[organ.name] ?? 0,
    })),
    tumors: {
      draws: config.job === 'synthesis' ? 2 : paintsTumors(config) ? config.quality.attempts! : 0,
      alternatives: config.job === 'segmentation',
      condition: config.job === 'synthesis' || config.region === 'chest' ? 'organ' : 'organWithoutTumor',
      perCrop: simulation.tumorsPerCrop,
      ...sizeSettings(simulation, config.prepare),
      positions: simulation.positions,
      textureSizeVoxels: simulation.texture.sizeVoxels,
      textureCount: simulation.texture.count,
    },
    augmentation: sampling.augmentation,
    mixing: sampling.mixing,
  }
}
