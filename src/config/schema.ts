import { z } from 'zod'

/**
 * The one complete description of a run. Every key of a resolved configuration is present; the defaults that fill
 * a user's file are in defaults.ts and nowhere else. Units stand in the names; sizes are voxels of the prepared grid.
 */
const count = z.int().min(1)
const natural = z.int().min(0)
const probability = z.number().min(0).max(1)
const positive = z.number().positive()
const vec3 = <T extends z.ZodType>(item: T) => z.tuple([item, item, item])
const bySize = <T extends z.ZodType>(item: T) =>
  z.strictObject({ tiny: item, small: item, medium: item, large: item })

export const REGIONS = ['abdomen', 'chest'] as const
export const ORGAN_NAMES = ['liver', 'pancreas', 'kidney', 'lung'] as const
export const TARGETS = ['all', 'lits', 'panc', 'kits', 'covid'] as const
export const TASKS = ['onlylabeled', 'freesyn'] as const

const labelMap = z.union([z.record(z.string().regex(/^\d+$/), natural.max(255)), z.string().min(1)])

const dataset = z.strictObject({
  /** A name of the registry (`freetumor data list`), or a name of your own with `role` and `labelMap`. */
  name: z.string().min(1),
  /** Folder or list; relative to `data.root`. Null: the name. */
  path: z.string().min(1).nullable().default(null),
  /** How often an epoch visits each of its cases. */
  repeat: natural.default(1),
  /** Null: what the registry says. */
  role: z.enum(['labelled', 'host']).nullable().default(null),
  /** Ids of the source -> ids of the region, or the name of a preset (`freetumor data remap --help`). Null: what the registry says. */
  labelMap: labelMap.nullable().default(null),
  /** Cases of this fold are held out. Null: the list's own validation part. */
  validationFold: natural.nullable().default(null),
})

const roleOrgans = z.array(z.enum(ORGAN_NAMES))

/** A data set of one's own, in the form that the registry has (`freetumor data list --output json`). */
const ownDataset = z.strictObject({
  name: z.string().min(1),
  title: z.string().min(1).nullable().default(null),
  region: z.enum(REGIONS),
  role: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('labelled'), organs: roleOrgans }),
    z.strictObject({ kind: z.literal('host') }),
    z.strictObject({ kind: z.literal('test'), organs: roleOrgans }),
  ]),
  published: z
    .strictObject({ training: natural, validation: natural })
    .default({ training: 0, validation: 0 }),
  /** Ids of the source -> ids of the region, or a preset's name. Null: the names in its list say it. */
  labelMap: labelMap.nullable().default(null),
  note: z.string().nullable().default(null),
  licence: z.string().default('your own'),
  /** `cases`: regular expression of the file stems that are in the other data set, where they are known. */
  overlaps: z
    .array(
      z.strictObject({
        dataset: z.string().min(1),
        note: z.string(),
        cases: z.string().refine(isPattern, 'must be a regular expression').optional(),
      }),
    )
    .default([]),
  /** Words for it in names of list files, in lower case. */
  aliases: z.array(z.string().min(1)).default([]),
  /** Ids of the source for the two kidneys. */
  kidneySides: z.strictObject({ left: natural, right: natural }).nullable().default(null),
  /** Regular expression whose first group is the patient, where several scans share one. */
  patientPattern: z.string().refine(isPattern, 'must be a regular expression').nullable().default(null),
  layout: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('folders'), images: z.string().min(1), labels: z.string().min(1) }),
      z.strictObject({
        kind: z.literal('flat'),
        folder: z.string().min(1),
        imageEnding: z.string().min(1),
        labelEnding: z.string().min(1),
      }),
    ])
    .nullable()
    .default(null),
})

function isPattern(text: string): boolean {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}

const allowedLeak = z.strictObject({
  /** Case id, `dataset/stem`; `*` stands for any characters. */
  training: z.string().min(1),
  heldOut: z.string().min(1),
  /** Goes into the run's events and report. */
  reason: z.string().trim().min(10, 'say in a sentence why it may stay'),
})

