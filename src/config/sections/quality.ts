import { z } from 'zod'
import { key, ORGAN_NAMES } from '../key.js'
import { differs, OURS, ours, published } from '../sources.js'
import { count, type DeepReadonly, nonEmptyText, probability, SIZES } from '../types.js'

/** A rule: a range of one measure, of which each end may be missing. */
function rule(measure: string, effect: string, unit: string) {
  const end = (bound: string) =>
    key(z.number().optional(), `${bound} of the ${measure}.`, 'Without it this side has no limit.', {
      unit,
      source: OURS,
    })
  return key(
    z.strictObject({ min: end('Lower limit'), max: end('Upper limit') }).optional(),
    `Accepted range of the ${measure}.`,
    effect,
    { unit, source: OURS },
  )
}

const rules = z.strictObject({
  contrastHu: rule(
    'mean HU of the tumor minus that of the organ 2 to 6 voxels around it',
    'It rejects tumors that are too faint or too strong.',
    'HU',
  ),
  volumeMl: rule('tumor volume', 'It rejects tumors that are too small or too large.', 'ml'),
  insideOrgan: rule(
    'fraction of the planned shape that lies in the organ',
    'It rejects tumors that the organ boundary cuts.',
    '0 to 1',
  ),
  distanceToRealMm: rule(
    'distance to the nearest real tumor of the case',
    'A case without a real tumor passes.',
    'mm',
  ),
  edgeSharpnessHuPerMm: rule(
    'mean HU gradient on the rim of the tumor',
    'It rejects tumors with an edge that is too soft or too sharp.',
    'HU per mm',
  ),
  edgeSharpnessToReal: rule(
    'edge sharpness divided by that of the real tumors of the case',
    'A case without a real tumor passes.',
    'ratio',
  ),
  componentShare: rule(
    'fraction of the tumor voxels in the largest component',
    'It rejects tumors that consist of several components.',
    '0 to 1',
  ),
  alreadySeenShare: rule(
    'fraction of the tumor voxels that the baseline labeled tumor before painting',
    'It rejects tumors where the baseline labels tumor anyway.',
    '0 to 1',
  ),
})

const overrides = z.strictObject({
  organ: key(
    z.enum(ORGAN_NAMES).optional(),
    'Organ that the override applies to.',
    'Without it the override applies to all organs.',
    { source: OURS },
  ),
  size: key(
    z.enum(SIZES).optional(),
    'Tumor size that the override applies to.',
    'Without it the override applies to all sizes.',
    { source: OURS },
  ),
  shareSeenThreshold: key(
    probability.optional(),
    'Detected fraction that a tumor of this kind must exceed.',
    'It replaces `quality.shareSeenThreshold`.',
    { unit: '0 to 1', source: OURS },
  ),
  rules: key(
    rules.optional(),
    'Accepted ranges for tumors of this kind.',
    'Each replaces the range of the same name in `quality.rules`.',
    { source: OURS },
  ),
})

export const qualitySection = z.strictObject({
  policy: key(
    z.enum(['published', 'calibrated']),
    'Source of the threshold: `shareSeenThreshold`, or held-out real tumors of the same organ and size.',
    'With `calibrated`, a weak baseline rejects no tumor that it would miss among real ones.',
    { default: 'published', source: ours('quality') },
  ),
  calibration: key(
    nonEmptyText.nullable(),
    'File that `freetumor calibrate` wrote for the baseline; policy `calibrated` needs it.',
    'Its real tumors give the thresholds; a resumed run needs the same file.',
    { default: null, path: true, source: ours('quality') },
  ),
  rejectedShare: key(
    z.number().min(0).max(0.5),
    'Largest probability that policy `calibrated` rejects a real tumor.',
    'Higher values reject more synthetic tumors; 0 rejects none.',
    { unit: '0 to 0.5', default: 0.1, source: ours('quality') },
  ),
  attempts: key(
    count.max(8).nullable(),
    'Largest number of attempts in a crop of a training until a tumor is accepted.',
    'With more, fewer crops stay healthy; each rejected attempt costs another pass of the baseline.',
    { follows: '1, as published; 3 with policy `calibrated`', source: ours('quality') },
  ),
  keepProbability: key(
    probability,
    'Probability that an accepted tumor is used.',
    'Lower values drop tumors at random; experiments compare rules with it.',
    { unit: '0 to 1', default: 1, source: OURS },
  ),
  shareSeenThreshold: key(
    probability,
    'Detected fraction that a synthetic tumor must exceed to be accepted.',
    'Higher values accept fewer tumors; a weak baseline needs a lower one.',
    { unit: '0 to 1', default: 0.7, source: published('quality') },
  ),
  subtractAlreadySeen: key(
    z.boolean(),
    'Subtract the fraction that the baseline labeled tumor before painting from the detected fraction.',
    'It rejects tumors where the baseline labels tumor anyway.',
    { default: false, source: OURS },
  ),
  shareOver: key(
    z.enum(['tumor', 'case']),
    'Tumors that share a detected fraction: each `tumor` alone, or all tumors of a `case` in offline synthesis.',
    'With `case`, a missed tumor can be accepted together with others.',
    { default: 'tumor', source: differs('quality') },
  ),
  rules: key(
    rules,
    'Accepted ranges of further measures of a tumor.',
    'A tumor outside a range is rejected, and the ledger names the rule.',
    { default: {}, source: OURS },
  ),
  reviews: key(
    nonEmptyText.nullable(),
    'Review decisions on a synthetic data set: `reviews.jsonl`, or its folder; null uses none.',
    'In synthesis, a decision overrides the rule; in trainings, rejected tumors of synthetic scans are ignored.',
    { default: null, path: true, source: OURS },
  ),
  overrides: key(
    z.array(overrides),
    'Other thresholds and rules for an organ, a size, or both.',
    'The last override that fits a tumor applies.',
    { default: [], source: OURS },
  ),
})

/** Rules that accept or reject synthetic tumors. */
export type QualitySection = DeepReadonly<z.infer<typeof qualitySection>>
