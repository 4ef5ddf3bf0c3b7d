import { randomBytes } from 'node:crypto'
import { chmod, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { DataError, UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import type { Vec3 } from '../volume/volume.js'
import { writeWhole } from '../whole-file.js'

/** The truth of a case. */
export type Side = 'real' | 'synthetic'

/** Names of the files of a study. Volumes are the only files whose bytes a reader receives. */
export const STUDY_FILES = {
  study: 'study.json',
  truth: 'truth.json',
  readers: 'readers.json',
  journal: 'answers.jsonl',
  volumes: 'volumes',
} as const

/** Most cases of a study, examples included, and most voxels along an axis. */
export const STUDY_BOUNDS = { cases: 2000, side: 512, readers: 500, name: 60 } as const

const side = z.enum(['real', 'synthetic'])
const natural = z.int().min(0)
const vec3 = z.tuple([z.number(), z.number(), z.number()])
const shape = z.tuple([natural.max(STUDY_BOUNDS.side), natural.max(512), natural.max(512)])

const cue = z.strictObject({
  cue: z.string(),
  unit: z.string(),
  real: z.number().describe('median of the real cases'),
  synthetic: z.number().describe('median of the synthetic cases'),
  p: z.number().min(0).max(1).describe('permutation test; not corrected for the number of cues'),
})

const robotSchema = z.strictObject({
  cues: z.array(cue),
  threshold: z
    .number()
    .describe('a cue below this p separates the sides: 0.01 divided by the number of cues'),
  separating: z.array(z.string()).describe('cues that separate the sides'),
  attainable: z.number().describe('smallest p that this number of cases can give'),
})

const studySchema = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  seed: natural,
  organs: z.array(z.string()),
  cases: natural.max(STUDY_BOUNDS.cases),
  repeated: z.array(natural).describe('cases that each reader sees twice'),
  shape: shape.describe('voxels along right, anterior and superior'),
  spacingMm: z.number().positive(),
  timeLimitSeconds: z.number().positive().nullable(),
  examples: z.array(z.strictObject({ truth: side, lesionMm: vec3 })),
  robot: robotSchema,
  notes: z.array(z.string()).describe('what limits the study; shown on every page of figures'),
})

const caseTruth = z.strictObject({
  case: natural,
  truth: side,
  organ: z.string(),
  size: z.string(),
  diameterMm: z.number(),
  group: z.string(),
  scan: z.string(),
  patient: z.string(),
  image: z.string(),
  sha256: z.string(),
  lesionMm: vec3.describe('middle of the tumor; the middle of the crop is 0 0 0'),
  lesion: z
    .array(natural)
    .describe('voxels of the tumor as pairs of start and length; the first axis is the fastest'),
})

const truthSchema = z.strictObject({
  version: z.literal(1),
  study: z.string(),
  cases: z.array(caseTruth),
  examples: z.array(caseTruth),
})

const readerSchema = z.strictObject({
  id: z.string().min(1).max(STUDY_BOUNDS.name),
  number: natural.describe('decides the order of the cases'),
  token: z.string().min(20).max(100),
})

const readersSchema = z.strictObject({
  version: z.literal(1),
  next: natural,
  readers: z.array(readerSchema).max(STUDY_BOUNDS.readers),
})

export type RobotFinding = z.infer<typeof robotSchema>
export type CueFinding = z.infer<typeof cue>
/** The part of a study that the server reads. It holds the truth of no case. */
export type Study = z.infer<typeof studySchema>
export type CaseTruth = z.infer<typeof caseTruth>
export type Truth = z.infer<typeof truthSchema>
export type Reader = z.infer<typeof readerSchema>
type ReaderList = z.infer<typeof readersSchema>

/** Return the study in a folder. @throws UsageError if there is none; DataError if it is damaged */
export async function readStudy(folder: string): Promise<Study> {
  const file = join(folder, STUDY_FILES.study)
  const isThere = await stat(file).catch(() => null)
  if (isThere === null)
    throw new UsageError(`${folder}: no reader study (expected ${STUDY_FILES.study})`, {
      hint: 'create one with `freetumor readers create`',
    })
  return checked(studySchema, await readForeignJson(file), file)
}

/** Return the truth of a study. Only `readers score` calls it: the server never opens this file. @throws DataError */
export async function readTruth(folder: string): Promise<Truth> {
  const file = join(folder, STUDY_FILES.truth)
  return checked(truthSchema, await readForeignJson(file, { bytes: 2 ** 30, values: 2e7 }), file)
}

