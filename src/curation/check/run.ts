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
  options: CheckOptions,
): Promise<CheckReport> {
  const listed = checkList(cases, missing, options)
  return checkReport(cases.length, listed, await checkEachCase(cases, options))
}

/** Return the findings about the list as a whole, and about the cases and files that were not taken. */
export function checkList(
  cases: readonly ManifestCase[],
  missing: readonly MissingFiles[],
  { refused = [], leftOut = [] }: Pick<CheckOptions, 'refused' | 'leftOut'>,
): Finding[] {
  return [
    ...missing.map(missingFinding),
    ...leftOut.map(leftOutFinding),
    ...refused.map(refusedFinding),
    ...listFindings(cases),
  ]
}

/** Check every case completely; return the findings of each case. */
export function checkEachCase(
  cases: readonly ManifestCase[],
  { prepared, maxBytes, refused, leftOut, ...threads }: CheckOptions,
): Promise<(readonly Finding[])[]> {
  return forEachCase(cases, { name: 'check', options: { prepared, maxBytes } }, threads)
}

/** Return the report of findings about the list and about each case. */
export function checkReport(
  numCases: number,
  listed: readonly Finding[],
  byCase: readonly (readonly Finding[])[],
): CheckReport {
  const findings = [...listed, ...byCase.flat()]
  return { ok: findings.every(({ severity }) => severity !== 'error'), numCases, findings }
}
