import { open } from 'node:fs/promises'
import { z } from 'zod'
import { DataError } from '../../errors.js'
import { parseForeignJson, readForeignBytes, readForeignJson } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'
import type { Region } from '../../volume/labels.js'
import type { Affine, Vec3 } from '../../volume/volume.js'
import { writeWhole } from '../../whole-file.js'
import { caseTexts } from './manifest-text.js'
import type { KidneySides, LabelIdMap } from './registry.js'

/** Limits of a manifest: 161,310 cases with geometry and maps of 30 ids. */
const MANIFEST_BOUNDS = { bytes: 500e6, values: 20_000_000 }

const id = z.int().min(0)
const fileFacts = z.strictObject({
  bytes: z.int().min(0),
  /** `ends:` (of size, first and last 4 KB) or `sha256:` (of all bytes), in hexadecimal. */
  digest: z.string().regex(/^(ends|sha256):[0-9a-f]{64}$/),
})

const caseSchema = z.strictObject({
  /** `dataset/stem`, unique in a manifest. */
  id: z.string().min(1),
  dataset: z.string().min(1),
  /** Cases of one patient are always on the same side of a split. */
  patient: z.string().min(1),
  region: z.enum(['abdomen', 'chest']),
  role: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('labelled'),
      organs: z.array(z.enum(['liver', 'pancreas', 'kidney', 'lung'])),
    }),
    z.strictObject({ kind: z.literal('host') }),
  ]),
  image: z.string().min(1),
  label: z.string().min(1).nullable(),
  fold: z.int().min(0).nullable(),
  split: z.enum(['training', 'validation', 'test']),
  /** Ids of the source -> ids of the region; null if undocumented. */
  labelMap: z.record(z.string().regex(/^\d+$/), z.int().min(0).max(255)).nullable(),
  /** Ids of the two kidneys in the source, if it separates them. */
  kidneySides: z.strictObject({ left: id, right: id }).optional(),
  /** Geometry of the image, from its header; absent if not read or not readable. */
  geometry: z
    .strictObject({
      shape: z.tuple([id, id, id]),
      spacingMm: z.tuple([z.number(), z.number(), z.number()]),
      /** Voxel to physical position (RAS mm), 4x4 in row order. */
      affine: z.array(z.number()).length(16),
      dataType: z.string(),
    })
    .optional(),
  /** Volume in ml of each id of the region in the label, by name; absent until measured. */
  labelMl: z.record(z.string(), z.number().min(0)).optional(),
  files: z.strictObject({ image: fileFacts, label: fileFacts.nullable() }).optional(),
  /** Hash of the image's voxels, independent of header, orientation and data type; absent until measured. */
  fingerprint: z.string().optional(),
  /** Id of the host CT of a synthetic case. */
  parent: z.string().min(1).optional(),
})
const manifestSchema = z.strictObject({ version: z.literal(1), cases: z.array(caseSchema) })

/** Return the JSON schema of a manifest file. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(manifestSchema),
    title: 'freetumor manifest: the cases of one or more data sets',
  }
}

export interface ManifestCase {
  readonly id: string
  readonly dataset: string
  readonly patient: string
  readonly region: Region
  readonly role: { readonly kind: 'labelled'; readonly organs: readonly string[] } | { readonly kind: 'host' }
  readonly image: string
  readonly label: string | null
  readonly fold: number | null
  readonly split: 'training' | 'validation' | 'test'
  readonly labelMap: LabelIdMap | null
  readonly kidneySides?: KidneySides | undefined
  readonly geometry?: CaseGeometry | undefined
  readonly labelMl?: Readonly<Record<string, number>> | undefined
  readonly files?: { readonly image: FileFacts; readonly label: FileFacts | null } | undefined
  readonly fingerprint?: string | undefined
  /** Id of the host CT of a synthetic case; see `childCase`. */
  readonly parent?: string | undefined
}

export interface CaseGeometry {
  readonly shape: Vec3
  readonly spacingMm: Vec3
  readonly affine: Affine
  readonly dataType: string
}

export interface FileFacts {
  readonly bytes: number
  readonly digest: string
}

export interface Manifest {
  readonly version: 1
  readonly cases: readonly ManifestCase[]
}

/**
 * Sort cases into a manifest; the order of the input has no influence.
 * @throws DataError for duplicate ids
 */
