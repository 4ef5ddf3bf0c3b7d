import { z } from 'zod'
import { key, ORGAN_NAMES } from '../key.js'
import { differs, OURS, published } from '../sources.js'
import { count, type DeepReadonly, positive } from '../types.js'

export const synthesizeSection = z.strictObject({
  variants: key(count.max(1000), 'Number of synthetic scans per host CT.', 'Each variant has other tumors.', {
    unit: 'scans',
    default: 1,
    source: OURS,
  }),
  tumorsPerVariant: key(
    count.max(32),
    'Number of tumors in a synthetic scan.',
    'Tumors that find no room or are rejected are missing.',
    { unit: 'tumors', default: 1, source: OURS },
  ),
  triesPerTumor: key(
    count.max(100),
    'Number of attempts before a tumor is given up.',
    'More attempts accept more tumors and take longer.',
    { unit: 'attempts', default: 10, source: published('offline') },
  ),
  method: key(
    z.enum(['simulated', 'shrunk']),
    'Kind of the tumors: `simulated` plans and paints them, `shrunk` makes smaller copies of real tumors of the same case and organ.',
    '`shrunk` uses no generator, and training cases with tumors only.',
    { default: 'simulated', source: OURS },
  ),
  shrunkDiameterMm: key(
    z.tuple([positive.max(200), positive.max(200)]).refine(([least, most]) => most >= least, {
      message: 'the smaller diameter first',
    }),
    'Smallest and largest diameter of copies by method `shrunk`, of balls of equal volume.',
    'A diameter is drawn uniformly; no tumor is enlarged.',
    { unit: 'mm', default: [5, 10], source: OURS },
  ),
  layout: key(
    z.enum(['plain', 'nnunet']),
    'Names of the written files; `nnunet` adds `_0000` to images.',
    'It changes file names only.',
    { default: 'plain', source: OURS },
  ),
  specialist: key(
    z.enum(ORGAN_NAMES).nullable(),
    'Single organ that receives tumors; null uses all organs with a weight.',
    'Labels are then written as 0 background, 1 organ, 2 tumor.',
    { default: null, source: OURS },
  ),
  keepRejected: key(
    z.int().min(0).max(10_000),
    'Number of rejected tumors of each organ that are written, each alone in a scan, into `rejected/`.',
    'Reviewers can then see them; the list and the manifest omit them.',
    { unit: 'tumors', default: 0, source: OURS },
  ),
  overlap: key(
    z.number().min(0).max(0.95),
    'Overlap of neighbouring sliding windows of the generator along an axis.',
    'More overlap gives smoother results and takes longer.',
    { unit: '0 to 0.95', default: 0.75, source: published('painting') },
  ),
  windowBatch: key(
    count.max(64),
    'Number of sliding windows in a batch of the generator.',
    'Above 1, the windows of a batch share its batch statistics, so results depend on the batch.',
    { unit: 'windows', default: 1, source: differs('painting') },
  ),
})

/** Offline synthesis (`freetumor synthesize`): tumors in whole scans. */
export type SynthesizeSection = DeepReadonly<z.infer<typeof synthesizeSection>>
