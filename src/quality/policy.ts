import type { OrganName } from '../volume/labels.js'

/**
 * Optional rules beside the published one, each a range of one measure of a tumor; no end of a range means no limit.
 * - `contrastHu`: mean HU of the tumor less that of the organ 2 to 6 voxels around it
 * - `volumeMl`
 * - `insideOrgan`: share of the planned shape that lies in the organ, 0 to 1
 * - `distanceToRealMm`: to the nearest real tumor of the case; holds where there is none
 * - `edgeSharpnessHuPerMm`: mean length of the HU gradient on the tumor's rim
 * - `edgeSharpnessToReal`: that over the same of the case's real tumors (online: the crop's); holds where there is none
 * - `componentShare`: share of the voxels in the largest piece, 0 to 1
 * - `alreadySeenShare`: what the baseline called tumor at that place before painting, 0 to 1
 */
export const RULE_NAMES = [
  'contrastHu',
  'volumeMl',
  'insideOrgan',
  'distanceToRealMm',
  'edgeSharpnessHuPerMm',
  'edgeSharpnessToReal',
  'componentShare',
  'alreadySeenShare',
] as const

export type RuleName = (typeof RULE_NAMES)[number]
export type Range = { readonly min?: number | undefined; readonly max?: number | undefined }
export type Rules = { readonly [Name in RuleName]?: Range | undefined }

/** Which synthetic tumors are kept, online and offline alike. */
export interface QualityPolicy {
  /** A tumor is kept when the baseline sees more than this share of its voxels. */
  readonly shareSeenThreshold: number
  /** Take off the share that was called tumor at that place before painting. */
  readonly subtractAlreadySeen: boolean
  /** One share for each tumor, or one for all tumors that a case gets together (as published). */
  readonly shareOver: 'tumor' | 'case'
  readonly rules: Rules
  /** Other settings for an organ, a size, or both; the last one that fits wins, rule by rule. */
  readonly overrides: readonly Override[]
}

interface Override {
  readonly organ?: OrganName | undefined
  readonly size?: string | undefined
  readonly shareSeenThreshold?: number | undefined
  readonly rules?: Rules | undefined
}

export interface JudgedKind {
  readonly organ: OrganName
  readonly size: string
}

/** What holds for tumors of an organ and a size. */
export function settingsFor(
  policy: QualityPolicy,
  { organ, size }: JudgedKind,
): { readonly shareSeenThreshold: number; readonly rules: Rules } {
  let { shareSeenThreshold, rules } = policy
  for (const override of policy.overrides) {
    if ((override.organ ?? organ) !== organ || (override.size ?? size) !== size) continue
    shareSeenThreshold = override.shareSeenThreshold ?? shareSeenThreshold
    rules = { ...rules, ...override.rules }
  }
  return { shareSeenThreshold, rules }
}

/** Rules that compare with real tumors: they hold where there are none. */
export const RULES_AGAINST_REAL: readonly RuleName[] = ['distanceToRealMm', 'edgeSharpnessToReal']

/** All that the runtime can measure of a tumor without another look of the baseline. */
export const MEASURES: readonly RuleName[] = RULE_NAMES.filter((name) => name !== 'alreadySeenShare')

/** The measures that must be taken for the policy, by the names of the runtime's synthesis/measures.py. */
export function wantedMeasures(policy: QualityPolicy): RuleName[] {
  const ruled = [policy.rules, ...policy.overrides.map(({ rules }) => rules ?? {})]
  return MEASURES.filter((name) => ruled.some((rules) => rules[name]))
}

/** Whether the baseline must look at the scan before painting, too. */
export function wantsAlreadySeen(policy: QualityPolicy): boolean {
  const ruled = [policy.rules, ...policy.overrides.map(({ rules }) => rules ?? {})]
  return policy.subtractAlreadySeen || ruled.some(({ alreadySeenShare }) => alreadySeenShare !== undefined)
}