const data = z.strictObject({
  /** Where the data sets lie; relative to the working directory. */
  root: z.string().min(1),
  /** Data sets of one's own, beside those of `freetumor data list`. */
  registry: z.array(ownDataset).default([]),
  datasets: z.array(dataset).min(1),
  /**
   * A manifest, as `freetumor data split` writes it, relative to the working directory: the cases of `datasets` come from
   * it, with its patients and folds. Null: from the data sets' own lists.
   */
  manifest: z.string().min(1).nullable(),
  /** Lists and `manifest` may name files outside `root`; without it such an entry is an error. */
  allowOutside: z.boolean(),
  /** Held-out cases that may stand among the training cases, and why; without one of these such a run is refused (exit 6). */
  allowedLeaks: z.array(allowedLeak),
  /** Makes phantom data sets `phantom_labelled`, `phantom_hosts` and `phantom_test` under `root` when they are missing. */
  phantoms: z
    .strictObject({
      labelledCases: natural,
      validationCases: natural,
      hostCases: natural,
      testCases: natural,
      sizeVoxels: z.int().min(32).max(512),
      seed: natural,
      /** `hard`: smaller tumors in uneven organs, which no threshold finds. */
      difficulty: z.enum(['standard', 'hard']).default('standard'),
    })
    .nullable(),
})

const prepare = z.strictObject({
  /** Folder of the prepared cases; relative to the working directory. */
  cache: z.string().min(1),
  spacingMm: vec3(positive),
  windowHu: z.tuple([z.number(), z.number()]),
  workers: count,
})

const simulation = z.strictObject({
  tumorsPerCrop: count,
  /** Wanted share of each organ; 0 leaves an organ out. */
  organWeights: z.partialRecord(z.enum(ORGAN_NAMES), z.number().min(0)),
  sizeOdds: bySize(z.number().min(0)),
  radiusVoxels: bySize(z.int().min(2).max(64)),
  /** Base radius of each size in mm instead: the same tumors on a grid of any spacing. Null: `radiusVoxels`. */
  radiusMm: bySize(positive.max(200)).nullable(),
  /**
   * Tumors of the sizes of a list, for instance those of your real tumors, one drawn for each tumor; in a file also the name
   * of a text file beside it, one number a line. Null: `sizeOdds`.
   */
  volumesMl: z.array(positive.max(10_000)).min(1).nullable(),
  /**
   * Where tumors are wanted, RAS mm of the case's scan; its cases get tumors nowhere else. In a file also the name of a file
   * beside it, one JSON object a line. Null: anywhere in an organ.
   */
  positions: z
    .array(
      z.strictObject({
        case: z.string().min(1),
        mm: vec3(z.number()),
        organ: z.enum(ORGAN_NAMES).nullable().default(null),
      }),
    )
    .min(1)
    .nullable(),
  /** `count`: 1 is the published choice of the abdomen, 10 of the chest; left out 1 for an abdomen generator with `channel: shared`, else 10. */
  texture: z.strictObject({ sizeVoxels: vec3(z.int().min(16).max(1024)), count: count.max(10) }),
})

const sampling = z.strictObject({
  patchVoxels: vec3(z.int().min(16).max(512)),
  cropsPerVolume: count,
  positiveOdds: z.number().min(0),
  negativeOdds: z.number().min(0),
  /** Share of positive centres laid on a tumor voxel where the case has any; 0 is the published choice. */
  tumorOdds: probability,
  /** Over all ranks; a step's batch is this many volumes with their crops. */
  itemsPerStep: count,
  augmentation: z.strictObject({
    flipProbability: probability,
    rotateProbability: probability,
    scaleProbability: probability,
    scaleRange: z.number().min(0).max(1),
    shiftProbability: probability,
    shiftRange: z.number().min(0).max(1),
  }),
  /** Slab swap between the crops of a volume, after the verdict. */
  mixing: z.boolean(),
  /** Simulation threads. */
  workers: natural.max(64),
})

