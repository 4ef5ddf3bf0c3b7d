import {
  calibratedThreshold,
  type JudgedKind,
  type QualityPolicy,
  RULE_NAMES,
  RULES_AGAINST_REAL,
  type RuleName,
  settingsFor,
  subtractsAlreadySeen,
} from './policy.js'

/** Measures of one synthetic tumor. */
export interface TumorMeasures {
  readonly syntheticVoxels: number
  /** Synthetic voxels that the baseline labels tumor. */
  readonly seenVoxels: number
  /** Synthetic voxels that the baseline labels tumor before painting; 0 if not measured. */
  readonly alreadySeenVoxels: number
  /** Mean windowed intensity of the synthetic voxels, after minus before painting. */
  readonly contrast: number
  /** Further measures that the policy needs; a measure that could not be taken is missing. */
  readonly more?: Readonly<Partial<Record<string, number>>> | undefined
}

export interface Verdict {
  readonly accepted: boolean
  /**
   * `seen`, or the reason of a rejection: `notSeen`, `empty`, `notKept` (`keepProbability`), or the name of a
   * rule; `notJudged` without a baseline.
   */
  readonly reason: 'seen' | 'notSeen' | 'empty' | 'notKept' | 'notJudged' | RuleName
  readonly measures: Omit<TumorMeasures, 'more'> & { readonly shareSeen: number } & Readonly<
      Partial<Record<RuleName, number>>
    >
}

/** Keeps a count from being divided by zero; as published. */
const EPSILON = 1e-6

/**
 * Judge a tumor by the published rule (docs/method.md#9-quality-control): it is accepted if the detected
 * fraction exceeds the threshold. The rules of the policy follow. With `subtractAlreadySeen`, the fraction
 * that is labelled tumor before painting is subtracted, so that an oversensitive baseline does not accept
 * everything.
 * @param hasBaseline without one, only the rules apply
 */
export function judge(
  kind: JudgedKind,
  measures: TumorMeasures,
  policy: QualityPolicy,
  hasBaseline: boolean,
): Verdict {
  return verdictOn(kind, measures, policy, hasBaseline ? countedShare(measures, policy) : null)
}

/**
 * Judge tumors as `judge` does, with one fraction for all of them (`shareOver: case`). A rule still rejects a
 * single tumor.
 */
export function judgeTogether(
  tumors: readonly { readonly kind: JudgedKind; readonly measures: TumorMeasures }[],
  policy: QualityPolicy,
  hasBaseline: boolean,
): Verdict[] {
  const sum = (part: (measures: TumorMeasures) => number): number =>
    tumors.reduce((total, { measures }) => total + part(measures), 0)
  const all = {
    syntheticVoxels: sum(({ syntheticVoxels }) => syntheticVoxels),
    seenVoxels: sum(({ seenVoxels }) => seenVoxels),
    alreadySeenVoxels: sum(({ alreadySeenVoxels }) => alreadySeenVoxels),
    contrast: 0,
  }
  const share = hasBaseline ? countedShare(all, policy) : null
  return tumors.map(({ kind, measures }) => verdictOn(kind, measures, policy, share))
}

/** Return the fraction that is compared with the threshold. */
function countedShare(measures: TumorMeasures, policy: QualityPolicy): number {
  const { syntheticVoxels, seenVoxels, alreadySeenVoxels } = measures
  const already = subtractsAlreadySeen(policy) ? alreadySeenVoxels : 0
  return (seenVoxels - already) / (syntheticVoxels + EPSILON)
}

/**
 * Return the verdict after `keepProbability`: an accepted tumor is dropped if its random number is not below it.
 * @param uniform draws the number, uniform on [0, 1); not called where it decides nothing
 */
export function keptByChance(
  verdict: Verdict,
  { keepProbability = 1 }: QualityPolicy,
  uniform: () => number,
): Verdict {
  if (!verdict.accepted || keepProbability >= 1 || uniform() < keepProbability) return verdict
  return { ...verdict, accepted: false, reason: 'notKept' }
}

function verdictOn(
  kind: JudgedKind,
  measures: TumorMeasures,
  policy: QualityPolicy,
  share: number | null,
): Verdict {
  const { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast, more = {} } = measures
  const { shareSeenThreshold, rules } = settingsFor(policy, kind)
  const taken: Readonly<Partial<Record<string, number>>> = {
    ...more,
    ...(rules.alreadySeenShare ? { alreadySeenShare: alreadySeenVoxels / (syntheticVoxels + EPSILON) } : {}),
  }
  // a fixed order: equal tumors give equal lines
  const values: Readonly<Partial<Record<string, number>>> = Object.fromEntries(
    RULE_NAMES.flatMap((name) => (taken[name] === undefined ? [] : [[name, taken[name]]])),
  )
  const broken = RULE_NAMES.find((name) => !holds(name, rules[name], values[name]))
  const reason =
    syntheticVoxels === 0
      ? 'empty'
      : share !== null && !isSeen(policy, kind, syntheticVoxels, share, shareSeenThreshold)
        ? 'notSeen'
        : (broken ?? (share === null ? 'notJudged' : 'seen'))
  const shareSeen = seenVoxels / (syntheticVoxels + EPSILON)
  return {
    accepted: reason === 'seen' || reason === 'notJudged',
    reason,
    measures: { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast, shareSeen, ...values },
  }
}

/** Return true if a detected fraction exceeds the published threshold, or reaches the calibrated one. */
function isSeen(
  { calibrated }: QualityPolicy,
  kind: JudgedKind,
  syntheticVoxels: number,
  share: number,
  shareSeenThreshold: number,
): boolean {
  if (!calibrated) return share > shareSeenThreshold
  const threshold = calibratedThreshold(calibrated, kind, syntheticVoxels)
  return threshold === null || share >= threshold
}

/**
 * Return true if a rule holds. A missing measure breaks its rule, except for rules that compare with real
 * tumors.
 */
function holds(
  name: RuleName,
  range: { readonly min?: number | undefined; readonly max?: number | undefined } | undefined,
  value: number | undefined,
): boolean {
  if (range === undefined) return true
  if (value === undefined) return RULES_AGAINST_REAL.includes(name)
  return value >= (range.min ?? Number.NEGATIVE_INFINITY) && value <= (range.max ?? Number.POSITIVE_INFINITY)
}
