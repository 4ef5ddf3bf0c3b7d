import { availableParallelism } from 'node:os'
import type { Profile } from '../../evaluation/profiles.js'
import type { EvaluateSpec } from '../ports/cases.js'
import type { MaskFiles } from './mask-files.js'
import type { EvaluateOptions } from './settings.js'

interface SpecParts {
  readonly profile: Profile
  readonly ids: { readonly labelIds: readonly number[]; readonly tumorIds: readonly number[] }
  readonly pairs: readonly MaskFiles[]
  /** Organ mask of each case that has one. */
  readonly organs: ReadonlyMap<string, string>
  /** Files with the tumor probabilities of each case. */
  readonly scored: ReadonlyMap<string, readonly string[]>
}

/** Builds the complete settings of an evaluation, as they cross to Python. */
export function evaluateSpec(
  options: EvaluateOptions,
  { profile, ids, pairs, organs, scored }: SpecParts,
): EvaluateSpec {
  return {
    job: 'evaluate',
    workers: options.workers ?? Math.min(2, availableParallelism()),
    labels: ids.labelIds,
    tumorLabels: ids.tumorIds,
    nsdTolerancesMm: profile.nsdTolerancesMm,
    lesions: profile.lesions,
    spacingMm: profile.spacingMm,
    predictionMap: options.predictionMap ?? null,
    labelMap: options.labelMap ?? null,
    cases: pairs.map((pair) => ({
      ...pair,
      organ: organs.get(pair.id) ?? null,
      scores: scored.get(pair.id) ?? [],
    })),
  }
}
