import type { OrganName } from '../volume/labels.js'
import type { CalibratedThreshold, SizesByVolume } from './calibration.js'

/**
 * Optional rules in addition to the published one. Each is a range of one measure of a tumor; a missing end
 * means no limit.
 * - `contrastHu`: mean HU of the tumor minus mean HU of the organ 2 to 6 voxels around it
 * - `volumeMl`: volume in ml
 * - `insideOrgan`: fraction of the planned shape that lies in the organ, 0 to 1
 * - `distanceToRealMm`: distance to the nearest real tumor of the case; the rule holds without one
 * - `edgeSharpnessHuPerMm`: mean length of the HU gradient on the rim of the tumor
 * - `edgeSharpnessToReal`: edge sharpness relative to the real tumors of the case (online: of the crop); the
 * rule holds without one
 * - `componentShare`: fraction of the voxels in the largest component, 0 to 1
 * - `alreadySeenShare`: fraction that the baseline labels tumor there before painting, 0 to 1
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

/** The rules that accept synthetic tumors, online and offline. */
export interface QualityPolicy {
  /** `calibrated` compares with held-out real tumors and subtracts as `subtractAlreadySeen` does. Default: published. */
  readonly policy?: 'published' | 'calibrated' | undefined
  /** Thresholds of the calibrated policy, which replace `shareSeenThreshold`; see `openPolicy`. */
  readonly calibrated?: CalibratedPolicy | null | undefined
  /** Probability that an accepted tumor is used. Default: 1. */
  readonly keepProbability?: number | undefined
  /** A tumor is accepted if its detected fraction exceeds this threshold. */
  readonly shareSeenThreshold: number
  /** Subtract the fraction that is labelled tumor there before painting. */
  readonly subtractAlreadySeen: boolean
  /** One fraction per tumor, or one for all tumors that a case receives together (as published). */
  readonly shareOver: 'tumor' | 'case'
  readonly rules: Rules
  /** Other settings for an organ, a size, or both. The last matching one wins, rule by rule. */
  readonly overrides: readonly Override[]
}

export interface CalibratedPolicy extends Pick<SizesByVolume, 'sizeOf'> {
  readonly thresholds: readonly CalibratedThreshold[]
}

export interface Override {
  readonly organ?: OrganName | undefined
  readonly size?: string | undefined
  readonly shareSeenThreshold?: number | undefined
  readonly rules?: Rules | undefined
}

export interface JudgedKind {
  readonly organ: OrganName
  readonly size: string
}

/** Return the settings for tumors of an organ and a size. */
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

/** Rules that compare with real tumors; they hold without real tumors. */
export const RULES_AGAINST_REAL: readonly RuleName[] = ['distanceToRealMm', 'edgeSharpnessToReal']

/** All measures of a tumor that the runtime takes without another pass of the baseline. */
export const MEASURES: readonly RuleName[] = RULE_NAMES.filter((name) => name !== 'alreadySeenShare')

/** Return the measures that the policy needs, by the names in synthesis/measures.py of the runtime. */
export function wantedMeasures(policy: QualityPolicy): RuleName[] {
  const ruled = [policy.rules, ...policy.overrides.map(({ rules }) => rules ?? {})]
  return MEASURES.filter((name) => ruled.some((rules) => rules[name]))
}

/** Return true if the baseline must also segment the scan before painting. */
export function wantsAlreadySeen(policy: QualityPolicy): boolean {
  const ruled = [policy.rules, ...policy.overrides.map(({ rules }) => rules ?? {})]
  return subtractsAlreadySeen(policy) || ruled.some(({ alreadySeenShare }) => alreadySeenShare !== undefined)
}

/** Return true if the policy subtracts what the baseline labels tumor before painting. */
export function subtractsAlreadySeen({ policy, subtractAlreadySeen }: QualityPolicy): boolean {
  return subtractAlreadySeen || policy === 'calibrated'
}

/**
 * Return the calibrated threshold for a tumor of a measured volume; null if it accepts all. An organ without a real tumor
 * has none.
 */
export function calibratedThreshold(
  { thresholds, sizeOf }: CalibratedPolicy,
  { organ }: JudgedKind,
  syntheticVoxels: number,
): number | null {
  const size = sizeOf(syntheticVoxels)
  return thresholds.find((one) => one.organ === organ && one.size === size)?.threshold ?? null
}
