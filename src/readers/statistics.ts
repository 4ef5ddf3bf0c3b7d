/** An interval of 95 % confidence. */
export type Interval = readonly [low: number, high: number]

/** 97.5 % quantile of the standard normal distribution. */
const Z = 1.959963984540054
const ALPHA = 0.05

/**
 * Return the exact interval of a rate (Clopper and Pearson 1934), as `scipy.stats.binomtest(k, n).proportion_ci('exact')`;
 * null for no trial.
 */
export function exactInterval(successes: number, of: number): Interval | null {
  if (of === 0) return null
  return [
    successes === 0 ? 0 : betaQuantile(ALPHA / 2, successes, of - successes + 1),
    successes === of ? 1 : betaQuantile(1 - ALPHA / 2, successes + 1, of - successes),
  ]
}

/**
 * Return the p value of the exact two-sided binomial test, as `scipy.stats.binomtest`: the probability of all counts that are at
 * most as probable as the observed one. Null for no trial.
 * @param rate probability of a success under the null hypothesis, between 0 and 1
 */
export function binomialTest(successes: number, of: number, rate: number): number | null {
  if (of === 0) return null
  const logOf = (k: number): number =>
    logGamma(of + 1) -
    logGamma(k + 1) -
    logGamma(of - k + 1) +
    k * Math.log(rate) +
    (of - k) * Math.log1p(-rate)
  // the tolerance of SciPy: equal probabilities differ by rounding
  const limit = logOf(successes) + Math.log1p(1e-7)
  let sum = 0
  for (let k = 0; k <= of; k++) {
    const log = logOf(k)
    if (log <= limit) sum += Math.exp(log)
  }
  return Math.min(1, sum)
}

export interface AucFigure {
  readonly auc: number
  /** Standard error by DeLong; null below two cases of a side. */
  readonly standardError: number | null
  /** `auc` plus and minus 1.96 standard errors, within 0 and 1. */
  readonly ci: Interval | null
}

/**
 * Return the area under the ROC curve with its standard error (DeLong, DeLong and Clarke-Pearson 1988); null without a case of
 * both sides. Ties count half, as in `sklearn.metrics.roc_auc_score`.
 */
export function delongAuc(positives: readonly number[], negatives: readonly number[]): AucFigure | null {
  const [m, n] = [positives.length, negatives.length]
  if (m === 0 || n === 0) return null
  const ofPositive = new Float64Array(m)
  const ofNegative = new Float64Array(n)
  for (const [i, x] of positives.entries())
    for (const [j, y] of negatives.entries()) {
      const won = x > y ? 1 : x === y ? 0.5 : 0
      ofPositive[i]! += won / n
      ofNegative[j]! += won / m
    }
  const auc = ofPositive.reduce((sum, one) => sum + one, 0) / m
  if (m < 2 || n < 2) return { auc, standardError: null, ci: null }
  const standardError = Math.sqrt(variance(ofPositive, auc) / m + variance(ofNegative, auc) / n)
  const ci: Interval = [Math.max(0, auc - Z * standardError), Math.min(1, auc + Z * standardError)]
  return { auc, standardError, ci }
}

export interface Correlation {
  /** Pearson's r; of a binary variable, the point-biserial correlation. */
  readonly r: number
  /** Two-sided p value of Student's t. */
  readonly p: number
}

/** Return the correlation of two variables, as `scipy.stats.pearsonr`; null below three pairs or for a constant variable. */
export function correlation(x: readonly number[], y: readonly number[]): Correlation | null {
  const n = x.length
  if (n < 3) return null
  const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / n
  const [mx, my] = [mean(x), mean(y)]
  let [xx, yy, xy] = [0, 0, 0]
  for (let at = 0; at < n; at++) {
    const [dx, dy] = [x[at]! - mx, y[at]! - my]
    xx += dx * dx
    yy += dy * dy
    xy += dx * dy
  }
  if (xx === 0 || yy === 0) return null
  const r = Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)))
  // the tail of Student's t with n - 2 degrees of freedom
  return { r, p: incompleteBeta(1 - r * r, (n - 2) / 2, 0.5) }
}

/** Return the regularized incomplete beta function, as `scipy.special.betainc(a, b, x)`. */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0
  if (x >= 1) return 1
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b))
  // the continued fraction converges fast on one side of the mean
  return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(1 - x, b, a)) / b
}

/** Return the quantile of the beta distribution, by bisection to the last bits. */
function betaQuantile(probability: number, a: number, b: number): number {
  let [low, high] = [0, 1]
  for (let step = 0; step < 200 && high - low > Number.EPSILON * high; step++) {
    const middle = (low + high) / 2
    if (incompleteBeta(middle, a, b) < probability) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** Evaluate the continued fraction of the incomplete beta function by Lentz's method (Numerical Recipes, 6.4). */
function fraction(x: number, a: number, b: number): number {
  const tiny = 1e-300
  const kept = (value: number): number => (Math.abs(value) < tiny ? tiny : value)
  let c = 1
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1))
  let result = d
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / kept(1 + even * d)
    c = kept(1 + even / c)
    result *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / kept(1 + odd * d)
    c = kept(1 + odd / c)
    const step = d * c
    result *= step
    if (Math.abs(step - 1) < 1e-16) break
  }
  return result
}

/** Coefficients of Lanczos' approximation with g = 7 and 9 terms. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
]

/** Return the logarithm of the gamma function of a positive number. */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x)
  const base = x - 1
  let sum = LANCZOS[0]!
  for (let at = 1; at < LANCZOS.length; at++) sum += LANCZOS[at]! / (base + at)
  const t = base + 7.5
  return 0.5 * Math.log(2 * Math.PI) + (base + 0.5) * Math.log(t) - t + Math.log(sum)
}

function variance(values: Float64Array, mean: number): number {
  return values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (values.length - 1)
}
