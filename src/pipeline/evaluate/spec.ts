import type { CaseMeasures } from '../../evaluation/measures.js'
import type { Profile } from '../../evaluation/profiles.js'
import { usableProcessors } from '../../usable-processors.js'
import type { EvaluateSpec, OperatingPointSpec, PictureSpec } from '../ports/cases.js'
import { withoutIgnored } from './ignored-ids.js'
import type { MaskFiles } from './mask-files.js'
import { organOfTumor, writesMissedRanges } from './missed-ranges.js'
import type { EvaluateOptions, PictureOptions } from './settings.js'

interface SpecParts {
  readonly profile: Profile
  /** Ids of the label files that are ignored. */
  readonly ignoredIds: readonly number[]
  readonly ids: { readonly labelIds: readonly number[]; readonly tumorIds: readonly number[] }
  readonly pairs: readonly MaskFiles[]
  /** Organ mask of each case that has one. */
  readonly organs: ReadonlyMap<string, string>
  /** Files with the tumor probabilities of each case. */
  readonly scored: ReadonlyMap<string, readonly string[]>
  readonly operatingPoint: OperatingPointSpec | null
  /** Scan of each case that has one. */
  readonly scans: ReadonlyMap<string, string>
}

/** Return the complete settings of an evaluation, as Python receives them. */
export function evaluateSpec(
  options: EvaluateOptions,
  { profile, ignoredIds, ids, pairs, organs, scored, operatingPoint, scans }: SpecParts,
): EvaluateSpec {
  return {
    job: 'evaluate',
    workers: options.workers ?? Math.min(2, usableProcessors().processors),
    labels: ids.labelIds,
    tumorLabels: ids.tumorIds,
    nsdTolerancesMm: profile.nsdTolerancesMm,
    lesions: profile.lesions,
    spacingMm: profile.spacingMm,
    predictionMap: options.predictionMap ?? null,
    labelMap: withoutIgnored(options.labelMap),
    ignoredIds,
    cases: pairs.map((pair) => ({
      ...pair,
      organ: organs.get(pair.id) ?? null,
      scores: scored.get(pair.id) ?? [],
      image: scans.get(pair.id) ?? null,
    })),
    lesionFeatures: options.lesionFeatures ?? false,
    operatingPoint,
    organOfTumor: writesMissedRanges(options) ? organOfTumor(options) : null,
  }
}

const WINDOWS_HU = { abdomen: [-175, 250], chest: [-1000, 500] } as const

interface PicturedCase {
  readonly measured: CaseMeasures
  readonly files: MaskFiles
  readonly against: string | null
  readonly image: string | null
  readonly organ: string | null
  readonly output: string
  readonly scores: readonly string[]
}

/** Return the complete settings of the pictures of an evaluation, as Python receives them. */
export function pictureSpec(
  options: PictureOptions,
  ignoredIds: readonly number[],
  cases: readonly PicturedCase[],
  operatingPoint: OperatingPointSpec | null,
): PictureSpec {
  const measuredLabels = cases[0]?.measured.labels.map(({ label }) => label) ?? []
  return {
    job: 'picture',
    workers: Math.min(options.workers ?? 1, cases.length),
    tumorLabels: options.tumorIds.length > 0 ? options.tumorIds : measuredLabels,
    windowHu: WINDOWS_HU[options.region ?? 'abdomen'],
    predictionMap: options.predictionMap ?? null,
    labelMap: withoutIgnored(options.labelMap),
    ignoredIds,
    cases: cases.map(({ files, against, image, organ, output, scores }) => ({
      ...files,
      against,
      image,
      organ,
      output,
      scores,
    })),
    operatingPoint,
  }
}
