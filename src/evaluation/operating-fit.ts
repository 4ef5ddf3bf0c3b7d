import { createHash } from 'node:crypto'
import { fitLogistic } from './logistic.js'
import type { CaseMeasures } from './measures.js'
import { hasTumor } from './measures.js'
import {
  type LesionFeatures,
  type LesionOperatingPoint,
  type LesionRule,
  type RuleFigures,
  ruleValue,
  type WantedPoint,
} from './operating-point.js'
import { wilsonInterval } from './wilson.js'

/** A case of a fit. Healthy cases have no true lesion; their predicted lesions are false positives. */
export interface FittedCase {
  readonly caseId: string
  readonly healthy: boolean
  readonly numTrue: number
  readonly predicted: readonly {
    readonly features: LesionFeatures
    /** Places of the true lesions that it touches. */
    readonly touches: readonly number[]
  }[]
}

/** Unfitted rule: a family of rules with one threshold. */
interface Candidate {
  readonly name: string
  fit(cases: readonly FittedCase[]): Scorer | null
}

type Scorer = Pick<LesionRule, 'terms' | 'intercept'>

/** Highest value of each healthy scan, and of the predicted lesions that touch each true lesion; -Infinity without one. */
interface Scored {
  readonly healthy: readonly number[]
  readonly lesions: readonly number[]
  /** Values of all false positives in healthy scans. */
  readonly falsePositives: readonly number[]
}

const LOSSES = [0.02, 0.05, 0.1] as const
const FOLDS = 5
const NOTE =
  'Figures in sample are optimistic: the rule was chosen on these cases. Measure it on other cases with `freetumor evaluate --operating-point`.'

/** Return a measured case for a fit. */
export function fittedCase(one: CaseMeasures): FittedCase {
  const touches = new Map<number, number[]>()
  for (const [trueAt, predictedAt] of one.lesionOverlaps)
    touches.set(predictedAt, [...(touches.get(predictedAt) ?? []), trueAt])
  return {
    caseId: one.caseId,
    healthy: !hasTumor(one),
    numTrue: one.lesions.filter(({ kind }) => kind === 'true').length,
    predicted: one.lesions
      .filter(({ kind }) => kind === 'predicted')
      .map(({ label, volumeMl, score, features }, at) => {
        if (features === undefined) throw new RangeError(`case ${one.caseId}: no lesion features`)
        return {
          features: { label, volumeMl, probability: score, ...features },
          touches: touches.get(at) ?? [],
        }
      }),
  }
}

/**
 * Fit an operating point (docs/method.md#operating-points). Rules with one feature and a logistic rule are compared by
 * cross-validation over cases; the simplest that is not worse is used. The result depends only on the cases.
 * @param cases at least one healthy scan and one true lesion
 */
export function fitOperatingPoint(
  cases: readonly FittedCase[],
  wanted: WantedPoint,
): Omit<LesionOperatingPoint, 'prediction'> {
  const sorted = [...cases].sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
  const folds = foldsOf(sorted)
  const compared = candidatesFor(sorted).flatMap((candidate) => {
    const scorer = candidate.fit(sorted)
    return scorer === null ? [] : [{ candidate, scorer, held: heldOut(candidate, sorted, folds, wanted) }]
  })
  const { chosen, rows } = choose(compared)
  const { scorer, candidate } = compared[chosen]!
  const scored = scoredBy(scorer, sorted)
  const figuresAt = (point: WantedPoint) => {
    const threshold = thresholdOf(scored, point)
    return {
      threshold,
      inSample: figuresOf(scored, threshold),
      crossValidated: pooled(heldOut(candidate, sorted, folds, point)),
    }
  }
  const { threshold, ...after } = figuresAt(wanted)
  return {
    format: 'freetumor operating point',
    version: 1,
    note: NOTE,
    wanted,
    rule: { ...scorer, threshold },
    before: figuresOf(scored, null),
    after,
    atLoss: LOSSES.map((sensitivityLoss) => ({ sensitivityLoss, ...figuresAt({ sensitivityLoss }) })),
    candidates: rows,
    chosen: candidate.name,
    curve: thresholdsOf(scored).map((at) => ({ threshold: at, ...figuresOf(scored, at) })),
  }
}

