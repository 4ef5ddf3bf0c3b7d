import { createHash } from 'node:crypto'
import type { NiftiFields } from '../volume/nifti-fields.js'
import type { ProvenanceFile } from './manifest.js'
import type { Mark } from './mark.js'
import type { ScanFacts } from './scan-facts.js'

/** Text of `descrip`, also that of version 0.1. */
const DESCRIBED = /^synthetic tumors, (?:made|painted) by freetumor/

/** Return the SHA-256 of a mark. */
export function markHash(mark: Mark): string {
  return createHash('sha256').update(JSON.stringify(mark)).digest('hex')
}

/** Return where a file differs from its entry; none if only its compression, version or byte order may differ. */
export function differencesFrom(entry: ProvenanceFile, facts: ScanFacts): string[] {
  const { header, mark, hasMore, voxels } = facts
  const found = mark === null ? null : markHash(mark)
  const fields = changedFields(entry.header, header)
  return [
    ...(found === entry.mark ? [] : [found === null ? 'mark: removed' : 'mark: another one']),
    ...(hasMore ? ['header: other extensions or bytes were added'] : []),
    ...(fields.length === 0 ? [] : [`header: ${fields.join(', ')}`]),
    ...(voxels === entry.voxels ? [] : ['voxels']),
  ]
}

/** Return the names of fields with other values. Values are left out: they may be text of a patient. */
function changedFields(before: NiftiFields, after: NiftiFields): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
}

/** Return whether the header field `descrip` states that the scan is synthetic. */
export function isDescribed({ header }: ScanFacts): boolean {
  return typeof header.descrip === 'string' && DESCRIBED.test(header.descrip)
}
