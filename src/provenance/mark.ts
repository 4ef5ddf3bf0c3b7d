import { z } from 'zod'
import { parseForeignJson } from '../foreign-text.js'
import type { NiftiExtension } from '../volume/nifti-extensions.js'

/** Text in the header field `descrip` of a synthetic scan; python_runtime/freetumor_runtime/data/synthetic_mark.py writes it. */
export const DESCRIPTION = 'synthetic tumors, painted by freetumor'

const COMMENT = 6
const MAX_BYTES = 4096
const BOUNDS = { depth: 2, values: 40 }
export const HASH = z.string().regex(/^[0-9a-f]{64}$/)

export const MARKED_KINDS = ['image', 'label', 'change', 'tumors'] as const
export const MARKED_VERDICTS = ['accepted', 'rejected'] as const

const markSchema = z.strictObject({
  format: z.literal('freetumor mark 1'),
  synthetic: z.literal(true),
  kind: z.enum(MARKED_KINDS),
  /** Verdict on the tumors in the scan. */
  verdict: z.enum(MARKED_VERDICTS),
  variant: z.int().min(0),
  /** SHA-256 of the host CT's file. */
  host: HASH,
  /** SHA-256 of the settings that paint tumors. */
  settings: HASH,
  /** SHA-256 of the generator; null for hand-crafted tumors. */
  generator: HASH.nullable(),
  /** SHA-256 of the stored voxels in little-endian order. */
  voxels: HASH,
})

/** The mark of a synthetic scan: a NIfTI extension with JSON. It holds no text of a host, a path or a person. */
export type Mark = Readonly<z.infer<typeof markSchema>>

export interface FoundMark {
  /** Null: none of the extensions is a mark. */
  readonly mark: Mark | null
  /** Extensions that are no mark, or a second one. */
  readonly others: number
}

/** Find the mark among the extensions of a foreign file. Damaged and oversized ones are no mark. */
export function findMark(extensions: readonly NiftiExtension[]): FoundMark {
  const marks = extensions.map(markIn)
  const mark = marks.find((one) => one !== null) ?? null
  return { mark, others: extensions.length - (mark === null ? 0 : 1) }
}

function markIn({ code, content }: NiftiExtension): Mark | null {
  if (code !== COMMENT || content.length > MAX_BYTES) return null
  const text = Buffer.from(content).toString('latin1').replace(/\0+$/, '')
  if (!text.startsWith('{"format":"freetumor mark ')) return null
  try {
    const parsed = markSchema.safeParse(parseForeignJson(text, 'mark', BOUNDS))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