/** Return the name of the volume of a case; of an example with `kind` example. */
export function volumeFile(kind: 'case' | 'example', number: number): string {
  return join(STUDY_FILES.volumes, `${kind}-${String(number).padStart(4, '0')}.raw`)
}

/** Return the bytes of a volume: 2 for each voxel, without a header. */
export function volumeBytes({ shape }: Pick<Study, 'shape'>): number {
  return 2 * shape[0] * shape[1] * shape[2]
}

/** Return the position of a voxel of a study in millimetres; the middle of the crop is 0 0 0. */
export function studyMm(
  { shape, spacingMm }: { readonly shape: Vec3; readonly spacingMm: number },
  voxel: Vec3,
): Vec3 {
  const along = (axis: 0 | 1 | 2): number => (voxel[axis] - (shape[axis] - 1) / 2) * spacingMm
  return [along(0), along(1), along(2)]
}

/** Return the readers of a study; none before the first `readers serve`. @throws DataError */
export async function readReaders(folder: string): Promise<readonly Reader[]> {
  return (await readerList(folder)).readers
}

/**
 * Return the wanted readers, and create those that are missing, each with a token of 256 bits.
 * @param wanted names, or the number of pseudonyms R01, R02, ...
 */
export async function ensureReaders(
  folder: string,
  wanted: readonly string[] | number,
): Promise<readonly Reader[]> {
  const list = await readerList(folder)
  const readers = [...list.readers]
  let { next } = list
  const add = (id: string): void => {
    readers.push({ id, number: next++, token: randomBytes(32).toString('base64url') })
  }
  if (typeof wanted === 'number')
    while (readers.length < wanted) {
      const id = pseudonymOf(next)
      if (readers.some((one) => one.id === id)) next++
      else add(id)
    }
  else for (const id of wanted) if (!readers.some((one) => one.id === id)) add(id)
  if (readers.length > list.readers.length) await writeReaders(folder, { version: 1, next, readers })
  return readers
}

/**
 * Remove a reader from the list, or give them a new pseudonym.
 * @returns the new name; null if the reader was removed
 * @throws UsageError if there is no such reader
 */
export async function removeReader(folder: string, id: string, keep: boolean): Promise<string | null> {
  const { next, readers } = await readerList(folder)
  const found = readers.find((one) => one.id === id)
  if (found === undefined)
    throw new UsageError(
      `reader ${id}: not in this study (expected ${readers.map((one) => one.id).join(', ') || 'none'})`,
      { hint: 'name a reader of the study' },
    )
  const others = readers.filter((one) => one !== found)
  // a number is never used again, so a later reader gets neither this name nor this order
  const renamed = keep ? pseudonymOf(next) : null
  const now = renamed === null ? others : [...others, { ...found, id: renamed }]
  await writeReaders(folder, { version: 1, next: keep ? next + 1 : next, readers: now })
  return renamed
}

function pseudonymOf(number: number): string {
  return `R${String(number).padStart(2, '0')}`
}

async function readerList(folder: string): Promise<ReaderList> {
  const file = join(folder, STUDY_FILES.readers)
  const isThere = await stat(file).catch(() => null)
  if (isThere === null) {
    // a new list would leave out their answers, or give them to other readers
    const journal = join(folder, STUDY_FILES.journal)
    if (((await stat(journal).catch(() => null))?.size ?? 0) > 0)
      throw new DataError(`${file}: file not found, and ${STUDY_FILES.journal} has answers`, {
        hint: 'restore it from a backup',
      })
    return { version: 1, next: 1, readers: [] }
  }
  return checked(readersSchema, await readForeignJson(file), file)
}

async function writeReaders(folder: string, list: ReaderList): Promise<void> {
  await writePrivate(join(folder, STUDY_FILES.readers), list)
}

/** Write JSON that only its owner can read. */
export async function writePrivate(file: string, value: unknown): Promise<void> {
  await writeWhole(file, `${JSON.stringify(value)}\n`, 0o600)
  await chmod(file, 0o600)
}

function checked<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const { data, error } = schema.safeParse(value)
  if (data !== undefined) return data
  const issue = error!.issues[0]!
  throw new DataError(`${file}: damaged (${[...issue.path, issue.message].join(': ')})`, {
    hint: 'restore it from a backup, or create the study again',
  })
}
