import { describe, expect, test } from 'vitest'
import { lineChart, type Point } from '../../src/report/chart.js'

const options = { title: 'Losses', x: 'step', y: 'loss' }

function line(length: number, y: (x: number) => number): Point[] {
  return Array.from({ length }, (_, n): Point => [n + 1, y(n + 1)])
}

/** Coordinates of all paths of a class. */
function coordinates(svg: string, look: string): [number, number][][] {
  const paths = [...svg.matchAll(new RegExp(`<path class="${look}" d="([^"]*)"`, 'g'))].map(
    (match) => match[1]!,
  )
  return paths.map((path) =>
    [...path.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].map((match): [number, number] => [
      Number(match[1]),
      Number(match[2]),
    ]),
  )
}

describe('a chart', () => {
  test('is empty without points', () => {
    expect(lineChart([], options)).toBe('')
    expect(lineChart([{ name: 'a', points: [] }], options)).toBe('')
  })

  test('has title, axes, ticks, a legend with the last value, and a description in one sentence', () => {
    const chart = lineChart([{ name: 'total', points: line(20, (x) => 2 / x) }], options)
    expect(chart).toContain('<h4>Losses</h4>')
    expect(chart).toMatch(/class="axis"[^>]*>step</)
    expect(chart).toMatch(/class="axis"[^>]*>loss</)
    expect([...chart.matchAll(/text-anchor="middle">(\d+)</g)].map((match) => match[1])).toEqual([
      '5',
      '10',
      '15',
      '20',
    ])
    expect(chart).toContain('total <b>0.100</b>')
    expect(chart).toContain('aria-label="Losses, by step: total from 2.00 to 0.100."')
  })

  test('draws higher values higher and later steps further right, inside its plot area', () => {
    const [drawn] = coordinates(
      lineChart([{ name: 'a', points: line(10, (x) => x) }], options),
      'line look0',
    ).filter((path) => path.length === 10)
    expect(drawn!.map(([x]) => x)).toEqual(drawn!.map(([x]) => x).toSorted((a, b) => a - b))
    expect(drawn!.map(([, y]) => y)).toEqual(drawn!.map(([, y]) => y).toSorted((a, b) => b - a))
    for (const [x, y] of drawn!) {
      expect(x).toBeGreaterThanOrEqual(50)
      expect(x).toBeLessThanOrEqual(520)
      expect(y).toBeGreaterThanOrEqual(0)
      expect(y).toBeLessThanOrEqual(260)
    }
  })

  test('of a hundred thousand steps stays small, and its band still reaches a single peak', () => {
    const chart = lineChart([{ name: 'a', points: line(100_000, (x) => (x === 70_000 ? 9 : 1)) }], options)
    expect(chart.length).toBeLessThan(10_000)
    expect(chart).toMatch(/means of about 2,\d+ steps/)
    const [band] = coordinates(chart, 'spread look0')
    const [curve] = coordinates(chart, 'line look0').filter((path) => path.length > 2)
    const highest = (points: readonly [number, number][]): number => Math.min(...points.map(([, y]) => y))
    expect(highest(band!)).toBeLessThan(highest(curve!) - 100)
  })

  test('shows a single point as a dot', () => {
    expect(lineChart([{ name: 'a', points: [[5, 1]] }], options)).toContain('<circle class="look0"')
  })

  test.each([
    ['only zeros', line(3, () => 0)],
    ['negative values', line(3, (x) => -x)],
    ['one step', line(1, () => 1)],
    ['two steps', line(2, (x) => x)],
    ['tiny values', line(50, (x) => x * 1e-9)],
    ['huge values', line(50, (x) => x * 1e12)],
  ])('of %s has finite coordinates and a few ticks', (_, points) => {
    const chart = lineChart([{ name: 'a', points }], options)
    expect(chart).not.toMatch(/NaN|Infinity|undefined/)
    const numberOfTicks = [...chart.matchAll(/text-anchor="end"/g)].length
    expect(numberOfTicks).toBeGreaterThan(1)
    expect(numberOfTicks).toBeLessThan(9)
  })

  test('escapes names', () => {
    const chart = lineChart([{ name: '<b>&"', points: [[1, 1]] }], { ...options, title: '<i>' })
    expect(chart).not.toMatch(/<b>&"|<i>/)
    expect(chart).toContain('&lt;b&gt;&amp;&quot;')
  })
})
