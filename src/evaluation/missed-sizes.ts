import type { MeasuredRange, MeasuredSize } from '../config/sections/simulation.js'
import type { Organ, OrganName } from '../volume/labels.js'
import type { LesionMeasures } from './measures.js'
import { PROFILES } from './profiles.js'

/** Start and end of a range; null is an open end. */
type Ends = readonly [number | null, number | null]

/** Ranges of diameters, as in the tables of lesions. */
const DIAMETERS_MM = between([
  0,
  ...PROFILES.lesion.lesionBinnings.find(({ by }) => by === 'diameterMm')!.edges,
  null,
])
/** Ranges of depths and contrasts, and their reasons: docs/method.md#places-and-contrasts-that-a-segmentor-misses. */
const DEPTHS_MM = between([0, 5, 15, null])
const SOFT_TISSUE_HU = between([null, -60, -20, 20, null])
const CONTRASTS_HU: Readonly<Record<OrganName, readonly Ends[]>> = {
  liver: SOFT_TISSUE_HU,
  pancreas: SOFT_TISSUE_HU,
  kidney: SOFT_TISSUE_HU,
  lung: between([0, 200, 400, null]),
}

type Lesions = readonly LesionMeasures[]
type Cases = readonly { readonly lesions: Lesions }[]

/**
 * Count found and missed true lesions for `simulation.curriculum`, by organ: in ranges of diameter, of depth and of contrast. Each kind
 * of range counts all lesions in which it is measured.
 */
export function missedRanges(cases: Cases, organs: readonly Organ[]): MeasuredRange[] {
  const of = (name: 'depthMm' | 'contrastHu', ranges: (organ: OrganName) => readonly Ends[]) =>
    organs.flatMap((organ) =>
      counts(lesionsOf(cases, organ), ({ [name]: value }) => value, ranges(organ.name)).map(
        ({ ends, ...counted }) => ({ organ: organ.name, [name]: ends, ...counted }) as MeasuredRange,
      ),
    )
  return [
    ...missedSizes(cases, organs),
    ...of('depthMm', () => DEPTHS_MM),
    ...of('contrastHu', (organ) => CONTRASTS_HU[organ]),
  ]
}

/**
 * Count found and missed true lesions by organ and diameter. An organ has every range up to that of its largest lesion, also ranges
 * without a lesion.
 */
export function missedSizes(cases: Cases, organs: readonly Organ[]): MeasuredSize[] {
  return organs.flatMap((organ) =>
    counts(lesionsOf(cases, organ), ({ diameterMm }) => diameterMm, DIAMETERS_MM).map(
      ({ ends, ...counted }) => ({
        organ: organ.name,
        diameterMm: ends as [number, number | null],
        ...counted,
      }),
    ),
  )
}

function lesionsOf(cases: Cases, { tumorLabel }: Organ): Lesions {
  return cases.flatMap(({ lesions }) =>
    lesions.filter(({ kind, label }) => kind === 'true' && label === tumorLabel),
  )
}

/** Count lesions in ranges, from the first to the last range with a lesion; a range that starts at 0 is never left out below. */
function counts(
  lesions: Lesions,
  measureOf: (lesion: LesionMeasures) => number | undefined,
  ranges: readonly Ends[],
) {
  const inside = ranges.map(([from, to]) =>
    lesions.filter((lesion) => {
      const value = measureOf(lesion)
      return value !== undefined && value >= (from ?? -Infinity) && value < (to ?? Infinity)
    }),
  )
  const filled = inside.flatMap((some, at) => (some.length > 0 ? [at] : []))
  const first = ranges[0]![0] === 0 ? 0 : (filled[0] ?? 0)
  return ranges.slice(first, (filled.at(-1) ?? -1) + 1).map((ends, at) => {
    const own = inside[first + at]!
    const found = own.filter(({ matched }) => matched).length
    return { ends, found, missed: own.length - found }
  })
}

function between(limits: readonly (number | null)[]): readonly Ends[] {
  return limits.slice(1).map((to, at) => [limits[at]!, to])
}
