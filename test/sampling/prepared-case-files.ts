import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { cacheName } from '../../src/curation/case-file-names.js'
import type { Vec3 } from '../../src/volume/volume.js'

export interface CaseVoxels {
  readonly shape: Vec3
  readonly image: Int16Array
  readonly label: Uint8Array
}

/** Fills a case from a function of the voxel: [HU, label id]. */
export function makeVoxels(
  shape: Vec3,
  voxel: (x: number, y: number, z: number) => readonly [number, number],
): CaseVoxels {
  const image = new Int16Array(shape[0] * shape[1] * shape[2])
  const label = new Uint8Array(image.length)
  let at = 0
  for (let x = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++)
      for (let z = 0; z < shape[2]; z++, at++) {
        const [hu, id] = voxel(x, y, z)
        image[at] = hu
        label[at] = id
      }
  return { shape, image, label }
}

/** Of every case that is written here: 1.5 mm voxels, the first one 20 mm from the origin on each axis. */
export const AFFINE = [1.5, 0, 0, -20, 0, 1.5, 0, -20, 0, 0, 1.5, -20, 0, 0, 0, 1]

/** Returns a hash of the voxels, in the place of that of the Python side. */
export function contentOf({ image, label }: CaseVoxels): string {
  return createHash('sha256').update(image).update(label).digest('hex')
}

/** Writes a prepared case by hand in the cache's layout, as the Python side does; returns its path. */
export function writePreparedCase(
  directory: string,
  caseId: string,
  voxels: CaseVoxels,
  numIds: number,
  windowHu: readonly [number, number],
): string {
  const path = join(directory, cacheName(caseId))
  const contentSha256 = contentOf(voxels)
  const attributes = { freetumor: { version: 2, case: caseId, windowHu, affine: AFFINE, contentSha256 } }
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'zarr.json'), JSON.stringify({ zarr_format: 3, node_type: 'group', attributes }))
  const { image, label, shape } = voxels
  const blocks = shape.map((side) => Math.ceil(side / 16))
  writeArray(path, 'image', 'int16', shape, image)
  writeArray(path, 'label', 'uint8', shape, label)
  const index = countByBlock(voxels, numIds, windowHu[0])
  writeArray(path, 'index', 'uint16', [numIds, ...blocks], index)
  writeChecksums(path, voxels, index)
  return path
}

function writeChecksums(path: string, { shape, image, label }: CaseVoxels, index: Uint16Array): void {
  const slabs = [image, label].flatMap((array) => slabChecksums(array, shape))
  const length = 7 + slabs.length
  writeArray(path, 'checksums', 'uint32', [length], new Uint32Array(length))
  const files = ['', 'image/', 'label/', 'index/', 'checksums/'].map((folder) => `${folder}zarr.json`)
  const metadata = files.map((file) => crc32(readFileSync(join(path, file))))
  const values = Uint32Array.from([...metadata, crc32(bytesOf(index)), ...slabs, 0])
  values[length - 1] = crc32(bytesOf(values).subarray(0, -4))
  writeFileSync(join(path, 'checksums/c/0'), values)
}

/** Of 16 rows of a plane each. */
function slabChecksums(array: Int16Array | Uint8Array, [planes, rows, columns]: Vec3): number[] {
  return Array.from({ length: planes * Math.ceil(rows / 16) }, (_, slab) => {
    const [plane, row] = [Math.floor(slab / Math.ceil(rows / 16)), (slab % Math.ceil(rows / 16)) * 16]
    const start = (plane * rows + row) * columns
    return crc32(bytesOf(array.subarray(start, start + Math.min(16, rows - row) * columns)))
  })
}

function bytesOf(array: NodeJS.TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function writeArray(
  path: string,
  name: string,
  type: string,
  shape: readonly number[],
  data: NodeJS.TypedArray,
): void {
  const chunk = join(path, name, 'c', ...shape.map(() => '0'))
  mkdirSync(join(chunk, '..'), { recursive: true })
  writeFileSync(chunk, data)
  const document = {
    zarr_format: 3,
    node_type: 'array',
    shape,
    data_type: type,
    chunk_grid: { name: 'regular', configuration: { chunk_shape: shape } },
    chunk_key_encoding: { name: 'default', configuration: { separator: '/' } },
    fill_value: 0,
    codecs: [{ name: 'bytes', configuration: { endian: 'little' } }],
    attributes: {},
  }
  writeFileSync(join(path, name, 'zarr.json'), JSON.stringify(document))
}

function countByBlock({ shape, image, label }: CaseVoxels, numIds: number, lowerHu: number): Uint16Array {
  const [bx, by, bz] = shape.map((side) => Math.ceil(side / 16)) as [number, number, number]
  const counts = new Uint16Array(numIds * bx * by * bz)
  for (let at = 0; at < label.length; at++) {
    const id = label[at]!
    if (id === 0 && image[at]! <= lowerHu) continue
    const [x, y, z] = voxelAt(at, shape)
    const block = ((x >> 4) * by + (y >> 4)) * bz + (z >> 4)
    counts[id * bx * by * bz + block]!++
  }
  return counts
}

export function voxelAt(at: number, shape: Vec3): Vec3 {
  return [Math.floor(at / (shape[1] * shape[2])), Math.floor(at / shape[2]) % shape[1], at % shape[2]]
}