export function makeManifest(cases: readonly ManifestCase[]): Manifest {
  const sorted = [...cases].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const twice = sorted.filter((item, at) => at > 0 && item.id === sorted[at - 1]!.id)
  if (twice.length > 0) {
    const { id } = twice[0]!
    const [first, second] = sorted.filter((item) => item.id === id)
    const more = twice.length > 1 ? `; ${twice.length} such ids` : ''
    throw new DataError(
      `case ${id}: listed twice, as ${first!.image} (${first!.split}) and ${second!.image} (${second!.split})${more}`,
      { hint: 'remove one of them from the list, or rename one file' },
    )
  }
  return { version: 1, cases: sorted }
}

/** Return true if a file starts like a manifest, and not like a list of cases. */
export async function isManifest(file: string): Promise<boolean> {
  if (!file.endsWith('.json')) return false
  const handle = await open(file).catch(() => null)
  if (handle === null) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0)
    return /^\s*\{\s*"version"\s*:\s*1\s*,\s*"cases"/.test(buffer.toString('latin1', 0, bytesRead))
  } finally {
    await handle.close()
  }
}

/**
 * Read a manifest file.
 * @throws DataError that names file and key
 */
export async function readManifest(file: string): Promise<Manifest> {
  const unreadable = (code: string, cause: unknown): DataError =>
    new DataError(cannotBeRead(file, code, 'manifest'), {
      hint: 'write it with `freetumor data import`',
      cause,
    })
  const cases = casesInTurn(await readForeignBytes(file, { unreadable, bytes: MANIFEST_BOUNDS.bytes }), file)
  if (cases !== null) return makeManifest(cases)
  // another form, or a fault, whose message needs the whole file
  const content = await readForeignJson(file, { unreadable, ...MANIFEST_BOUNDS })
  const parsed = manifestSchema.safeParse(content)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new DataError(`${file}: ${issue.path.join('.') || 'the manifest'}: ${issue.message}`, {
      hint: 'write it again with `freetumor data import`',
    })
  }
  return makeManifest(parsed.data.cases)
}

/** Return the cases of a manifest, validated one by one; null if the file must be read as a whole. */
function casesInTurn(content: Uint8Array, file: string): ManifestCase[] | null {
  const cases: ManifestCase[] = []
  const shared = sharing()
  const texts = caseTexts(content, MANIFEST_BOUNDS.values)
  try {
    for (;;) {
      const { value, done } = texts.next()
      if (done) return value ? cases : null
      const parsed = caseSchema.safeParse(parseForeignJson(value, file))
      if (!parsed.success) return null
      cases.push(compact(parsed.data, shared))
    }
  } catch {
    return null
  }
}

/** Return a case that shares equal parts with the cases before it, so that many cases need less memory. */
function compact(item: ManifestCase, shared: ReturnType<typeof sharing>): ManifestCase {
  const { geometry, kidneySides } = item
  return {
    ...item,
    dataset: shared(item.dataset),
    region: shared(item.region),
    role: shared(item.role),
    split: shared(item.split),
    labelMap: shared(item.labelMap),
    ...(kidneySides && { kidneySides: shared(kidneySides) }),
    ...(geometry && {
      geometry: {
        ...geometry,
        spacingMm: shared(geometry.spacingMm),
        dataType: shared(geometry.dataType),
      },
    }),
  }
}

/** Return a function that replaces a value by the first equal one. */
function sharing(): <T>(value: T) => T {
  const known = new Map<string, unknown>()
  return <T>(value: T): T => {
    const key = JSON.stringify(value)
    const first = known.get(key) as T | undefined
    if (first !== undefined) return first
    known.set(key, value)
    return value
  }
}

/** Write a manifest, one case per line; equal manifests give equal bytes. */
export async function writeManifest(file: string, manifest: Manifest): Promise<void> {
  await writeWhole(file, manifestText(makeManifest(manifest.cases)))
}

/** Yield the text of a manifest, many cases at a time: a manifest can have 100 MB and more. */
function* manifestText({ cases }: Manifest): Generator<string> {
  yield '{\n  "version": 1,\n  "cases": [\n'
  for (let at = 0; at < cases.length; at += CASES_PER_WRITE) {
    const lines = cases.slice(at, at + CASES_PER_WRITE).map((item) => `    ${JSON.stringify(item)}`)
    yield `${lines.join(',\n')}${at + CASES_PER_WRITE < cases.length ? ',' : ''}\n`
  }
  yield '  ]\n}\n'
}

const CASES_PER_WRITE = 1000
