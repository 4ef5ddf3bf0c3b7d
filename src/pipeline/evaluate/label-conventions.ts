import type { IgnoredIds } from '../../curation/datasets/ignored-ids.js'
import type { CaseMeasures } from '../../evaluation/measures.js'
import type { Profile } from '../../evaluation/profiles.js'
import { counted } from '../../plain-text.js'
import type { CaseError } from '../ports/common.js'

/** Meaning of the ids of masks and labels, as the options state it. */
interface Declared {
  readonly labelIds?: readonly number[] | undefined
  readonly predictionMap?: unknown
  readonly labelMap?: unknown
}

type Side = 'predicted' | 'true'

const WORDS: Readonly<Record<Side, string>> = { predicted: 'masks', true: 'labels' }
const OTHER: Readonly<Record<Side, Side>> = { predicted: 'true', true: 'predicted' }
const FLAGS: Readonly<Record<Side, string>> = { predicted: '--map-predictions', true: '--map-labels' }

/**
 * Set aside the cases with an id outside the scheme that never occurs on the other side, unless the options declare the
 * meaning of the ids. Such masks and labels follow two conventions, and their figures would be silently wrong.
 */
export function splitByConvention(
  cases: readonly CaseMeasures[],
  declared: Declared,
): { fitting: CaseMeasures[]; refused: { caseId: string; error: CaseError }[] } {
  const ids = { predicted: idsOf(cases, 'predicted'), true: idsOf(cases, 'true') }
  const mapped = { predicted: declared.predictionMap, true: declared.labelMap }
  const sides = (['predicted', 'true'] as const).filter(
    (side) => declared.labelIds === undefined && mapped[side] === undefined,
  )
  const fitting: CaseMeasures[] = []
  const refused: { caseId: string; error: CaseError }[] = []
  for (const one of cases) {
    const strange = sides.flatMap((side) => {
      const only = one.unmeasuredIds[side].filter((id) => !ids[OTHER[side]].has(id))
      return only.length > 0 ? [{ side, only }] : []
    })
    if (strange.length === 0) {
      fitting.push(one)
      continue
    }
    const { side, only } = strange[0]!
    const message = `case ${one.caseId}: ids ${list(only)} of its ${side === 'predicted' ? 'mask' : 'label'} are not ids of the region, and no ${WORDS[OTHER[side]]} have them`
    const hint = `map them with ${FLAGS[side]}, or list the ids to compare with --label-ids`
    refused.push({ caseId: one.caseId, error: { kind: 'data', message, hint } })
  }
  return { fitting, refused }
}

/**
 * Return warnings about ids of masks and labels that do not fit together.
 * @param oneFolder masks of healthy scans are compared with themselves: their tumors are in no label, or there are none
 */
export function conventionWarnings(
  cases: readonly CaseMeasures[],
  profile: Profile,
  { oneFolder }: { readonly oneFolder: boolean },
): string[] {
  const unmeasured = cases.filter(
    ({ unmeasuredIds }) => unmeasuredIds.predicted.length + unmeasuredIds.true.length > 0,
  )
  const ids = new Set([...idsOf(cases, 'predicted'), ...idsOf(cases, 'true')])
  const resampled = cases.filter(({ grid }) => grid === 'resampled').length
  const removed = cases.filter(({ removedVoxels }) => removedVoxels > 0).length
  return [
    ...(unmeasured.length > 0
      ? [
          `ids ${list([...ids])} occur in ${counted(unmeasured.length, 'case')} (first ${unmeasured[0]!.caseId}) and are not measured`,
        ]
      : []),
    ...(oneFolder ? [] : [...oneSidedIds(cases), ...absentClasses(cases)]),
    ...(resampled > 0
      ? [
          `${counted(resampled, 'case', ['was', 'were'])} resampled to ${profile.spacingMm!.join(' x ')} mm: the published figures of ${profile.name} are taken on the prepared grid (predict --grid prepared)`,
        ]
      : []),
    ...(removed > 0
      ? [`predicted tumor outside the organ mask was removed in ${counted(removed, 'case')}`]
      : []),
  ]
}

/** Without any class, all figures are missing: most often, the ids have another meaning. */
function absentClasses(cases: readonly CaseMeasures[]): string[] {
  const occurs = cases.some(({ labels }) =>
    labels.some((one) => one.truePositive + one.falsePositive + one.falseNegative > 0),
  )
  if (cases.length === 0 || occurs) return []
  const ids = cases[0]!.labels.map(({ label }) => label)
  return [
    `none of the ids ${list(ids)} occurs in any label or mask, so there is no figure: check the ids and maps`,
  ]
}

/** Return a warning about labels without a mask, which `partial` accepts. */
export function unpredictedWarnings(ids: readonly string[], numPairs: number): string[] {
  if (ids.length === 0) return []
  return [
    `partial: ${ids.length} of ${counted(numPairs + ids.length, 'label')} without a mask, so in no figure, first ${ids[0]}`,
  ]
}

/** Return a warning about voxels that count in no figure. */
export function ignoredWarnings(cases: readonly CaseMeasures[], { ids, source }: IgnoredIds): string[] {
  const some = cases.filter(({ ignoredVoxels }) => ignoredVoxels > 0)
  if (some.length === 0) return []
  return [
    `${counted(some.length, 'case', ['has', 'have'])} ignored voxels, which count in no figure (label id ${list(ids)} by ${source})`,
  ]
}

/** A measured id that only the masks, or only the labels, ever have may be a missed class or another convention. */
function oneSidedIds(cases: readonly CaseMeasures[]): string[] {
  const ids = new Set(cases.flatMap(({ labels }) => labels.map(({ label }) => label)))
  return [...ids].flatMap((id) => {
    const of = cases.flatMap(({ labels }) => labels.filter(({ label }) => label === id))
    const inTruth = of.filter((one) => one.truePositive + one.falseNegative > 0).length
    const inMask = of.filter((one) => one.truePositive + one.falsePositive > 0).length
    if (inTruth > 0 && inMask === 0)
      return [
        `id ${id} is in ${counted(inTruth, 'label')} and in no mask: if masks use another id for it, pass --map-predictions`,
      ]
    if (inMask > 0 && inTruth === 0)
      return [
        `id ${id} is in ${counted(inMask, 'mask')} and in no label: if labels use another id for it, pass --map-labels`,
      ]
    return []
  })
}

function idsOf(cases: readonly CaseMeasures[], side: Side): Set<number> {
  return new Set(cases.flatMap(({ unmeasuredIds }) => unmeasuredIds[side]))
}

function list(ids: readonly number[]): string {
  const sorted = [...ids].sort((a, b) => a - b)
  return sorted.length > 12
    ? `${sorted.slice(0, 12).join(', ')} and ${sorted.length - 12} more`
    : sorted.join(', ')
}