/** Return the rules to compare, the simplest first. */
function candidatesFor(cases: readonly FittedCase[]): Candidate[] {
  const lesions = cases.flatMap(({ predicted }) => predicted.map(({ features }) => features))
  const scored = lesions.every(({ probability }) => probability !== null)
  const single = (feature: 'probability' | 'meanProbability' | 'volumeMl'): Candidate => ({
    name: feature,
    fit: () => ({ terms: [{ feature, label: null, weight: 1 }], intercept: 0 }),
  })
  const labels = [...new Set(lesions.map(({ label }) => label))].sort((a, b) => a - b)
  const terms = [
    ...(scored ? (['probabilityLogit', 'meanProbabilityLogit'] as const) : []),
    ...(['logVolumeMl', 'logElongation', 'compactness', 'organContact'] as const),
  ].map((feature) => ({ feature, label: null as number | null }))
  // the first organ is the reference of the others
  const organs = labels
    .slice(1)
    .map((label) => ({ feature: 'label' as const, label: label as number | null }))
  return [
    ...(scored ? [single('probability'), single('meanProbability')] : []),
    single('volumeMl'),
    { name: 'logistic', fit: (some) => logisticRule(some, [...terms, ...organs]) },
  ]
}

function logisticRule(
  cases: readonly FittedCase[],
  terms: readonly Pick<LesionRule['terms'][number], 'feature' | 'label'>[],
): Scorer | null {
  const lesions = cases.flatMap(({ predicted }) => predicted)
  const isTrue = lesions.map(({ touches }) => touches.length > 0)
  if (isTrue.every(Boolean) || !isTrue.some(Boolean)) return null
  const rows = lesions.map(({ features }) =>
    terms.map((term) => ruleValue({ terms: [{ ...term, weight: 1 }], intercept: 0 }, features)),
  )
  const { weights, intercept } = fitLogistic(rows, isTrue)
  return { terms: terms.map((term, at) => ({ ...term, weight: weights[at]! })), intercept }
}

function scoredBy(scorer: Scorer, cases: readonly FittedCase[]): Scored {
  const healthy: number[] = []
  const lesions: number[] = []
  const falsePositives: number[] = []
  for (const one of cases) {
    const values = one.predicted.map(({ features }) => ruleValue(scorer, features))
    if (one.healthy) {
      healthy.push(values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY))
      falsePositives.push(...values)
    }
    const best = new Array<number>(one.numTrue).fill(Number.NEGATIVE_INFINITY)
    for (const [at, { touches }] of one.predicted.entries())
      for (const touched of touches) best[touched] = Math.max(best[touched]!, values[at]!)
    lesions.push(...best)
  }
  return { healthy, lesions, falsePositives }
}

/** Return all thresholds that differ in a figure, rising: null (keep all), between the values, and above the highest. */
function thresholdsOf({ healthy, lesions }: Scored): (number | null)[] {
  const values = [...new Set([...healthy, ...lesions])].filter(Number.isFinite).sort((a, b) => a - b)
  const between = values.slice(1).map((value, at) => {
    const middle = values[at]! + (value - values[at]!) / 2
    // the middle of two neighbours may round down to the lower one
    return middle > values[at]! ? middle : value
  })
  return values.length === 0 ? [null] : [null, ...between, values.at(-1)! + 1]
}

/** Return the lowest threshold that reaches a rate, or the highest within a loss of sensitivity. */
function thresholdOf(scored: Scored, wanted: WantedPoint): number | null {
  const thresholds = thresholdsOf(scored)
  if ('rate' in wanted) {
    const needed = Math.ceil(wanted.rate * scored.healthy.length - ROUNDING)
    return thresholds.find((threshold) => freeAt(scored, threshold) >= needed) ?? null
  }
  const most = wanted.sensitivityLoss * scored.lesions.length + ROUNDING
  const detected = detectedAt(scored, null)
  return thresholds.findLast((threshold) => detected - detectedAt(scored, threshold) <= most) ?? null
}

/** 0.9 * 10 must count as 9. */
const ROUNDING = 1e-9

function isKept(value: number, threshold: number | null): boolean {
  return value > Number.NEGATIVE_INFINITY && (threshold === null || value >= threshold)
}

function freeAt({ healthy }: Scored, threshold: number | null): number {
  return healthy.filter((value) => !isKept(value, threshold)).length
}

function detectedAt({ lesions }: Scored, threshold: number | null): number {
  return lesions.filter((value) => isKept(value, threshold)).length
}

function figuresOf(scored: Scored, threshold: number | null): RuleFigures {
  const kept = scored.falsePositives.filter((value) => isKept(value, threshold)).length
  return {
    lesionFree: rateOf(freeAt(scored, threshold), scored.healthy.length),
    sensitivity: rateOf(detectedAt(scored, threshold), scored.lesions.length),
    falsePositivesPerScan: scored.healthy.length === 0 ? 0 : kept / scored.healthy.length,
  }
}

function rateOf(successes: number, of: number): RuleFigures['lesionFree'] {
  return { successes, of, rate: of === 0 ? 0 : successes / of, ci: [...wilsonInterval(successes, of)] }
}

