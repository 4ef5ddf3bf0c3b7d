/** 97.5 % quantile of the standard normal distribution. */
const Z = 1.959963984540054

/**
 * Return the 95 % Wilson score interval of a rate. It keeps its meaning for rates near 0 and 1 and for few cases.
 * @param of at least `successes`; 0 gives the whole range
 */
export function wilsonInterval(successes: number, of: number): readonly [low: number, high: number] {
  if (of === 0) return [0, 1]
  const rate = successes / of
  const denominator = 1 + Z ** 2 / of
  const centre = (rate + Z ** 2 / (2 * of)) / denominator
  const half = (Z / denominator) * Math.sqrt((rate * (1 - rate)) / of + Z ** 2 / (4 * of ** 2))
  // the ends are exactly 0 and 1 there; rounding would miss them
  return [successes === 0 ? 0 : centre - half, successes === of ? 1 : centre + half]
}
