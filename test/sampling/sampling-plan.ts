import type { SamplingPlan } from '../../src/sampling/sampling-plan.js'
import { LABEL_SCHEMES } from '../../src/volume/labels.js'

/** A complete plan of the abdomen without tumors or augmentation, changed by `changes`. */
export function makePlan(changes: Partial<SamplingPlan>): SamplingPlan {
  return {
    seed: 7,
    job: 'segmentation',
    cases: [],
    itemsPerStep: 8,
    cropsPerVolume: 1,
    patchVoxels: [16, 16, 16],
    windowHu: [-175, 250],
    positiveOdds: 1,
    negativeOdds: 1,
    tumorOdds: 0,
    hardNegatives: null,
    organs: LABEL_SCHEMES.abdomen.organs.map((organ) => ({ ...organ, weight: 1 })),
    tumors: {
      draws: 0,
      alternatives: false,
      condition: 'organWithoutTumor',
      perCrop: 1,
      sizeOdds: { tiny: 1, small: 0, medium: 0, large: 0 },
      radiusVoxels: { tiny: 4, small: 8, medium: 16, large: 32 },
      listedRadii: null,
      curriculum: null,
      positions: null,
      textureSizeVoxels: [64, 64, 64],
      textureCount: 10,
    },
    augmentation: {
      flipProbability: 0,
      rotateProbability: 0,
      scaleProbability: 0,
      scaleRange: 0,
      shiftProbability: 0,
      shiftRange: 0,
    },
    mixing: false,
    ...changes,
  }
}
