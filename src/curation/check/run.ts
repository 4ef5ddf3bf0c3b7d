import { forEachCase, type ThreadOptions } from '../case-threads.js'
import type { MissingFiles } from '../datasets/cases.js'
import type { LeftOut } from '../datasets/file-names.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { RefusedCase } from '../datasets/merged-labels.js'
import type { CaseCheckOptions } from './case.js'
import type { Finding } from './finding.js'
import { leftOutFinding, listFindings, missingFinding, refusedFinding } from './list-rules.js'

export interface CheckOptions extends CaseCheckOptions, ThreadOptions {
  /** Cases and files that were not taken; each is an error. */
  readonly refused?: readonly RefusedCase[]
  readonly leftOut?: readonly LeftOut[]
}

export interface CheckReport {
  /** True if no finding is an error. */
  readonly ok: boolean
  readonly numCases: number
  readonly findings: readonly Finding[]
}

/** Check the list, then every case completely; findings are in the order of the cases. */
export async function checkCases(
  cases: readonly ManifestCase[],
  missing: readonly MissingFiles[],
  { prepared, maxBytes, refused = [], leftOut = [], ...threads }: CheckOptions,
): Promise<CheckReport> {
  const byCase = await forEachCase(cases, { name: 'check', options: { prepared, maxBytes } }, threads)
  const findings = [
    ...missing.map(missingFinding),
    ...leftOut.map(leftOutFinding),
    ...refused.map(refusedFinding),
    ...listFindings(cases),
    ...byCase.flat(),
  ]
  return { ok: findings.every(({ severity }) => severity !== 'error'), numCases: cases.length, findings }
}
