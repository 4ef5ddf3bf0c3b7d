import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Curve } from '../../src/studio/curve.js'

function curveOf(steps: number, maxBins: number): Curve {
  const curve = new Curve(maxBins)
  for (let step = 0; step < steps; step++) curve.add(step, [['loss', step]])
  return curve
}

describe('a curve', () => {
  it('keeps every step while there are few', () => {
    const { names, from, steps, rows } = curveOf(3, 8).since(0)
    expect({ names, from, steps, rows }).toEqual({
      names: ['loss'],
      from: 0,
      steps: [0, 1, 2],
      rows: [
        [0, 0, 0],
        [1, 1, 1],
        [2, 2, 2],
      ],
    })
  })

  it('keeps mean, minimum and maximum of a million steps in a bounded number of bins', () => {
    const { steps, rows } = curveOf(1_000_000, 1000).since(0)
    expect(steps.length).toBeGreaterThan(500)
    expect(steps.length).toBeLessThanOrEqual(1000)
    expect(rows[0]).toEqual([511.5, 0, 1023])
    expect(rows.reduce((highest, row) => Math.max(highest, row[2]!), 0)).toBeCloseTo(1_000_000, -1)
  })

  it('averages by weight and leaves out values that are not finite', () => {
    const curve = new Curve(4)
    curve.add(0, [
      ['seen', 1, 3],
      ['seen', 0, 1],
      ['seen', Number.NaN],
      ['seen', null],
    ])
    expect(curve.since(0).rows).toEqual([[0.75, 0, 1]])
  })

  it('keeps at most 96 names', () => {
    const curve = new Curve(4)
    for (let at = 0; at < 500; at++) curve.add(0, [[`name ${at}`, 1]])
    expect(curve.since(0).names).toHaveLength(96)
  })

  it('brings every reader to the same bins, however often it reads, with cuts and wider bins', () => {
    const action = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 9 }).map((count) => ({ add: count })) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 40 }).map((back) => ({ cut: back })) },
      { weight: 3, arbitrary: fc.constant('read' as const) },
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const curve = new Curve(16)
        let [step, revision] = [0, 0]
        let held: number[][] = []
        const read = (): void => {
          const { from, steps, rows } = curve.since(revision)
          revision = curve.revision
          held = [...held.slice(0, from), ...steps.map((at, n) => [at, ...(rows[n] as number[])])]
        }
        for (const one of actions) {
          if (one === 'read') read()
          else if ('cut' in one) {
            step = Math.max(0, step - one.cut)
            curve.cut(step)
          } else for (let n = 0; n < one.add; n++) curve.add(step, [['loss', step++ % 7]])
        }
        read()
        const { steps, rows } = curve.since(0)
        expect(held).toEqual(steps.map((at, n) => [at, ...(rows[n] as number[])]))
      }),
    )
  })
})
