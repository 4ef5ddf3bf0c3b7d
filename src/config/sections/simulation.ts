import { z } from 'zod'
import { key, ORGAN_NAMES } from '../key.js'
import { differs, OURS, ours, PAPER, published } from '../sources.js'
import {
  count,
  type DeepReadonly,
  natural,
  nonEmptyText,
  positive,
  probability,
  SIZES,
  vec3,
} from '../types.js'

type Size = (typeof SIZES)[number]
type BySize<T> = { [S in Size]: T }

/** One key for each size, of the same type. */
function bySize<T extends z.ZodType>(describe: (size: Size) => T) {
  return z.strictObject(Object.fromEntries(SIZES.map((size) => [size, describe(size)])) as BySize<T>)
}

const SIZE_ODDS: Readonly<Record<'abdomen' | 'chest', BySize<number>>> = {
  abdomen: { tiny: 0.25, small: 0.25, medium: 0.25, large: 0.25 },
  chest: { tiny: 0.35, small: 0.35, medium: 0.3, large: 0 },
}
const RADIUS_VOXELS: BySize<number> = { tiny: 4, small: 8, medium: 16, large: 32 }

/** No organ of the method is deeper. */
const MAX_DEPTH_MM = 200

const positions = z.strictObject({
  case: key(nonEmptyText, 'Id of the case, `dataset/stem`.', 'Other positions of the case are not used.', {
    source: OURS,
  }),
  mm: key(
    vec3(z.number()),
    'Position of the centre in RAS coordinates of the scan.',
    'The nearest voxel of the prepared grid becomes the centre.',
    { unit: 'mm', source: OURS },
  ),
  organ: key(
    z.enum(ORGAN_NAMES).nullable().default(null),
    'Organ of the tumor; null is the organ at the position.',
    'A position outside this organ is not used.',
    { source: OURS },
  ),
})

/** The doubled end of a range must lie beyond the other end. */
const ORDERED = { message: 'an end above its start; null stands for an end of twice the other one' }

const depthMm = z
  .tuple([z.number().min(0), positive.max(MAX_DEPTH_MM).nullable()])
  .refine(([from, to]) => (to === null ? from > 0 : to > from), ORDERED)

const hu = z.number().min(-2000).max(2000)
const contrastHu = z
  .tuple([hu.nullable(), hu.nullable()])
  .refine(
    ([from, to]) => (from === null ? to !== null && to < 0 : to === null ? from > 0 : to > from),
    ORDERED,
  )

export const measuredRange = z
  .strictObject({
    organ: key(
      z.enum(ORGAN_NAMES),
      'Organ of the measured tumors.',
      'Organs are drawn in proportion to their weight times their rate of missed tumors.',
      { source: OURS },
    ),
    diameterMm: key(
      z
        .tuple([z.number().min(0), positive.max(1000).nullable()])
        .refine(([from, to]) => to === null || to > from, { message: 'an end above its start' })
        .optional(),
      'Start and end of a range of diameters of balls of equal volume; null as end is twice the start.',
      'Diameters are uniform in the range, but never below 5 mm or 3 voxels.',
      { unit: 'mm', source: OURS },
    ),
    depthMm: key(
      depthMm.optional(),
      'Instead of `diameterMm`: range of distances from the centre to the boundary of the organ; null as end is twice the start.',
      'The centre is uniform over the voxels of this depth; without any, it is drawn as usual.',
      { unit: 'mm', source: OURS },
    ),
    contrastHu: key(
      contrastHu.optional(),
      'Instead of `diameterMm`: range of mean HU less the median of the organ around; a null end is twice the other.',
      'Changes of HU are uniform in the range; only hand-crafted tumors can have it.',
      { unit: 'HU', source: OURS },
    ),
    found: key(
      natural,
      'Number of real tumors in the range that the segmentor found.',
      'A range with more found tumors is drawn less often.',
      {
        unit: 'tumors',
        source: OURS,
      },
    ),
    missed: key(
      natural,
      'Number of real tumors in the range that the segmentor missed.',
      'A range with more missed tumors is drawn more often.',
      {
        unit: 'tumors',
        source: OURS,
      },
    ),
  })
  .refine(
    (one) =>
      [one.diameterMm, one.depthMm, one.contrastHu].filter((range) => range !== undefined).length === 1,
    { message: 'exactly one of diameterMm, depthMm and contrastHu' },
  )

