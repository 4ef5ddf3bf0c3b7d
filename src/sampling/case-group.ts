import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { cacheName } from '../curation/case-file-names.js'
import { DataError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import { readProblem } from '../system-errors.js'
import type { Vec3 } from '../volume/volume.js'

/** The Zarr group of a prepared case; errors name case and path. */
export interface CaseGroup {
  readonly caseId: string
  readonly path: string
  /** SHA-256 of the prepared voxels that the group must have. Default: any. */
  readonly content?: string
}

/** A group with undamaged metadata. */
export interface OpenGroup extends CaseGroup {
  /** The `freetumor` attributes of the group. */
  readonly attributes: Readonly<Record<string, unknown>>
  readonly arrays: Readonly<Record<ArrayName, ArrayLayout>>
  /** CRC-32 of the index, as stored in its file. */
  readonly indexChecksum: number
  /** True if image and label are shards of compressed chunks. */
  readonly compressed: boolean
  /**
   * CRC-32 of image and label. Uncompressed: of each slab, C order [X, ceil(Y / 16)]. Compressed: of the index of the shard,
   * then of each chunk.
   */
  readonly voxelChecksums: Readonly<Record<'image' | 'label', Uint32Array>>
}

export type ArrayName = 'image' | 'label' | 'index'

/** One little-endian file in C order. */
export interface ArrayLayout {
  readonly type: string
  readonly shape: readonly number[]
}

/** Rows (axis Y) of a plane (axis X) that share one checksum, and voxels per side of a block of the index. */
export const BLOCK_VOXELS = 16
/** Voxels per side of a compressed chunk. */
export const CHUNK_VOXELS = 32
const FORMAT_VERSION = 2
const COMPRESSED_VERSION = 3
const ARRAYS: readonly ArrayName[] = ['image', 'label', 'index']

/**
 * Open a prepared case and check everything except index and voxels against its checksums
 * (freetumor_runtime/data/cache.py describes the layout).
 * @throws DataError that names case and file if it is missing, of another format, of another case, or damaged
 */
export async function openCaseGroup(group: CaseGroup): Promise<OpenGroup> {
  const names = ['zarr.json', ...[...ARRAYS, 'checksums'].map((name) => `${name}/zarr.json`)]
  const [root, ...arrayFiles] = await Promise.all(names.map((name) => readPart(group, name)))
  const attributes = attributesOf(group, root!)
  const arrays = Object.fromEntries(
    ARRAYS.map((name, at) => [name, layoutOf(group, name, arrayFiles[at]!)]),
  ) as Record<ArrayName, ArrayLayout>
  checkShapes(group, arrays)
  const table = await readTable(group)
  for (const [at, content] of [root!, ...arrayFiles].entries())
    if (crc32(content) !== table[at]) throw damaged(group, names[at]!)
  const compressed = attributes.version === COMPRESSED_VERSION
  const shape = arrays.image.shape as Vec3
  const each = compressed ? 1 + product(chunksOf(shape)) : shape[0] * Math.ceil(shape[1] / BLOCK_VOXELS)
  const first = names.length + 1
  if (table.length !== first + 2 * each + 1)
    throw brokenCase(
      group,
      `wrong number of checksums (expected ${first + 2 * each + 1}, found ${table.length})`,
    )
  return {
    ...group,
    attributes,
    arrays,
    indexChecksum: table[names.length]!,
    compressed,
    voxelChecksums: {
      image: table.subarray(first, first + each),
      label: table.subarray(first + each, first + 2 * each),
    },
  }
}

/** Return the number of compressed chunks along each axis. */
export function chunksOf(shape: Vec3): Vec3 {
  return shape.map((side) => Math.ceil(side / CHUNK_VOXELS)) as unknown as Vec3
}

function product([x, y, z]: Vec3): number {
  return x * y * z
}

/** Return the error of an invalid prepared case. */
export function brokenCase(group: CaseGroup, expectation: string, cause?: unknown): DataError {
  return new DataError(`case ${group.caseId}: ${group.path}: ${expectation}`, {
    hint: 'run `freetumor prepare` again: it replaces a damaged case',
    facts: { case: group.caseId },
    cause,
  })
}

/**
 * Return the error of a damaged case.
 * @param part of the case: a file, or a place in one
 */
export function damaged(group: CaseGroup, part: string): DataError {
  return brokenCase(group, `damaged since the case was prepared: ${part}`)
}

async function readPart(group: CaseGroup, name: string): Promise<Buffer> {
  try {
    return await readFile(join(group.path, name))
  } catch (cause) {
    const array = name === 'zarr.json' ? 'a prepared case' : `array ${name.slice(0, name.indexOf('/'))}`
    throw brokenCase(group, readProblem((cause as NodeJS.ErrnoException).code, array), cause)
  }
}

function attributesOf(group: CaseGroup, root: Buffer): Readonly<Record<string, unknown>> {
  const attributes = parse(group, 'zarr.json', root, (document) => document.attributes.freetumor)
  if (attributes?.version !== FORMAT_VERSION && attributes?.version !== COMPRESSED_VERSION)
    throw brokenCase(
      group,
      `wrong format (expected ${FORMAT_VERSION} or ${COMPRESSED_VERSION}, found ${attributes?.version})`,
    )
  if (cacheName(String(attributes.case)) !== basename(group.path))
    throw brokenCase(group, `wrong case (found ${attributes.case})`)
  if (group.content !== undefined && attributes.contentSha256 !== group.content)
    throw new DataError(`case ${group.caseId}: ${group.path}: replaced since it was prepared`, {
      hint: 'another command uses this cache for other scans of the same names: set prepare.cache of one of them',
      facts: { case: group.caseId },
    })
  return attributes
}

function checkShapes(group: CaseGroup, { image, label, index }: OpenGroup['arrays']): void {
  const blocks = image.shape.map((side) => Math.ceil(side / BLOCK_VOXELS))
  const fit = String(label.shape) === String(image.shape) && String(index.shape.slice(1)) === String(blocks)
  if (image.shape.length !== 3 || !fit)
    throw brokenCase(
      group,
      `contradictory shapes (found [${image.shape}], [${label.shape}], [${index.shape}])`,
    )
}

function layoutOf(group: CaseGroup, name: string, file: Buffer): ArrayLayout {
  return parse(group, `${name}/zarr.json`, file, ({ data_type: type, shape }) => {
    if (!Array.isArray(shape) || !shape.every((side) => Number.isSafeInteger(side) && side > 0))
      throw new TypeError(`shape ${shape}`)
    return { type: String(type), shape: shape as number[] }
  })
}

interface ZarrDocument {
  readonly attributes: { readonly freetumor: Readonly<Record<string, unknown>> | undefined }
  readonly data_type: unknown
  readonly shape: unknown
}

function parse<T>(group: CaseGroup, name: string, file: Buffer, take: (document: ZarrDocument) => T): T {
  try {
    return take(parseForeignJson(file.toString('utf8'), name) as ZarrDocument)
  } catch (cause) {
    throw brokenCase(group, `${name}: not a prepared case`, cause)
  }
}

/** Read all checksums of a case; the last one covers the others. */
async function readTable(group: CaseGroup): Promise<Uint32Array> {
  const name = 'checksums/c/0'
  const content = await readPart(group, name)
  const values = new Uint32Array(content.length >> 2)
  for (let at = 0; at < values.length; at++) values[at] = content.readUInt32LE(4 * at)
  if (content.length % 4 !== 0 || crc32(content.subarray(0, -4)) !== values.at(-1)) throw damaged(group, name)
  return values
}
