import type { MeasuredSize } from '../config/sections/simulation.js'
import type { Organ } from '../volume/labels.js'
import type { LesionMeasures } from './measures.js'
import { PROFILES } from './profiles.js'

/** Starts of the ranges of diameters, as in the tables of lesions. */
const EDGES = [0, ...PROFILES.lesion.lesionBinnings.find(({ by }) => by === 'diameterMm')!.edges]

/**
 * Count found and missed true lesions by organ and diameter, for `simulation.curriculum`. An organ has every range up to that of
 * its largest lesion, also ranges without a lesion.
 */
export function missedSizes(
  cases: readonly { readonly lesions: readonly LesionMeasures[] }[],
  organs: readonly Organ[],
): MeasuredSize[] {
  const lesions = cases.flatMap((one) => one.lesions.filter(({ kind }) => kind === 'true'))
  return organs.flatMap(({ name, tumorLabel }) => {
    const own = lesions.filter(({ label }) => label === tumorLabel)
    const largest = own.reduce((most, { diameterMm }) => Math.max(most, diameterMm), 0)
    return EDGES.filter((from) => from < largest).map((from, at): MeasuredSize => {
      const to = EDGES[at + 1] ?? null
      const inside = own.filter(({ diameterMm }) => diameterMm >= from && (to === null || diameterMm < to))
      const found = inside.filter(({ matched }) => matched).length
      return { organ: name, diameterMm: [from, to], found, missed: inside.length - found }
    })
  })
}