const mergingOrder = z.enum(['legacy', 'corrected', 'v2'])
const file = z.string().min(1)
const partOfFile = z.strictObject({ path: file, use: z.enum(['both', 'generator']).default('both') })
/** Weights made by an earlier run: a checkpoint file, or the config of the run that makes it when it is missing. */
const earlier = {
  checkpoint: z.string().min(1).nullable(),
  trainFrom: z.string().min(1).nullable(),
}

const networks = z.strictObject({
  segmentor: z.strictObject({
    kind: z.enum(['swinunetr', 'small']),
    featureSize: count,
    /** Of `small`: resolution levels. */
    levels: count.max(5),
    /** Null: the order that `initialWeights` state (of a published file: legacy); without them corrected. */
    patchMerging: mergingOrder.nullable(),
    /** Starts from these weights where key and shape agree. */
    initialWeights: z.string().min(1).nullable(),
    activationCheckpointing: z.boolean(),
  }),
  /** The frozen judge of synthetic tumors; null where the job has none. */
  baseline: z.strictObject({ ...earlier, patchMerging: mergingOrder.nullable() }).nullable(),
  /** The painter of tumors; null paints a hand-crafted difference. */
  generator: z
    .strictObject({
      ...earlier,
      /** In synthesis training generator and discriminator start from the file, or with `use: generator` the generator alone. */
      checkpoint: z
        .union([file, partOfFile], 'must be a file, or { path: FILE, use: both | generator }')
        .nullable(),
      baseChannels: count,
      channel: z.enum(['organ', 'shared']),
      /** Of generator and discriminator in synthesis training. */
      activationCheckpointing: z.boolean(),
    })
    .nullable(),
})

const training = z.strictObject({
  target: z.enum(TARGETS),
  task: z.enum(TASKS),
  /** Optimizer steps of the whole run; null: `epochs`. */
  steps: count.nullable(),
  epochs: count.nullable(),
  optimizer: z.enum(['adam', 'adamw']),
  learningRate: positive,
  /** Linear warm-up then cosine, or constant. */
  schedule: z.enum(['constant', 'warmupCosine']),
  warmupSteps: natural.nullable(),
  warmupEpochs: z.number().min(0).nullable(),
  weightDecay: z.number().min(0),
  /** Weights of background, organ and tumor in the cross-entropy. */
  crossEntropyWeights: z.strictObject({ background: positive, organ: positive, tumor: positive }),
  /** Of the generator: w in w * adversarial + segmentation. */
  adversarialWeight: z.number().min(0),
  /** Parts that a rank takes its crops in, one after another, before the optimizer steps. Left out: 1, in a synthesis at most 4 volumes a part. */
  accumulation: count,
  /** Largest norm of all gradients of a network together; null: any. */
  gradientClip: positive.nullable(),
  /** Weights that do not learn, by name (`*`: any characters); in a synthesis `netG.*` and `netD.*`. */
  freeze: z.array(z.string().min(1)),
  /** A validation saves, too. Both null: at the end only. */
  validateEverySteps: count.nullable(),
  validateEveryEpochs: positive.nullable(),
  /** Ends the run when `patience` validations in a row have not risen by more than `minDelta` tumor Dice; null: never. */
  earlyStop: z.strictObject({ patience: count, minDelta: z.number().min(0).default(0) }).nullable(),
  /** Null: at validations and at the end only. */
  checkpointEverySteps: count.nullable(),
  /** The newest ones; the best one is kept besides. */
  keepCheckpoints: count,
})

const range = z.strictObject({ min: z.number(), max: z.number() }).partial()
const rules = z
  .strictObject({
    /** Mean HU of the tumor less that of the organ 2 to 6 voxels around it. */
    contrastHu: range,
    volumeMl: range,
    /** Share of the planned shape that lies in the organ. */
    insideOrgan: range,
    /** To the nearest real tumor of the case; holds where there is none. */
    distanceToRealMm: range,
    /** Mean length of the HU gradient on the tumor's rim. */
    edgeSharpnessHuPerMm: range,
    /** That over the same of the case's real tumors; holds where there is none. */
    edgeSharpnessToReal: range,
    /** Share of the voxels in the largest piece. */
    componentShare: range,
    /** What the baseline called tumor at that place before painting. */
    alreadySeenShare: range,
  })
  .partial()

