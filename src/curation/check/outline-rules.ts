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
/** Fewer tell nothing for certain: a small lesion may meet an edge by chance. */
const MIN_SAMPLES = 1000
/** Bone and air must not outweigh all else. */
const STEEPEST_HU = 200
/** Measured on sound scans: outlines are 2.3 to 3.2 times as steep as the inside, and with an axis reversed mostly 1.0 to 1.4. */
const ON_EDGES = 1.8
const CLEARLY_STEEPER = 1.4

/** Some places of a label, as indices into its array: each stands for the pair of it and the voxel before it. */
export interface OutlineSample {
  /** Where the id changes along a row. */
  readonly outlines: readonly number[]
  /** Where both have one id. */
  readonly insides: readonly number[]
  /** Of `insides`. */
  readonly ids: readonly number[]
}

/** @param label with any ids: nobody needs to know what they mean */
export function sampleOutlines({ data, shape }: Volume): OutlineSample {
  const [outlines, insides] = [new Thinned(), new Thinned()]
  const row = shape[2]
  let before = 0
  for (let n = 0; n < data.length; n++) {
    const id = data[n]!
    if (n % row !== 0) {
      if (id !== before) outlines.add(n)
      else if (id !== 0) insides.add(n)
    }
    before = id
  }
  return { outlines: outlines.kept, insides: insides.kept, ids: insides.kept.map((n) => data[n]!) }
}

/** Every n-th of what is added, so many that at most 2 * SAMPLES are kept. */
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
 * Whether the outlines of a label follow edges of its image, whatever its ids mean: organs, lesions and vessels differ from
 * what is around them more than from themselves. When one header was copied from the other file they do so only with an
 * axis reversed or exchanged.
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
      message: `${clearestId(sample, labelGrid, image, stated, best.moves)} with ${difference(stated, best.moves)}, where its outlines are ${best.steepness.toFixed(1)} times as steep as its inside (as the headers say: ${placed.toFixed(1)}): one of the two affines is not its own file's`,
      fix: 'a header was probably copied from one file of the pair to the other: take both files from their source again',
    },
  ]
}

/** Mean step in HU across outlines, in those inside; 0 where nothing can be compared. */
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

/** The id whose HU become most even: an example that a reader can look at. */
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
  return `its id ${id} is ${there.text} HU where the headers put it, ${here.text} HU`
}

function mean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite)
  return finite.reduce((sum, value) => sum + value, 0) / finite.length
}
