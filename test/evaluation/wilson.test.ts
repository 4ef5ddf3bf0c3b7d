import { expect, it } from 'vitest'
import { wilsonInterval } from '../../src/evaluation/wilson.js'

// scipy.stats.binomtest(successes, of).proportion_ci(0.95, method='wilson') of SciPy
it.each([
  [0, 12, 0, 0.24249400665524085],
  [3, 12, 0.08894166839405471, 0.5323053349335657],
  [12, 12, 0.7575059933447592, 1],
  [158, 172, 0.868022220126896, 0.9508972825077874],
  [1, 1, 0.20654931437723745, 1],
  [50, 100, 0.4038315303659956, 0.5961684696340044],
])('gives the Wilson interval of SciPy for %i of %i', (successes, of, low, high) => {
  const [found, end] = wilsonInterval(successes, of)
  expect(found).toBeCloseTo(low, 12)
  expect(end).toBeCloseTo(high, 12)
})

it('is the whole range without a case', () => {
  expect(wilsonInterval(0, 0)).toEqual([0, 1])
})
