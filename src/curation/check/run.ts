import { forEachCase, type ThreadOptions } from '../case-threads.js'
import type { MissingFiles } from '../datasets/cases.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { CaseCheckOptions } from './case.js'
import type { Finding } from './finding.js'
import { listFindings, missingFinding } from './list-rules.js'

export type CheckOptions = CaseCheckOptions & ThreadOptions

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
  { prepared, maxBytes, ...threads }: CheckOptions,
): Promise<CheckReport> {
  const byCase = await forEachCase(cases, { name: 'check', options: { prepared, maxBytes } }, threads)
  const findings = [...missing.map(missingFinding), ...listFindings(cases), ...byCase.flat()]
  return { ok: findings.every(({ severity }) => severity !== 'error'), numCases: cases.length, findings }
}