/** Figures of one case by a rule that was fitted on others. */
interface HeldOutCase {
  readonly healthy: boolean
  readonly free: number
  readonly detected: number
  readonly numTrue: number
  readonly falsePositives: number
}

/**
 * Return the fold of each case, or null with too few cases. Healthy scans and others are distributed by themselves, in the
 * order of a hash of their names, so that the order of names has no influence.
 */
function foldsOf(cases: readonly FittedCase[]): readonly number[] | null {
  const fold = new Array<number>(cases.length).fill(0)
  for (const healthy of [true, false]) {
    const places = [...cases.keys()].filter((at) => cases[at]!.healthy === healthy)
    if (places.length < FOLDS) return null
    const hash = (at: number) => createHash('sha256').update(cases[at]!.caseId).digest('hex')
    const byHash = places.map((at) => ({ at, hash: hash(at) })).sort((a, b) => (a.hash < b.hash ? -1 : 1))
    for (const [rank, { at }] of byHash.entries()) fold[at] = rank % FOLDS
  }
  return fold
}

/** Measure each case by a rule and a threshold that were fitted on the cases of the other folds; null if that is impossible. */
function heldOut(
  candidate: Candidate,
  cases: readonly FittedCase[],
  folds: readonly number[] | null,
  wanted: WantedPoint,
): HeldOutCase[] | null {
  if (folds === null) return null
  const found = new Array<HeldOutCase>(cases.length)
  for (let fold = 0; fold < FOLDS; fold++) {
    const others = cases.filter((_, at) => folds[at] !== fold)
    const scorer = candidate.fit(others)
    if (scorer === null) return null
    const threshold = thresholdOf(scoredBy(scorer, others), wanted)
    for (const [at, one] of cases.entries()) {
      if (folds[at] !== fold) continue
      const scored = scoredBy(scorer, [one])
      found[at] = {
        healthy: one.healthy,
        free: freeAt(scored, threshold),
        detected: detectedAt(scored, threshold),
        numTrue: one.numTrue,
        falsePositives: scored.falsePositives.filter((value) => isKept(value, threshold)).length,
      }
    }
  }
  return found
}

function pooled(cases: readonly HeldOutCase[] | null): RuleFigures | null {
  if (cases === null) return null
  const sum = (of: (one: HeldOutCase) => number) => cases.reduce((total, one) => total + of(one), 0)
  const healthy = sum((one) => (one.healthy ? 1 : 0))
  return {
    lesionFree: rateOf(
      sum(({ free }) => free),
      healthy,
    ),
    sensitivity: rateOf(
      sum(({ detected }) => detected),
      sum(({ numTrue }) => numTrue),
    ),
    falsePositivesPerScan: sum(({ falsePositives }) => falsePositives) / healthy,
  }
}

interface Compared {
  readonly candidate: Candidate
  readonly held: HeldOutCase[] | null
}

/** Choose the simplest rule that is at most one standard error worse than the best, by rates of held-out cases. */
function choose(compared: readonly Compared[]): {
  readonly chosen: number
  readonly rows: LesionOperatingPoint['candidates']
} {
  const figures = compared.map(({ held }) => pooled(held))
  const sums = figures.map((one) =>
    one === null ? Number.NEGATIVE_INFINITY : one.lesionFree.rate + one.sensitivity.rate,
  )
  const best = sums.indexOf(Math.max(...sums))
  const rows = compared.map(({ candidate, held }, at) => {
    const other = compared[best]!.held
    const known = held !== null && other !== null
    return {
      name: candidate.name,
      crossValidated: figures[at] ?? null,
      worseThanBest: known ? sums[best]! - sums[at]! : null,
      standardError: known ? errorOfDifference(held, other) : null,
    }
  })
  const within = rows.findIndex(
    ({ worseThanBest, standardError }) =>
      worseThanBest === null || worseThanBest <= standardError! + ROUNDING,
  )
  return { chosen: Math.max(within, 0), rows }
}

/** Return the standard error of the difference of lesion-free rate plus sensitivity, over cases. */
function errorOfDifference(a: readonly HeldOutCase[], b: readonly HeldOutCase[]): number {
  const lesions = a.reduce((sum, { numTrue }) => sum + numTrue, 0)
  const variance = (healthy: boolean, difference: (at: number) => number, weight: number): number => {
    const values = [...a.keys()].filter((at) => a[at]!.healthy === healthy).map(difference)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    return values.length < 2 ? 0 : (squares / (values.length - 1)) * values.length * weight ** 2
  }
  const scans = a.filter(({ healthy }) => healthy).length
  return Math.sqrt(
    variance(true, (at) => a[at]!.free - b[at]!.free, 1 / scans) +
      variance(false, (at) => a[at]!.detected - b[at]!.detected, 1 / lesions),
  )
}
