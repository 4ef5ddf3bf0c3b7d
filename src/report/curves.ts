import type { RunEvent } from '../training/events.js'
import { lineChart, type Point, type Series } from './chart.js'
import { inWords, isFigure, orderedLosses } from './wording.js'

/** Count the steps whose loss is NaN or infinite; the curves omit them. */
export function stepsWithoutLoss(events: readonly RunEvent[]): number {
  return events.filter((event) => event.type === 'step' && !Object.values(event.losses).every(isFigure))
    .length
}

/** Return the chart of the losses; empty without steps. */
export function lossChart(events: readonly RunEvent[]): string {
  const byName = new Map<string, Point[]>()
  for (const event of events) {
    if (event.type !== 'step') continue
    for (const [name, value] of orderedLosses(event.losses)) {
      if (!byName.has(name)) byName.set(name, [])
      if (isFigure(value)) byName.get(name)!.push([event.step + 1, value])
    }
  }
  const series = [...byName].map(([name, points]): Series => ({ name: inWords(name), points }))
  return lineChart(series, { title: 'Losses', x: 'step', y: 'loss' })
}

/** Return the chart of detected fraction and acceptance rate; empty if no tumor was painted. */
export function shareChart(events: readonly RunEvent[], keptName: string): string {
  const seen: Point[] = []
  const kept: Point[] = []
  for (const event of events) {
    if (event.type !== 'synthesis' || !isFigure(event.shareSeen)) continue
    seen.push([event.step + 1, event.shareSeen])
    kept.push([event.step + 1, event.kept / Math.max(1, event.tried)])
  }
  const series = [
    { name: 'detected fraction', points: seen },
    { name: keptName, points: kept },
  ]
  return lineChart(series, {
    title: 'Synthetic tumors',
    x: 'step',
    y: 'share',
    range: [0, 1],
    // a step has few tumors, so the range would nearly always span 0 to 1
    spread: false,
    means: 24,
  })
}

/** Return the chart of tumor Dice per validation; empty with fewer than two validations. */
export function validationChart(events: readonly RunEvent[]): string {
  const points = events.flatMap((event): Point[] =>
    event.type === 'validation' && isFigure(event.tumorDice) ? [[event.step, event.tumorDice]] : [],
  )
  if (points.length < 2) return ''
  return lineChart([{ name: 'tumor Dice', points }], {
    title: 'Validation',
    x: 'step',
    y: 'Dice',
    range: [0, 1],
    dots: true,
  })
}
