import { z } from 'zod'
import { RULE_NAMES } from './policy.js'

const natural = z.int().min(0)
const vec3 = z.tuple([z.int(), z.int(), z.int()])
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const organ = z.enum(['liver', 'pancreas', 'kidney', 'lung'])
const plugin = z.strictObject({
  name: z.string(),
  version: z.string(),
  licence: z.string(),
  sha256: sha256.nullable().describe('of its program file'),
})
const verdict = z.enum(['accepted', 'rejected', 'recorded', 'noRoom'])
const reason = z
  .string()
  .describe(
    `seen, notSeen, empty, notKept (quality.keepProbability), notJudged (no baseline), noRoom, organTooSmall, noTumor or tumorTooSmall (method shrunk), review (reviewers overrode the rule), or the broken rule: ${RULE_NAMES.join(', ')}`,
  )
const measures = z
  .strictObject({
    syntheticVoxels: natural,
    seenVoxels: natural.describe('synthetic voxels that the baseline labels tumor'),
    alreadySeenVoxels: natural.describe(
      'synthetic voxels that the baseline labels tumor before painting; 0 if not measured',
    ),
    shareSeen: z.number().min(0).max(1),
    contrast: z.number().describe('mean windowed intensity, after minus before painting'),
    ...Object.fromEntries(RULE_NAMES.map((name) => [name, z.number()])),
  })
  .partial()

/** A line of the ledger of an offline synthesis. */
export const synthesisLineSchema = z.strictObject({
  case: z.string().min(1),
  host: z.string().nullable().describe("SHA-256 of the host's image; null if no variant of it was written"),
  variant: natural,
  tumor: natural,
  attempt: natural,
  round: natural.describe('attempts of a variant with the same number were judged together'),
  organ,
  size: z.enum(['tiny', 'small', 'medium', 'large']),
  method: z.literal('shrunk').optional().describe('a smaller copy of a real tumor; missing: a painted tumor'),
  seed: natural,
  k: z.array(z.union([z.string(), z.int()])).describe('key of the random numbers of this attempt'),
  plan: z
    .strictObject({
      centre: vec3,
      radii: vec3,
      boxOrigin: vec3,
      boxShape: vec3,
      centreMm: z
        .tuple([z.number(), z.number(), z.number()])
        .optional()
        .describe('centre of the box in physical space; missing in ledgers of earlier versions'),
      edgeSigma: z.number(),
      textureIndex: natural,
      textureStart: vec3,
      handcraftedDifference: z.number(),
      aimed: z
        .strictObject({
          depth: z
            .strictObject({ fromMm: z.number(), toMm: z.number(), reached: z.boolean() })
            .optional()
            .describe('reached is false if no voxel of this depth was found'),
          contrastHu: z.number().optional(),
        })
        .optional()
        .describe('depth and contrast that simulation.curriculum aimed at'),
    })
    .nullable()
    .describe('in voxels of the prepared case; null without a place'),
  source: z
    .strictObject({
      case: z.string().min(1),
      component: natural.describe(
        'number among the components of its id in the prepared case, from 0 in the order of their first voxels',
      ),
      centreMm: z.tuple([z.number(), z.number(), z.number()]),
      diameterMm: z.number().positive().describe('of a ball of equal volume'),
      factor: z.number().positive().max(1).describe('lengths of the copy divided by those of the source'),
    })
    .optional()
    .describe('the real tumor of a copy; missing for painted tumors and without a place'),
  checkpoints: z.strictObject({
    generator: sha256.nullable(),
    baseline: sha256.nullable(),
    plugins: z
      .strictObject({ generator: plugin, baseline: plugin })
      .partial()
      .optional()
      .describe('plug-ins that were used instead of checkpoints'),
  }),
  verdict: verdict.exclude(['recorded']),
  reason,
  measures,
  review: z
    .enum(['accept', 'reject'])
    .optional()
    .describe('joint decision of reviewers that applied to this attempt'),
  file: z
    .string()
    .optional()
    .describe('synthetic scan with the tumor, below imagesTr/; for accepted tumors only'),
  rejectedFile: z
    .string()
    .optional()
    .describe('scan with this rejected tumor alone, below rejected/imagesTr/; see synthesize.keepRejected'),
  sha256: sha256.optional().describe('SHA-256 of file or rejectedFile'),
  last: z.literal(true).optional().describe('the last line of its variant'),
  time: z.iso.datetime(),
})

/** A line of the ledger of a training. */
export const trainingLineSchema = z.strictObject({
  step: natural,
  item: natural,
  crop: natural,
  case: z.string().min(1),
  organ: organ.optional(),
  size: z.string().optional(),
  draw: natural.optional(),
  verdict,
  reason,
  measures: measures.optional(),
})

/** Return the JSON schema of a line of `ledger.jsonl`. */
export function ledgerJsonSchema(): Record<string, unknown> {
  return {
    title: 'a line of ledger.jsonl of an offline synthesis or of a training',
    ...z.toJSONSchema(z.union([synthesisLineSchema, trainingLineSchema])),
  }
}
