import { z } from 'zod'
import { key } from '../key.js'
import { OURS, published } from '../sources.js'
import { count, type DeepReadonly } from '../types.js'

export const evaluationSection = z.strictObject({
  overlap: key(
    z.number().min(0).max(0.95),
    'Overlap of neighbouring sliding windows of a segmentor along an axis.',
    'More overlap is more accurate and takes longer.',
    { unit: '0 to 0.95', default: 0.75, source: published('evaluation') },
  ),
  blend: key(
    z.enum(['constant', 'gaussian']),
    'Weight of the voxels of a sliding window where windows overlap.',
    '`gaussian` gives the centre of a window more weight.',
    { default: 'constant', source: published('evaluation') },
  ),
  windowBatch: key(
    count,
    'Number of sliding windows in a batch of a segmentor.',
    'Larger batches need more memory; results do not change.',
    {
      unit: 'windows',
      default: ({ region }) => (region === 'abdomen' ? 4 : 2),
      source: published('evaluation'),
    },
  ),
  profile: key(
    z.enum(['voco', 'freetumor', 'difftumor', 'lesion']),
    'Evaluation profile that is recorded with the run.',
    'No command reads it yet; `freetumor evaluate --profile` chooses the figures.',
    { default: 'freetumor', source: OURS },
  ),
})

/** Sliding windows of validation and of quality control. */
export type EvaluationSection = DeepReadonly<z.infer<typeof evaluationSection>>
