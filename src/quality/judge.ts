import {
  type JudgedKind,
  type QualityPolicy,
  RULE_NAMES,
  RULES_AGAINST_REAL,
  type RuleName,
  settingsFor,
} from './policy.js'

/** What was measured of one synthetic tumor. */
export interface TumorMeasures {
  readonly syntheticVoxels: number
  /** Of those, the ones that the baseline calls tumor. */
  readonly seenVoxels: number
  /** Of the synthetic voxels, those called tumor before anything was painted; 0 where it was not measured. */
  readonly alreadySeenVoxels: number
  /** Mean windowed intensity of the synthetic voxels, after minus before painting. */
  readonly contrast: number
  /** What else the policy asked for; a measure that could not be taken is missing. */
  readonly more?: Readonly<Partial<Record<string, number>>> | undefined
}

export interface Verdict {
  readonly accepted: boolean
  /** `seen`, or why not: `notSeen`, `empty`, the name of a rule; `notJudged` where there is no baseline to see it. */
  readonly reason: 'seen' | 'notSeen' | 'empty' | 'notJudged' | RuleName
  readonly measures: Omit<TumorMeasures, 'more'> & { readonly shareSeen: number } & Readonly<
      Partial<Record<RuleName, number>>
    >
}

/** Keeps a count from being divided by zero; as published. */
const EPSILON = 1e-6

/**
 * The published rule (METHOD 9): a synthetic tumor is kept when the baseline sees more than the threshold's share of its
 * voxels; then the policy's own rules. With `subtractAlreadySeen` the share that was called tumor before painting is taken
 * off first, so that a trigger-happy baseline does not pass everything.
 * @param hasBaseline without one only the rules are asked
 */
export function judge(
  kind: JudgedKind,
  measures: TumorMeasures,
  policy: QualityPolicy,
  hasBaseline: boolean,
): Verdict {
  return verdictOn(kind, measures, policy, hasBaseline ? countedShare(measures, policy) : null)
}

/** As `judge`, with one share for all the tumors (`shareOver: case`); a rule still rejects a tumor by itself. */
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

/** The share that is held against the threshold. */
function countedShare(measures: TumorMeasures, { subtractAlreadySeen }: QualityPolicy): number {
  const { syntheticVoxels, seenVoxels, alreadySeenVoxels } = measures
  return (seenVoxels - (subtractAlreadySeen ? alreadySeenVoxels : 0)) / (syntheticVoxels + EPSILON)
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
  // in one order, however they came: the same tumor is the same line
  const values: Readonly<Partial<Record<string, number>>> = Object.fromEntries(
    RULE_NAMES.flatMap((name) => (taken[name] === undefined ? [] : [[name, taken[name]]])),
  )
  const broken = RULE_NAMES.find((name) => !holds(name, rules[name], values[name]))
  const reason =
    syntheticVoxels === 0
      ? 'empty'
      : share !== null && !(share > shareSeenThreshold)
        ? 'notSeen'
        : (broken ?? (share === null ? 'notJudged' : 'seen'))
  const shareSeen = seenVoxels / (syntheticVoxels + EPSILON)
  return {
    accepted: reason === 'seen' || reason === 'notJudged',
    reason,
    measures: { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast, shareSeen, ...values },
  }
}

/** A measure that could not be taken fails its rule, but for those that compare with real tumors where there are none. */
function holds(
  name: RuleName,
  range: { readonly min?: number | undefined; readonly max?: number | undefined } | undefined,
  value: number | undefined,
): boolean {
  if (range === undefined) return true
  if (value === undefined) return RULES_AGAINST_REAL.includes(name)
  return value >= (range.min ?? Number.NEGATIVE_INFINITY) && value <= (range.max ?? Number.POSITIVE_INFINITY)
}