const quality = z.strictObject({
  /** A synthetic tumor is kept when the baseline sees more than this share of its voxels. */
  shareSeenThreshold: probability,
  /** Take off the share that the baseline called tumor at that place before painting. */
  subtractAlreadySeen: z.boolean(),
  /** One share for each tumor, or (as published) one for all tumors that a case gets together offline. */
  shareOver: z.enum(['tumor', 'case']),
  /** Ranges that a tumor must lie in besides; `{}` asks for none. */
  rules,
  /** Other settings for an organ, a size, or both; the last one that fits wins. */
  overrides: z.array(
    z.strictObject({
      organ: z.enum(ORGAN_NAMES).optional(),
      size: z.enum(['tiny', 'small', 'medium', 'large']).optional(),
      shareSeenThreshold: probability.optional(),
      rules: rules.optional(),
    }),
  ),
})

/** Of `freetumor synthesize`: tumors written into whole scans. */
const synthesize = z.strictObject({
  /** Synthetic scans of each host. */
  variants: count.max(1000),
  tumorsPerVariant: count.max(32),
  /** Plans that are tried before a tumor is given up. */
  triesPerTumor: count.max(100),
  layout: z.enum(['plain', 'nnunet']),
  /** One organ alone, written as 0 background, 1 organ, 2 tumor; null: all organs that have a weight, ids of the region. */
  specialist: z.enum(ORGAN_NAMES).nullable(),
  /** The generator's windows: their overlap, and how many share a batch and its norms (1: each by itself; published 4). */
  overlap: z.number().min(0).max(0.95),
  windowBatch: count.max(64),
})

const evaluation = z.strictObject({
  overlap: z.number().min(0).max(0.95),
  blend: z.enum(['constant', 'gaussian']),
  windowBatch: count,
  profile: z.enum(['voco', 'freetumor', 'difftumor', 'lesion']),
})

const runtime = z.strictObject({
  nodes: count,
  processesPerNode: count,
  device: z.enum(['auto', 'cpu', 'cuda']),
  /** Path of the Python to use; null: FREETUMOR_PYTHON, then ./.venv. */
  python: z.string().min(1).nullable(),
  /** Of the networks; painting, losses and optimizer stay in 32 or 64 bits. */
  precision: z.enum(['fp32', 'bf16', 'fp16']),
  /** The same losses to the last bit on any number of ranks: item by item, gradients added exactly. */
  reproducible: z.boolean(),
  /** torch.compile of the networks. */
  compile: z.boolean(),
  /** Layout of the networks' weights and features; auto: what was measured to be faster. */
  memoryFormat: z.enum(['auto', 'contiguous', 'channelsLast']),
  threadsPerProcess: count,
  /** After a death that is nobody's mistake in the configuration: restarts in a row without a new checkpoint. */
  restarts: z.strictObject({
    max: natural,
    /** Before the first; doubled for each that follows, at most 60. */
    backoffSeconds: z.number().min(0),
  }),
  /** A job without a step, a validated case or a checkpoint for so long is ended, and restarted; null: never. */
  hangSeconds: positive.nullable(),
})

const report = z.strictObject({
  /** Example pictures of synthetic tumors. */
  pictures: natural.max(64),
})

export const runConfigSchema = z.strictObject({
  job: z.enum(['baseline', 'synthesis', 'segmentation']),
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, dot, dash and underscore only'),
  seed: natural,
  region: z.enum(REGIONS),
  data,
  prepare,
  simulation,
  sampling,
  networks,
  training,
  quality,
  synthesize,
  evaluation,
  runtime,
  report,
})

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T
type DeepPartial<T> = T extends readonly unknown[]
  ? DeepReadonly<T>
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> | undefined }
    : T

/** A resolved configuration: complete, checked, frozen. */
export type RunConfig = DeepReadonly<z.infer<typeof runConfigSchema>>
/** What a user writes: `job`, `region`, `data`, and whatever differs from the defaults. */
export type ConfigInput = DeepPartial<z.input<typeof runConfigSchema>> & {
  readonly job: RunConfig['job']
}
