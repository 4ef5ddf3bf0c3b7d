import { z } from 'zod'
import { key } from '../key.js'
import { OURS, published } from '../sources.js'
import { count, type DeepReadonly, natural, nonEmptyText, probability, vec3 } from '../types.js'

const PATCH_VOXELS = { abdomen: [96, 96, 96], chest: [192, 192, 32] } as const

const augmentation = z.strictObject({
  flipProbability: key(
    probability,
    'Probability that a crop is flipped, drawn for each of the three axes.',
    'Higher values give more varied crops.',
    { unit: '0 to 1', default: 0.2, source: published('preparation') },
  ),
  rotateProbability: key(
    probability,
    'Probability that a crop is rotated by 90, 180 or 270 degrees in its first two axes.',
    'Higher values give more varied crops.',
    { unit: '0 to 1', default: 0.2, source: published('preparation') },
  ),
  scaleProbability: key(
    probability,
    'Probability that the intensity of a crop is multiplied by a random factor.',
    'Higher values give more varied intensities.',
    {
      unit: '0 to 1',
      default: ({ region }) => (region === 'abdomen' ? 0.1 : 0),
      source: published('preparation'),
    },
  ),
  scaleRange: key(
    z.number().min(0).max(1),
    'Largest deviation of the random intensity factor from 1.',
    'Larger ranges change the contrast more.',
    { unit: 'fraction', default: 0.1, source: published('preparation') },
  ),
  shiftProbability: key(
    probability,
    'Probability that a random number is added to the intensity of a crop.',
    'Higher values give more varied intensities.',
    { unit: '0 to 1', default: 0.1, source: published('preparation') },
  ),
  shiftRange: key(
    z.number().min(0).max(1),
    'Largest number that is added to or subtracted from the windowed intensity.',
    'Larger ranges change the brightness more.',
    { unit: 'fraction of the intensity window', default: 0.1, source: published('preparation') },
  ),
})

const hardNegatives = z.strictObject({
  case: key(
    nonEmptyText,
    'Id of the case, `dataset/stem`.',
    'Entries of cases without a role are not used.',
    {
      source: OURS,
    },
  ),
  mm: key(
    vec3(z.number()),
    'Position of the false positive in RAS coordinates of the scan.',
    'Negative crops are drawn around it.',
    { unit: 'mm', source: OURS },
  ),
  score: key(
    probability.nullable().default(null),
    'Highest tumor probability of the false positive; null if unknown.',
    'Higher scores are drawn more often; without scores all are drawn equally often.',
    { unit: '0 to 1', source: OURS },
  ),
})

export const samplingSection = z.strictObject({
  patchVoxels: key(
    vec3(z.int().min(16).max(512)),
    'Size of a crop on the prepared grid; multiples of 32 for `swinunetr`, else of 8.',
    'Larger crops show more context and need more memory.',
    {
      unit: 'voxels',
      default: ({ region }) => PATCH_VOXELS[region],
      source: published('preparation'),
    },
  ),
  cropsPerVolume: key(
    count,
    'Number of crops that an item takes from its volume.',
    'A step has `itemsPerStep` times as many crops.',
    {
      unit: 'crops',
      default: ({ job, region }) => (region === 'chest' ? 2 : job === 'synthesis' ? 1 : 4),
      source: published('preparation'),
    },
  ),
  positiveOdds: key(
    z.number().min(0),
    'Odds that a crop is centred on a labelled voxel, against `negativeOdds`.',
    'Higher odds show organs and tumors more often.',
    { default: 1, source: published('preparation') },
  ),
  negativeOdds: key(
    z.number().min(0),
    'Odds that a crop is centred on an unlabelled voxel, against `positiveOdds`.',
    'Higher odds show background more often.',
    { default: ({ job }) => (job === 'synthesis' ? 0 : 1), source: published('preparation') },
  ),
  tumorOdds: key(
    probability,
    'Fraction of the positive centres that lie on a tumor voxel, in cases with a tumor.',
    'Higher values show tumors more often; 0 is the published choice.',
    { unit: '0 to 1', default: 0, source: OURS },
  ),
  hardNegatives: key(
    z.array(hardNegatives).min(1).nullable(),
    'False positives of a segmentor, or the name of a file of `freetumor hard-negatives`; null draws no crop around them.',
    'Cases in the list show their false positives more often, as negative crops without a synthetic tumor.',
    { default: null, path: 'list', source: OURS },
  ),
  hardNegativeShare: key(
    probability,
    'Fraction of the negative centres that are drawn around listed false positives, in cases that have any.',
    'Higher values show false positives more often, and other background less often.',
    { unit: '0 to 1', default: 0.5, source: OURS },
  ),
  itemsPerStep: key(
    count,
    'Number of volumes in an optimizer step, over all ranks.',
    'It must be divisible by the number of ranks times `training.accumulation`.',
    {
      unit: 'volumes',
      default: ({ job }) => (job === 'synthesis' ? 32 : 1),
      source: published('segmentation'),
    },
  ),
  augmentation: key(
    augmentation,
    'Random changes of each crop.',
    'They apply to image, label and planned tumor alike, before painting.',
    { source: published('preparation') },
  ),
  mixing: key(
    z.boolean(),
    'Exchange a slab between the crops of a volume, in image and label alike.',
    'It happens after quality control and varies the crops.',
    { default: ({ job }) => job !== 'synthesis', source: published('segmentation') },
  ),
  workers: key(
    natural.max(64),
    'Number of threads that plan items; 0 plans in the main thread.',
    'The items do not depend on it.',
    { unit: 'threads', default: 2, source: OURS },
  ),
})

/** Items, crops and their augmentation. */
export type SamplingSection = DeepReadonly<z.infer<typeof samplingSection>>
