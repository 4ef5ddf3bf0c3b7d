/** The plans of the experiments: their cells, the trainings in each, and their inputs. */
import type { ConfigInput } from 'freetumor'

/** Arms of few-labels, in the order in which they are made; all start from the weights of `start`. */
export const ARMS = [
  'realOnly',
  'plainHosts',
  'handCrafted',
  'trained',
  'handCraftedUnjudged',
  'trainedUnjudged',
  'untrained',
] as const
/** Arms of quality-policy: `random` needs the acceptance rate of `published`. */
export const POLICY_ARMS = ['realOnly', 'trainedUnjudged', 'published', 'random', 'calibrated'] as const
/** Arms of silent-scans; they differ in `sampling.hardNegatives` alone. Hand-crafted tumors, because a generator costs a sixth of a cell. */
export const SILENT_ARMS = ['easyNegatives', 'hardNegatives'] as const
/** Arms of early-tumors; the last two differ in `simulation.curriculum` alone. */
export const EARLY_ARMS = ['realOnly', 'uniformSizes', 'missedSizes'] as const
/** Arms of shrunk-tumors, with tumors of the same diameters; `entrant` paints with the synthesizer that a plan enters. */
export const SHRUNK_ARMS = ['realOnly', 'uniformSizes', 'shrunk'] as const
export type Arm =
  | (typeof ARMS)[number]
  | (typeof POLICY_ARMS)[number]
  | (typeof SILENT_ARMS)[number]
  | (typeof EARLY_ARMS)[number]
  | (typeof SHRUNK_ARMS)[number]
  | 'entrant'

/** Whether the common start judges the arm's tumors. */
export function isJudged(arm: Arm): boolean {
  return ![
    'realOnly',
    'handCraftedUnjudged',
    'trainedUnjudged',
    'random',
    'easyNegatives',
    'hardNegatives',
    'uniformSizes',
    'missedSizes',
    'shrunk',
    'entrant',
  ].includes(arm)
}

export const ARM_WORDS: Readonly<Record<Arm | 'start', string>> = {
  start: 'common start',
  realOnly: 'real only, continued',
  plainHosts: 'hosts as plain negatives',
  handCrafted: 'hand-crafted + quality control',
  trained: 'trained generator + quality control',
  handCraftedUnjudged: 'hand-crafted, all kept',
  trainedUnjudged: 'trained generator, all kept',
  untrained: 'untrained generator + quality control',
  published: 'published rule (above 0.7)',
  random: 'random keeping of the same share',
  calibrated: 'calibrated thresholds',
  easyNegatives: 'random negative crops',
  hardNegatives: 'hard negatives',
  uniformSizes: 'all kept, uniform diameters',
  missedSizes: 'all kept, diameters that the start misses',
  shrunk: 'real tumors, shrunk in their own patient',
  entrant: 'entered synthesizer, all kept, uniform diameters',
}

export type Entrant = NonNullable<NonNullable<ConfigInput['networks']>['generator']>

export interface Plan {
  readonly seeds: readonly number[]
  /** Numbers of labelled cases; the cases of a smaller number are among those of a larger. */
  readonly labelled: readonly number[]
  readonly arms: readonly Arm[]
  readonly hosts: number
  readonly test: { readonly sick: number; readonly healthy: number }
  readonly steps: { readonly start: number; readonly generator: number; readonly arm: number }
  /** Steps of a discriminator that learns against a generator that does not. */
  readonly discriminatorSteps: number
  /** Side of the phantoms and of the crops in voxels. Default: 64 and 40. */
  readonly sides?: { readonly phantom: number; readonly crop: number }
  /** Difficulty of the phantoms. Default: hard. */
  readonly difficulty?: 'early'
  /** Difficulty of the labelled cases. Default: that of the others. */
  readonly labelledDifficulty?: 'late'
  /** Diameters of the synthetic tumors of the arms `uniformSizes`, `entrant` and `shrunk`. Default: those of the measured sizes. */
  readonly diametersMm?: readonly [number, number]
  /** The section `networks.generator` of the arm `entrant`: a checkpoint or a plug-in. */
  readonly entrant?: Entrant
  /** Seed of the held-out cases, which are the same for all. */
  readonly testSeed: number
  /** Real scans are wanted among the hosts. */
  readonly realHosts?: true
  /** Kind of all segmentors; absent: `small`. */
  readonly segmentor?: 'resenc'
}

/**
 * Fits an hour of two cores. Development used seeds below 100, and 201, of which only losses of trainings were looked at: after
 * 300 steps its start with 2 cases still called no tumor (it did after 400), so that it could judge none. Hence 700 to the start.
 */
export const DEFAULT_PLAN: Plan = {
  seeds: [301, 302, 303],
  labelled: [2, 4],
  arms: ['realOnly', 'plainHosts', 'handCrafted', 'trained'],
  hosts: 12,
  test: { sick: 28, healthy: 12 },
  steps: { start: 700, generator: 60, arm: 400 },
  discriminatorSteps: 40,
  testSeed: 1301,
}

export const FULL_PLAN: Plan = {
  ...DEFAULT_PLAN,
  labelled: [2, 4, 8],
  arms: ARMS,
  steps: { start: 1500, generator: 300, arm: 1500 },
  discriminatorSteps: 200,
}

/** One seed with one number of labelled cases. */
export interface Cell {
  readonly seed: number
  readonly labelled: number
}

/**
 * Return every seed with the fewest labelled cases first, so that an interrupted run already shows the scatter between
 * seeds.
 */
export function cellsOf(plan: Plan): Cell[] {
  return plan.labelled.flatMap((labelled) => plan.seeds.map((seed) => ({ seed, labelled })))
}

export function cellName({ seed, labelled }: Cell): string {
  return `seed-${seed}-labelled-${labelled}`
}

/** Return the number of visits of each labelled case and each host in an epoch; hosts get about 0.4 of all visits. */
export function repeats(
  labelled: number,
  hosts: number,
  hostShare = 0.4,
): { readonly labelled: number; readonly host: number } {
  const host = Math.max(1, Math.round(labelled / 2))
  return { labelled: Math.max(1, Math.round((host * hosts * (1 - hostShare)) / hostShare / labelled)), host }
}

/** A training of a cell. */
export type Stage = 'start' | 'generator' | 'untrainedGenerator' | Arm

/** Arms with tumors of the trained generator. */
export const PAINTED_BY_GENERATOR: readonly Arm[] = [
  'trained',
  'trainedUnjudged',
  'published',
  'random',
  'calibrated',
  'uniformSizes',
  'missedSizes',
]

export function stagesOf(plan: Plan): Stage[] {
  const paintsByGenerator = plan.arms.some((arm) => PAINTED_BY_GENERATOR.includes(arm))
  return [
    'start',
    ...(paintsByGenerator ? (['generator'] as const) : []),
    ...(plan.arms.includes('untrained') ? (['untrainedGenerator'] as const) : []),
    ...plan.arms,
  ]
}
