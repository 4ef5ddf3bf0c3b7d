import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { NiftiFields } from '../volume/nifti-fields.js'
import { writeWhole } from '../whole-file.js'
import type { SigningKey } from './keys.js'
import type { LicensedSource, ResultLicence } from './licence.js'
import { HASH, MARKED_KINDS, MARKED_VERDICTS } from './mark.js'

export const PROVENANCE = 'provenance.json'
export const FORMAT = 'freetumor provenance 1'

const field = z.union([z.number(), z.string().max(200)])
const path = z
  .string()
  .max(1000)
  // relative, inside the data set
  .regex(/^(?!\/)(?!(?:.*\/)?\.\.?(?:\/|$))[^\\\p{Cc}]+$/u)

const tumor = z.strictObject({
  tumor: z.int().min(0),
  attempt: z.int().min(0),
  organ: z.string().max(40),
  size: z.string().max(40),
})

/** A file of the data set, on a line of its own. */
export const fileSchema = z.strictObject({
  path,
  kind: z.enum(MARKED_KINDS),
  verdict: z.enum(MARKED_VERDICTS),
  case: z.string().max(1000),
  variant: z.int().min(0),
  /** SHA-256 of the host CT's file. */
  host: HASH.nullable(),
  seed: z.int().min(0),
  /** Tumors in the scan; `ledger.jsonl` holds their plans. */
  tumors: z.array(tumor).max(1000),
  bytes: z.int().min(0),
  sha256: HASH,
  voxels: HASH,
  header: z.record(z.string().max(40), z.union([field, z.array(field).max(16)])),
  /** SHA-256 of the mark; null for a file of an earlier version. */
  mark: HASH.nullable(),
})

export type ProvenanceFile = Readonly<Omit<z.infer<typeof fileSchema>, 'header'>> & {
  readonly header: NiftiFields
}

/** Content of `provenance.json` before its list of files. */
export interface ProvenanceHead {
  readonly format: typeof FORMAT
  readonly statement: string
  /** SHA-256 of the settings that paint tumors, as in the marks. */
  readonly settings: string
  readonly name: string
  readonly versions: Readonly<Record<string, string>>
  /** SHA-256 of networks; null without one. */
  readonly checkpoints: unknown
  /** Use of decisions of reviewers; null without any. */
  readonly reviews: {
    readonly sha256: string
    /** Pseudonyms, in the order of the first decisions; the review file holds the names. */
    readonly reviewers: readonly { readonly id: string; readonly decisions: number }[]
  } | null
  readonly sources: readonly LicensedSource[]
  readonly licence: ResultLicence
  /** Other files of the data set. */
  readonly documents: readonly { readonly path: string; readonly sha256: string }[]
}

/** Documents that a manifest may list. */
export const DOCUMENTS = ['dataset.json', 'ledger.jsonl', 'synthesis.json'] as const

export const headSchemas = {
  format: z.literal(FORMAT),
  statement: z.string(),
  settings: HASH,
  name: z.string(),
  versions: z.record(z.string(), z.string()),
  checkpoints: z.unknown(),
  reviews: z.unknown(),
  sources: z.array(z.unknown()),
  licence: z.looseObject({ name: z.string().nullable() }),
  documents: z.array(z.strictObject({ path: z.enum(DOCUMENTS), sha256: HASH })),
} as const

const sourceText = z.string().min(1).max(300)
const sourcesSchema = z
  .array(
    z.object({
      kind: z.enum(['hosts', 'labelled', 'weights', 'plug-in']),
      name: sourceText,
      licence: sourceText.nullable(),
      sha256: HASH.nullish(),
    }),
  )
  .max(1000)

/** Return the sources of a foreign manifest; null if they have another form. */
export function sourcesOf({ sources }: ProvenanceHead): readonly LicensedSource[] | null {
  return sourcesSchema.safeParse(sources).data ?? null
}

export const signatureSchema = z
  .strictObject({
    algorithm: z.literal('Ed25519'),
    key: z.string().max(100),
    publicKey: z.string().max(200),
    /** SHA-256 of each part of the manifest. */
    parts: z.record(z.string().max(40), HASH),
    value: z.string().max(200),
  })
  .nullable()
export type Signature = z.infer<typeof signatureSchema>

export const START = '{'
export const FILES_START = '  "files": ['
export const FILES_END = '  ],'
export const END = '}'

/**
 * Write `provenance.json`: one part per line, one file per line, and the signature. Equal contents give equal bytes.
 * @param key null: the manifest is not signed
 */
export async function writeProvenance(
  file: string,
  head: ProvenanceHead,
  files: readonly ProvenanceFile[],
  key: SigningKey | null,
): Promise<void> {
  const heads = Object.entries(head).map(([name, value]) => [name, headLine(name, value)] as const)
  const lines = files.map((one, at) => `    ${JSON.stringify(one)}${at === files.length - 1 ? '' : ','}`)
  const parts = Object.fromEntries(heads.map(([name, line]) => [name, hashOf(line)]))
  const ofFiles = createHash('sha256')
  for (const line of lines) ofFiles.update(`${line}\n`)
  parts.files = ofFiles.digest('hex')
  const signature: Signature = key && {
    algorithm: 'Ed25519',
    key: key.id,
    publicKey: key.publicKey,
    parts,
    value: key.sign(signedText(parts)),
  }
  const text = [
    START,
    ...heads.map(([, line]) => line),
    FILES_START,
    ...lines,
    FILES_END,
    `  "signature": ${JSON.stringify(signature)}`,
    END,
  ]
  await writeWhole(file, `${text.join('\n')}\n`)
}

/** Return the text that is signed: the hash of each part, in order. */
export function signedText(parts: Readonly<Record<string, string>>): string {
  return `${FORMAT}\n${Object.entries(parts)
    .map(([name, hash]) => `${name} ${hash}\n`)
    .join('')}`
}

function headLine(name: string, value: unknown): string {
  return `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`
}

function hashOf(line: string): string {
  return createHash('sha256').update(`${line}\n`).digest('hex')
}
