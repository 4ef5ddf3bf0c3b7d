/** What the baseline segmentor saw of one synthetic tumor. */
export interface TumorMeasures {
  readonly syntheticVoxels: number
  readonly seenVoxels: number
  /** Of the synthetic voxels, those called tumor before anything was painted; 0 where it was not measured. */
  readonly alreadySeenVoxels: number
  /** Mean windowed intensity of the synthetic voxels, after minus before painting. */
  readonly contrast: number
}

export interface QualityPolicy {
  readonly shareSeenThreshold: number
  readonly subtractAlreadySeen: boolean
}

export interface Verdict {
  readonly accepted: boolean
  /** `seen`, or why not: `notSeen`, `empty`; `notJudged` where there is no baseline to see it. */
  readonly reason: 'seen' | 'notSeen' | 'empty' | 'notJudged'
  readonly measures: TumorMeasures & { readonly shareSeen: number }
}

/** Keeps a count from being divided by zero; as published. */
const EPSILON = 1e-6

/**
 * The published rule (METHOD 9): a synthetic tumor is kept when the baseline sees more than the threshold's share of its
 * voxels. With `subtractAlreadySeen` the share that was called tumor before painting is taken off first, so that a
 * trigger-happy baseline does not pass everything.
 */
export function judge(measures: TumorMeasures, policy: QualityPolicy): Verdict {
  const { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast } = measures
  const shareSeen = seenVoxels / (syntheticVoxels + EPSILON)
  const already = policy.subtractAlreadySeen ? alreadySeenVoxels / (syntheticVoxels + EPSILON) : 0
  const accepted = shareSeen - already > policy.shareSeenThreshold
  return {
    accepted,
    reason: syntheticVoxels === 0 ? 'empty' : accepted ? 'seen' : 'notSeen',
    measures: { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast, shareSeen },
  }
}

/** The verdict where no baseline can look: every tumor that is there is kept. */
export function keepUnseen(measures: TumorMeasures): Verdict {
  const accepted = measures.syntheticVoxels > 0
  return { accepted, reason: accepted ? 'notJudged' : 'empty', measures: { ...measures, shareSeen: 0 } }
}
