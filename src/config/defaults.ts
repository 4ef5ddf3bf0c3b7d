import type { ConfigInput } from './schema.js'

type Job = ConfigInput['job']
type Region = 'abdomen' | 'chest'

/** Where prepared cases, fingerprints and the last audit lie, below the working directory. */
export const DEFAULT_CACHE = '.freetumor/cache'

/**
 * The only defaults of the project: the published settings of a job in a region (docs/published-constants.md). A user's
 * file is laid over them key by key; a list replaces a list. Null where derived.ts fills in what follows from other keys.
 */
export function defaultsFor(job: Job, region: Region): Record<string, unknown> {
  const abdomen = region === 'abdomen'
  const synthesis = job === 'synthesis'
  return {
    name: `${region}-${job}`,
    seed: 0,
    region,
    data: {
      root: 'data',
      registry: [],
      manifest: null,
      allowOutside: false,
      allowedLeaks: [],
      phantoms: null,
    },
    prepare: {
      cache: DEFAULT_CACHE,
      spacingMm: abdomen ? [1.5, 1.5, 1.5] : [1.25, 1.25, 5],
      windowHu: abdomen ? [-175, 250] : [-1000, 500],
      workers: 2,
    },
    simulation: {
      tumorsPerCrop: 1,
      organWeights: abdomen ? { liver: 1, pancreas: 1, kidney: 1 } : { lung: 1 },
      sizeOdds: abdomen
        ? { tiny: 0.25, small: 0.25, medium: 0.25, large: 0.25 }
        : { tiny: 0.35, small: 0.35, medium: 0.3, large: 0 },
      radiusVoxels: { tiny: 4, small: 8, medium: 16, large: 32 },
      radiusMm: null,
      volumesMl: null,
      positions: null,
      texture: { sizeVoxels: [420, 300, 320], count: null },
    },
    sampling: {
      patchVoxels: abdomen ? [96, 96, 96] : [192, 192, 32],
      cropsPerVolume: synthesis ? (abdomen ? 1 : 2) : abdomen ? 4 : 2,
      positiveOdds: 1,
      negativeOdds: synthesis ? 0 : 1,
      tumorOdds: 0,
      itemsPerStep: synthesis ? 32 : 1,
      augmentation: {
        flipProbability: 0.2,
        rotateProbability: 0.2,
        scaleProbability: abdomen ? 0.1 : 0,
        scaleRange: 0.1,
        shiftProbability: 0.1,
        shiftRange: 0.1,
      },
      mixing: !synthesis,
      workers: 2,
    },
    networks: {
      segmentor: {
        kind: 'swinunetr',
        featureSize: 48,
        levels: 3,
        patchMerging: null,
        initialWeights: null,
        activationCheckpointing: false,
      },
      baseline: job === 'baseline' ? null : { checkpoint: null, trainFrom: null, patchMerging: null },
      generator:
        job === 'baseline'
          ? null
          : {
              checkpoint: null,
              trainFrom: null,
              baseChannels: 32,
              channel: 'organ',
              activationCheckpointing: false,
            },
    },
    training: {
      target: job === 'segmentation' ? (abdomen ? 'lits' : 'covid') : 'all',
      task: job === 'segmentation' ? 'freesyn' : 'onlylabeled',
      steps: null,
      epochs: synthesis ? 100 : !abdomen ? 30 : job === 'baseline' ? 200 : 20,
      optimizer: synthesis ? 'adam' : 'adamw',
      learningRate: synthesis ? 1e-4 : 3e-4,
      schedule: synthesis ? 'constant' : 'warmupCosine',
      warmupSteps: null,
      warmupEpochs: synthesis ? 0 : abdomen ? 2 : 1,
      weightDecay: synthesis ? 0 : 0.01,
      crossEntropyWeights: { background: 1, organ: 1, tumor: 1 },
      adversarialWeight: abdomen ? 0.1 : 0.5,
      accumulation: null,
      gradientClip: null,
      freeze: [],
      validateEverySteps: null,
      validateEveryEpochs: synthesis ? null : abdomen && job === 'baseline' ? 10 : 1,
      earlyStop: null,
      checkpointEverySteps: 500,
      keepCheckpoints: 3,
    },
    quality: {
      shareSeenThreshold: 0.7,
      subtractAlreadySeen: false,
      shareOver: 'tumor',
      rules: {},
      overrides: [],
    },
    synthesize: {
      variants: 1,
      tumorsPerVariant: 1,
      triesPerTumor: 10,
      layout: 'plain',
      specialist: null,
      overlap: 0.75,
      windowBatch: 1,
    },
    evaluation: { overlap: 0.75, blend: 'constant', windowBatch: abdomen ? 4 : 2, profile: 'freetumor' },
    runtime: {
      nodes: 1,
      processesPerNode: 1,
      device: 'auto',
      python: null,
      precision: 'fp32',
      reproducible: false,
      compile: false,
      memoryFormat: 'auto',
      threadsPerProcess: 1,
      restarts: { max: 3, backoffSeconds: 5 },
      hangSeconds: 1800,
    },
    report: { pictures: 6 },
  }
}
