import { describe, expect, test } from 'vitest'
import { matchLesions } from '../../src/evaluation/lesion-matching.js'
import { common, type LineCase, measuredLine, numbers, randomLine } from './made-lesions.js'

const IOUS = [0.1, 0.3, 0.5, 0.8]

function iou(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  return common(a, b) / (a.size + b.size - common(a, b))
}

/** Takes the most alike pair that is left until none is alike enough. */
function pairsByHand({ truth, predicted }: LineCase, least: number): { t: number; p: number }[] {
  const pairs: { t: number; p: number }[] = []
  for (;;) {
    let best: { t: number; p: number; alike: number } | null = null
    for (const [t, a] of truth.entries())
      for (const [p, b] of predicted.entries()) {
        const free = !pairs.some((pair) => pair.t === t || pair.p === p)
        const alike = iou(a, b)
        if (free && alike > 0 && alike >= least && alike > (best?.alike ?? 0)) best = { t, p, alike }
      }
    if (best === null) return pairs
    pairs.push(best)
  }
}

test('pairs and Dice equal a computation on sets of voxels', () => {
  const next = numbers(1)
  for (let trial = 0; trial < 60; trial++) {
    const line = randomLine(next)
    const matched = matchLesions(measuredLine('a', line), IOUS)
    const [truth, predicted] = [matched.slice(0, line.truth.length), matched.slice(line.truth.length)]
    for (const [at, least] of IOUS.entries()) {
      const pairs = pairsByHand(line, least)
      expect(truth.map((one) => one.matchedAtIou[at])).toEqual(
        line.truth.map((_, t) => pairs.some((pair) => pair.t === t)),
      )
      expect(predicted.map((one) => one.matchedAtIou[at])).toEqual(
        line.predicted.map((_, p) => pairs.some((pair) => pair.p === p)),
      )
    }
    for (const [t, one] of truth.entries()) {
      const touching = line.predicted.filter((p) => common(line.truth[t]!, p) > 0)
      const together = new Set(touching.flatMap((p) => [...p]))
      const size = line.truth[t]!.size + together.size
      expect(one.matched).toBe(touching.length > 0)
      expect(one.dice).toBeCloseTo((2 * common(line.truth[t]!, together)) / size, 12)
      expect(one.bestIou).toBeCloseTo(Math.max(0, ...line.predicted.map((p) => iou(line.truth[t]!, p))), 12)
    }
  }
})

describe('two true lesions under one predicted one', () => {
  const set = (from: number, to: number) => new Set(Array.from({ length: to - from }, (_, n) => from + n))
  const line = { truth: [set(0, 4), set(6, 12)], predicted: [set(0, 12)] }
  const [small, large, both] = matchLesions(measuredLine('a', line), [0.1, 0.5])

  test('are both detected by overlap, but only the one with more overlap is in a pair', () => {
    expect([small!.matched, large!.matched, both!.matched]).toEqual([true, true, true])
    expect([small!.matchedAtIou, large!.matchedAtIou, both!.matchedAtIou]).toEqual([
      [false, false],
      [true, true],
      [true, true],
    ])
  })

  test('have a Dice with all of it each, and it has one Dice with both together', () => {
    expect(small!.dice).toBeCloseTo(8 / 16, 12)
    expect(large!.dice).toBeCloseTo(12 / 18, 12)
    expect(both!.dice).toBeCloseTo(20 / 22, 12)
  })
})

test('a case without lesions has none to match', () => {
  expect(matchLesions(measuredLine('a', { truth: [], predicted: [] }), IOUS)).toEqual([])
})
