import { findRuns } from '../../volume/components.js'
import { type AxisMoves, compareGrids, type Grid } from '../../volume/geometry.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'
import type { LabelMap } from '../../volume/volume.js'
import type { RuleFinding } from './finding.js'
import {
  alternatives,
  difference,
  huReader,
  meanAndSpread,
  type PlacedImage,
  statedMoves,
} from './placed-image.js'

/** Enough samples to separate 90 % from 80 % reliably. */
const SAMPLES_PER_ORGAN = 4000
const MIN_VOXELS = 500
/** Solid organs are even: with a correct label, nearly all voxels are this near to their median. */
const NEAR_MEDIAN_HU = 60
const SOLID_MEDIAN_HU = [-50, 300] as const
/** Lungs are not even, but the darkest part of the body. */
const LUNG_BELOW_HU = -300
/** Measured on correct scans: a reversed axis costs a liver, kidney or pancreas at least 0.2. */
const CLEARLY_BETTER = 0.12
const PLACED_WELL = 0.88

/** Voxels of an organ, spread over all of it, as indices into the label's array. */
export interface OrganSample {
  readonly organ: OrganName
  readonly voxels: readonly number[]
}

/**
 * Sample every n-th voxel of each organ.
 * @param label with the ids of its region's scheme
 */
export function sampleOrgans(
  label: LabelMap,
  voxelsOf: (id: number) => number,
  region: Region,
): OrganSample[] {
  return LABEL_SCHEMES[region].organs
    .filter((organ) => voxelsOf(organ.label) >= MIN_VOXELS)
    .map((organ) => {
      const step = Math.ceil(voxelsOf(organ.label) / SAMPLES_PER_ORGAN)
      return { organ: organ.name, voxels: everyNth(label, organ.label, step) }
    })
}

function everyNth(label: LabelMap, id: number, step: number): number[] {
  const voxels: number[] = []
  let next = 0
  for (const { row, start, end } of findRuns(label, id)) {
    const first = row * label.shape[2] + start
    for (; next < end - start; next += step) voxels.push(first + next)
    next -= end - start
  }
  return voxels
}

/**
 * Check that the organs lie where the two headers place them. A header that was copied from the other file is
 * valid in itself, but then the organs are even only with an axis reversed or exchanged.
 */
export function placementFindings(
  samples: readonly OrganSample[],
  labelGrid: Grid,
  image: PlacedImage,
): RuleFinding[] {
  const stated = statedMoves(compareGrids(image.grid, labelGrid))
  if (samples.length === 0 || stated === null) return []
  const placed = fitOf(samples, labelGrid, image, stated)
  if (placed.share >= PLACED_WELL) return []
  const others = alternatives(labelGrid.shape, image.grid.shape).map((moves) =>
    fitOf(samples, labelGrid, image, moves),
  )
  const best = others.reduce((a, b) => (b.share > a.share ? b : a), placed)
  if (best.share < placed.share + CLEARLY_BETTER) return []
  const { organ } = samples[0]!
  return [
    {
      rule: 'misplaced-label',
      severity: 'error',
      message: `the ${organ} has ${placed.hu} HU by the headers, ${best.hu} HU with ${difference(stated, best.moves)}: one affine belongs to the other file`,
      fix: 'fetch both files again: one header was probably copied from the other file',
    },
  ]
}

interface Fit {
  readonly moves: AxisMoves
  /** Fraction of the voxels that look like their organ, mean over the organs. */
  readonly share: number
  /** Mean and standard deviation of the first organ. */
  readonly hu: string
}

function fitOf(samples: readonly OrganSample[], { shape }: Grid, image: PlacedImage, moves: AxisMoves): Fit {
  const huOf = huReader(shape, image, moves)
  const hu = samples.map(({ voxels }) => Float64Array.from(voxels, huOf))
  const share = hu.reduce((sum, values, n) => sum + shareFitting(values, samples[n]!.organ), 0) / hu.length
  return { moves, share, hu: meanAndSpread(hu[0]!).text }
}

/** Return the fraction of the voxels that look like the organ. */
function shareFitting(values: Float64Array, organ: OrganName): number {
  if (organ === 'lung') return values.filter((hu) => hu < LUNG_BELOW_HU).length / values.length
  const median = values.toSorted()[values.length >> 1]!
  if (median < SOLID_MEDIAN_HU[0] || median > SOLID_MEDIAN_HU[1]) return 0
  return values.filter((hu) => Math.abs(hu - median) <= NEAR_MEDIAN_HU).length / values.length
}
