import { z } from 'zod'
import { key } from '../key.js'
import { OURS, published } from '../sources.js'
import { count, type DeepReadonly, nonEmptyText, positive, vec3 } from '../types.js'

/** Folder of prepared cases, fingerprints and the last audit, below the working directory. */
export const DEFAULT_CACHE = '.freetumor/cache'

const SPACING_MM = { abdomen: [1.5, 1.5, 1.5], chest: [1.25, 1.25, 5] } as const
const WINDOW_HU = { abdomen: [-175, 250], chest: [-1000, 500] } as const

export const prepareSection = z.strictObject({
  cache: key(
    nonEmptyText,
    'Folder of the prepared cases.',
    'Runs with the same spacing and intensity window share prepared cases.',
    { default: DEFAULT_CACHE, path: true, source: OURS },
  ),
  spacingMm: key(
    vec3(positive),
    'Voxel size of the prepared grid, along the left-right, front-back and foot-head axes.',
    'Smaller voxels show smaller tumors and need more memory and time.',
    {
      unit: 'mm',
      default: ({ region }) => SPACING_MM[region],
      source: published('preparation'),
    },
  ),
  windowHu: key(
    z.tuple([z.number(), z.number()]),
    'Intensity window that networks see, mapped to 0 to 1 and clipped.',
    'Volumes are cropped to voxels above its lower end.',
    {
      unit: 'HU',
      default: ({ region }) => WINDOW_HU[region],
      source: published('preparation'),
    },
  ),
  compression: key(
    z.enum(['none', 'blosc']),
    'Compression of the prepared cases: `blosc` for less than half the size, `none` for the fastest reads.',
    'A compressed crop has the same voxels and takes more processor time to read.',
    { default: 'none', source: OURS },
  ),
  workers: key(
    count,
    'Number of processes that prepare cases at the same time.',
    'More processes are faster; each holds one volume in memory.',
    { unit: 'processes', default: 2, source: OURS },
  ),
})

/** The prepared grid and its cache. */
export type PrepareSection = DeepReadonly<z.infer<typeof prepareSection>>
