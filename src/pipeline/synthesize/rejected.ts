import type { SynthesisLine } from '../../quality/ledger.js'
import type { WrittenVariant } from '../ports/synthesis.js'
import type { SynthesisSettings } from './settings.js'

/** The rejected tumors of a case that are written, so that reviewers can see them (`synthesize.keepRejected`). */
export interface RejectedToKeep {
  /** Return whether this rejected tumor is written, and count it. */
  take(line: SynthesisLine): boolean
}

export interface KeepOptions {
  readonly settings: Pick<SynthesisSettings, 'synthesize' | 'organs'>
  /** Hosts of all shards. */
  readonly allHosts: readonly { readonly id: string }[]
  /** Lines of an earlier start with a kept rejected tumor. */
  readonly rejectedFiles: readonly SynthesisLine[]
}

/**
 * Choose the rejected tumors of a case that are kept: the first ones of each organ. The part of a case depends only on the
 * list of hosts, so neither ranks, shards nor a restart change the choice.
 */
export function rejectedToKeep(
  { settings, allHosts, rejectedFiles }: KeepOptions,
  caseId: string,
): RejectedToKeep {
  const { keepRejected } = settings.synthesize
  const at = allHosts.findIndex(({ id }) => id === caseId)
  const part = Math.floor(keepRejected / allHosts.length) + Number(at < keepRejected % allHosts.length)
  const kept = new Map<string, number>()
  for (const line of rejectedFiles)
    if (line.case === caseId) kept.set(line.organ, (kept.get(line.organ) ?? 0) + 1)
  return {
    take: ({ organ, reason, review }) => {
      const count = kept.get(organ) ?? 0
      // reviewers have seen the tumors that they decided on
      if (count >= part || reason === 'empty' || review !== undefined) return false
      kept.set(organ, count + 1)
      return true
    },
  }
}

/** Return the file of a kept rejected tumor, as the ledger names it. */
export function rejectedFileOf(
  { tumor, attempt }: SynthesisLine,
  { rejected = [] }: WrittenVariant,
): Pick<SynthesisLine, 'rejectedFile' | 'sha256'> {
  const found = rejected.find((one) => one.tumor === tumor && one.attempt === attempt)
  return found === undefined ? {} : { rejectedFile: found.file, sha256: found.sha256 }
}
