import { type AxisMoves, compareGrids, type Grid } from '../../volume/geometry.js'
import type { Volume } from '../../volume/volume.js'
import type { RuleFinding } from './finding.js'
import {
  alternatives,
  difference,
  huReader,
  meanAndSpread,
  type PlacedImage,
  statedMoves,
} from './placed-image.js'

const SAMPLES = 1500
/** Minimum number of samples: a small lesion may follow an edge by chance. */
const MIN_SAMPLES = 1000
/** Limit of a step, so that bone and air do not dominate. */
const STEEPEST_HU = 200
/**
 * Measured on correct scans: outlines are 2.3 to 3.2 times as steep as the inside, with a reversed axis
 * mostly 1.0 to 1.4.
 */
const ON_EDGES = 1.8
const CLEARLY_STEEPER = 1.4

/**
 * Places of a label, as indices into its array. Each stands for the pair of this voxel and the one before it.
 */
export interface OutlineSample {
  /** Places where the id changes along a row. */
  readonly outlines: readonly number[]
  /** Places where both voxels have one id. */
  readonly insides: readonly number[]
  /** Ids of `insides`. */
  readonly ids: readonly number[]
}

/**
 * Sample outlines and insides of a label.
 * @param label with any ids; their meaning is not needed
 * @param ignored id that is no outline of anatomy
 */
export function sampleOutlines({ data, shape }: Volume, ignored?: number): OutlineSample {
  const [outlines, insides] = [new Thinned(), new Thinned()]
  const row = shape[2]
  let before = 0
  for (let n = 0; n < data.length; n++) {
    const id = data[n]!
    if (n % row !== 0 && id !== ignored && before !== ignored) {
      if (id !== before) outlines.add(n)
      else if (id !== 0) insides.add(n)
    }
    before = id
  }
  return { outlines: outlines.kept, insides: insides.kept, ids: insides.kept.map((n) => data[n]!) }
}

/** Keeps every n-th added value, so that at most 2 * SAMPLES are kept. */
class Thinned {
  kept: number[] = []
  private step = 1
  private seen = 0

  add(value: number): void {
    if (this.seen++ % this.step !== 0) return
    this.kept.push(value)
    if (this.kept.length < 2 * SAMPLES) return
    this.kept = this.kept.filter((_, at) => at % 2 === 0)
    this.step *= 2
  }
}

/**
 * Check that the outlines of a label follow edges of its image, for any ids. Organs, lesions and vessels
 * differ more from their surroundings than within themselves. If one header was copied from the other file,
 * the outlines follow edges only with an axis reversed or exchanged.
 */
export function outlineFindings(sample: OutlineSample, labelGrid: Grid, image: PlacedImage): RuleFinding[] {
  const stated = statedMoves(compareGrids(image.grid, labelGrid))
  if (stated === null || Math.min(sample.outlines.length, sample.insides.length) < MIN_SAMPLES) return []
  const steepness = (moves: AxisMoves) => steepnessOf(sample, labelGrid, image, moves)
  const placed = steepness(stated)
  const best = alternatives(labelGrid.shape, image.grid.shape)
    .map((moves) => ({ moves, steepness: steepness(moves) }))
    .reduce((a, b) => (b.steepness > a.steepness ? b : a))
  if (!(best.steepness >= ON_EDGES && best.steepness >= CLEARLY_STEEPER * placed)) return []
  return [
    {
      rule: 'misplaced-label',
      severity: 'error',
      message: `${clearestId(sample, labelGrid, image, stated, best.moves)} with ${difference(stated, best.moves)}, where outlines are ${best.steepness.toFixed(1)} times as steep as insides (by the headers: ${placed.toFixed(1)}): one affine belongs to the other file`,
      fix: 'fetch both files again: one header was probably copied from the other file',
    },
  ]
}

/** Return the mean step in HU across outlines relative to insides; 0 if undefined. */
function steepnessOf(
  { outlines, insides }: OutlineSample,
  labelGrid: Grid,
  image: PlacedImage,
  moves: AxisMoves,
): number {
  const huOf = huReader(labelGrid.shape, image, moves)
  const step = (n: number) => Math.min(STEEPEST_HU, Math.abs(huOf(n) - huOf(n - 1)))
  const ratio = mean(outlines.map(step)) / mean(insides.map(step))
  return Number.isFinite(ratio) ? ratio : 0
}

/** Return an example for the reader: the id whose HU become most even. */
function clearestId(
  { insides, ids }: OutlineSample,
  { shape }: Grid,
  image: PlacedImage,
  stated: AxisMoves,
  found: AxisMoves,
): string {
  const rows = [...new Set(ids)].map((id) => {
    const places = insides.filter((_, at) => ids[at] === id)
    const values = (moves: AxisMoves) => Float64Array.from(places, huReader(shape, image, moves))
    const [there, here] = [meanAndSpread(values(stated)), meanAndSpread(values(found))]
    return { id, there, here, gain: (there.spread - here.spread) * Math.sqrt(places.length) }
  })
  const { id, there, here } = rows.reduce((a, b) => (b.gain > a.gain ? b : a))
  return `id ${id} has ${there.text} HU by the headers, ${here.text} HU`
}

function mean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite)
  return finite.reduce((sum, value) => sum + value, 0) / finite.length
}
