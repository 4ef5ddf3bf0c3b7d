import { z } from 'zod'

const count = z.int().min(0)
const share = z.number().min(0).max(1)
const finite = z.number()
const rate = z.strictObject({ successes: count, of: count, rate: share, ci: z.tuple([share, share]) })
const RULE_FEATURES = [
  'probability',
  'probabilityLogit',
  'meanProbability',
  'meanProbabilityLogit',
  'volumeMl',
  'logVolumeMl',
  'logElongation',
  'compactness',
  'organContact',
  'label',
] as const

const figuresSchema = z.strictObject({
  lesionFree: rate.describe('healthy scans without a predicted lesion, with a Wilson interval'),
  sensitivity: rate.describe('detected true lesions, with a Wilson interval that counts lesions'),
  falsePositivesPerScan: z.number().min(0).describe('predicted lesions per healthy scan'),
})
const measured = z.strictObject({
  inSample: figuresSchema.describe('on the cases of the fit: optimistic'),
  crossValidated: figuresSchema
    .nullable()
    .describe('on cases that the fit did not use; null with too few cases'),
})
const wantedSchema = z.union([
  z.strictObject({ rate: share.describe('lesion-free rate of healthy scans') }),
  z.strictObject({ sensitivityLoss: share.describe('of all lesions') }),
])

/** Limits of what is read. */
const MOST_TERMS = 64
const MOST_POINTS = 1_000_000

const ruleSchema = z.strictObject({
  terms: z
    .array(
      z
        .strictObject({
          feature: z.enum(RULE_FEATURES),
          label: z.int().min(1).max(65_535).nullable().describe('tumor id of a term `label`'),
          weight: finite,
        })
        .refine(({ feature, label }) => feature !== 'label' || label !== null, {
          path: ['label'],
          error: 'a tumor id is needed',
        }),
    )
    .max(MOST_TERMS),
  intercept: finite,
  threshold: finite.nullable().describe('a lesion is kept if its value is at least this; null keeps all'),
})

/** Content of an operating point file (`freetumor calibrate --rate`). */
export const operatingPointSchema = z.strictObject({
  format: z.literal('freetumor operating point'),
  version: z.literal(1),
  note: z.string().max(1000),
  prediction: z
    .record(z.string(), z.unknown())
    .nullable()
    .describe('checkpoints and settings of the masks (prediction.json); null if the masks do not state them'),
  wanted: wantedSchema,
  rule: ruleSchema,
  before: figuresSchema.describe('all lesions kept'),
  after: measured.describe('at the wanted point'),
  atLoss: z
    .array(z.strictObject({ sensitivityLoss: share, threshold: finite.nullable(), ...measured.shape }))
    .max(100),
  candidates: z
    .array(
      z.strictObject({
        name: z.string().max(100),
        crossValidated: figuresSchema.nullable(),
        worseThanBest: z
          .number()
          .nullable()
          .describe('sum of lesion-free rate and sensitivity, cross-validated: the best minus this one'),
        standardError: z.number().nullable().describe('of that difference, over cases'),
      }),
    )
    .max(100)
    .describe('rules that were compared, the simplest first'),
  chosen: z.string().max(100),
  curve: z
    .array(z.strictObject({ threshold: finite.nullable(), ...figuresSchema.shape }))
    .max(MOST_POINTS)
    .describe('in sample, from all lesions kept to none'),
})

/** A rule that removes predicted lesions, with the figures of its fit. */
export type LesionOperatingPoint = z.infer<typeof operatingPointSchema>
/** A lesion is kept if the intercept and its weighted features sum to at least the threshold. */
export type LesionRule = z.infer<typeof ruleSchema>
export type RuleFeature = (typeof RULE_FEATURES)[number]
export type RuleFigures = z.infer<typeof figuresSchema>
/** A wanted lesion-free rate of healthy scans, or an accepted loss of lesion sensitivity. */
export type WantedPoint = z.infer<typeof wantedSchema>

const OF_PROBABILITIES: ReadonlySet<RuleFeature> = new Set([
  'probability',
  'probabilityLogit',
  'meanProbability',
  'meanProbabilityLogit',
])

/** Return true if a rule cannot be applied without probabilities. */
export function needsProbabilities({ terms }: Pick<LesionRule, 'terms'>): boolean {
  return terms.some(({ feature }) => OF_PROBABILITIES.has(feature))
}

/** Features of a predicted lesion; probabilities are null if the masks have none. */
export interface LesionFeatures {
  /** The tumor id of most of its voxels. */
  readonly label: number
  /** Highest and mean tumor probability in it. */
  readonly probability: number | null
  readonly meanProbability: number | null
  readonly volumeMl: number
  /** Longest by shortest axis of the ellipsoid with the same moments. */
  readonly elongation: number
  /** Volume by that of this ellipsoid. */
  readonly compactness: number
  /** Fraction of the voxels around it with an id above 0. */
  readonly organContact: number
}

/** Keeps the log odds of 0 and 1 finite, as python_runtime/freetumor_runtime/evaluation/lesion_rule.py. */
const LEAST_PROBABILITY = 1e-6

/** Return the value of a feature. A missing probability is NaN. */
export function featureValue(
  lesion: LesionFeatures,
  { feature, label }: { readonly feature: RuleFeature; readonly label: number | null },
): number {
  switch (feature) {
    case 'label':
      return lesion.label === label ? 1 : 0
    case 'probabilityLogit':
      return logOdds(lesion.probability ?? Number.NaN)
    case 'meanProbabilityLogit':
      return logOdds(lesion.meanProbability ?? Number.NaN)
    case 'logVolumeMl':
      return Math.log(lesion.volumeMl)
    case 'logElongation':
      return Math.log(lesion.elongation)
    default:
      return lesion[feature] ?? Number.NaN
  }
}

/** Return the value that a rule compares with its threshold. */
export function ruleValue(
  { terms, intercept }: Pick<LesionRule, 'terms' | 'intercept'>,
  lesion: LesionFeatures,
) {
  return terms.reduce((sum, term) => sum + term.weight * featureValue(lesion, term), intercept)
}

function logOdds(probability: number): number {
  const clipped = Math.min(Math.max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
  return Math.log(clipped / (1 - clipped))
}