export const simulationSection = z.strictObject({
  tumorsPerCrop: key(
    count,
    'Number of tumors that are planned in a crop.',
    'Several tumors of a crop do not overlap.',
    { unit: 'tumors', default: 1, source: published('size') },
  ),
  organWeights: key(
    z.partialRecord(z.enum(ORGAN_NAMES), z.number().min(0)),
    'Relative frequency of each organ among the planned tumors.',
    'An organ is drawn among those in the crop; 0 or no entry leaves an organ out.',
    {
      default: ({ region }) => (region === 'abdomen' ? { liver: 1, pancreas: 1, kidney: 1 } : { lung: 1 }),
      source: ours('labels'),
    },
  ),
  sizeOdds: key(
    bySize((size) =>
      key(
        z.number().min(0),
        `Relative frequency of ${size} tumors.`,
        'The four numbers need not add up to 1; 0 leaves the size out.',
        { default: ({ region }) => SIZE_ODDS[region][size], source: published('size') },
      ),
    ),
    'Relative frequency of each tumor size.',
    'It is ignored if `volumesMl` is set, and for organs of `curriculum`.',
    { source: published('size') },
  ),
  radiusVoxels: key(
    bySize((size) =>
      key(
        z.int().min(2).max(64),
        `Base radius of ${size} tumors; each radius is drawn between 0.75 and 1.25 times it.`,
        'It counts voxels of the prepared grid, so another spacing changes the size in mm.',
        { unit: 'voxels', default: RADIUS_VOXELS[size], source: published('size') },
      ),
    ),
    'Base radius of each tumor size, in voxels of the prepared grid.',
    'It is ignored if `radiusMm` is set.',
    { unit: 'voxels', source: published('size') },
  ),
  radiusMm: key(
    bySize((size) =>
      key(
        positive.max(200),
        `Base radius of ${size} tumors; each radius is drawn between 0.75 and 1.25 times it.`,
        'Tumors have the same size in mm on a grid of any spacing.',
        { unit: 'mm', source: OURS },
      ),
    ).nullable(),
    'Base radius of each tumor size in physical space; null uses `radiusVoxels`.',
    'With it, tumors have the same size on a grid of any spacing.',
    { unit: 'mm', default: null, source: OURS },
  ),
  volumesMl: key(
    z.array(positive.max(10_000)).min(1).nullable(),
    'Tumor volumes to draw from, or the name of a text file with one volume per line; null uses `sizeOdds`.',
    'Synthetic tumors then follow the sizes of the list, such as those of your real tumors.',
    { unit: 'ml', default: null, path: 'list', source: OURS },
  ),
  curriculum: key(
    z.array(measuredRange).min(1).nullable(),
    'Found and missed tumors by organ and range, or the name of `missed-sizes.jsonl` of `freetumor evaluate`; null aims at nothing.',
    'Tumors have the organs, sizes, depths and contrasts that the segmentor misses; organs in no entry follow the other keys.',
    { default: null, path: 'list', source: OURS },
  ),
  curriculumUniformShare: key(
    probability,
    'Fraction of the aimed tumors whose range is drawn uniformly, so that no range vanishes.',
    'Higher values aim less; 1 draws all ranges of an organ equally often.',
    { unit: '0 to 1', default: 0.2, source: OURS },
  ),
  positions: key(
    z.array(positions).min(1).nullable(),
    'Wanted tumor positions, or the name of a file with one JSON object per line; null draws positions.',
    'A case with listed positions gets tumors there and nowhere else.',
    { default: null, path: 'list', source: OURS },
  ),
  texture: key(
    z.strictObject({
      sizeVoxels: key(
        vec3(z.int().min(16).max(1024)),
        'Size of each texture volume; it must be larger than `sampling.patchVoxels`.',
        'Smaller volumes change the statistics of the textures.',
        { unit: 'voxels', default: [420, 300, 320], source: published('texture') },
      ),
      count: key(
        count.max(10),
        'Number of texture volumes that tumors draw from.',
        'More textures give more varied tumors and need more memory.',
        {
          unit: 'textures',
          follows: '1 for an abdomen generator with `channel: shared`, else 10',
          source: differs('texture'),
        },
      ),
    }),
    'Noise volumes that give synthetic tumors their texture.',
    'They are made once per cache from the seed of the run.',
    { source: PAPER },
  ),
})

/** Number, organ, size, place and texture of planned tumors. */
export type SimulationSection = DeepReadonly<z.infer<typeof simulationSection>>

/** Real tumors of an organ in a range of diameters, depths or contrasts, found and missed by a segmentor. */
export type MeasuredRange = NonNullable<SimulationSection['curriculum']>[number]

/** Those in a range of diameters. */
export type MeasuredSize = Omit<MeasuredRange, 'diameterMm' | 'depthMm' | 'contrastHu'> & {
  readonly diameterMm: NonNullable<MeasuredRange['diameterMm']>
}
