import { invertAffine } from '../../../volume/geometry.js'
import { ARRAYS } from '../../../volume/nifti-arrays.js'
import {
  bytesPerVoxel,
  MAX_HEADER_BYTES,
  type NiftiHeader,
  parseNiftiHeader,
} from '../../../volume/nifti-header.js'
import type { Affine, Vec3, VoxelArray } from '../../../volume/volume.js'

/** Largest decoded volume. */
const MAX_BYTES = 1.5 * 2 ** 30

/** A decoded volume. The first axis is the fastest, as in the file. */
export interface LoadedVolume {
  readonly voxels: VoxelArray
  readonly shape: Vec3
  readonly affine: Affine
  /** RAS millimetres to voxel. */
  readonly toVoxel: Affine
  readonly spacingMm: Vec3
  /** Value = stored * slope + inter. */
  readonly slope: number
  readonly inter: number
}

/**
 * Decode a NIfTI file as it arrives, compressed or not. Memory is allocated once, for the size that the header states.
 * @param onProgress called with the fraction of the voxels that have arrived
 * @throws Error that names the file
 */
export async function decodeVolume(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  name: string,
  onProgress: (fraction: number) => void = () => {},
): Promise<LoadedVolume> {
  const reader = await plainReader(body)
  const start = await reader.readStart(MAX_HEADER_BYTES)
  const header = parseNiftiHeader(start, name)
  if (header.isPair) throw new Error(`${name}: a pair of files (expected one .nii or .nii.gz file)`)
  const count = header.shape[0] * header.shape[1] * header.shape[2]
  const length = count * bytesPerVoxel(header.dataType)
  if (length > MAX_BYTES)
    throw new Error(`${name}: too large for a browser (expected at most ${MAX_BYTES} bytes, found ${length})`)
  const bytes = new Uint8Array(length)
  const filled = await reader.readInto(bytes, header.voxelOffset, onProgress)
  if (filled < length)
    throw new Error(`${name}: truncated (expected ${length} bytes of voxels, found ${filled})`)
  return {
    voxels: voxelsOf(bytes, header),
    shape: header.shape,
    affine: header.affine,
    toVoxel: invertAffine(header.affine),
    spacingMm: header.spacingMm,
    slope: header.slope,
    inter: header.inter,
  }
}

interface PlainReader {
  /** Return the first bytes; fewer if the file is shorter. They are read again by `readInto`. */
  readStart(length: number): Promise<Uint8Array>
  /** Fill a target with the bytes from an offset on, and return their number. The rest of the file is not read. */
  readInto(target: Uint8Array, offset: number, onProgress: (fraction: number) => void): Promise<number>
}

/** Read a stream, decompressed if it starts as gzip does. */
async function plainReader(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<PlainReader> {
  const stored = body.getReader()
  const first = await stored.read()
  const magic = first.value ?? new Uint8Array()
  const whole = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      if (first.value !== undefined) controller.enqueue(first.value)
    },
    pull: async (controller) => {
      const { value, done } = await stored.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => stored.cancel(reason),
  })
  const isGzip = magic[0] === 0x1f && magic[1] === 0x8b
  const reader = (isGzip ? whole.pipeThrough(new DecompressionStream('gzip')) : whole).getReader()
  let kept: Uint8Array = new Uint8Array()
  return {
    async readStart(length) {
      while (kept.length < length) {
        const { value, done } = await reader.read()
        if (done) break
        kept = joined(kept, value)
      }
      return kept.subarray(0, length)
    },
    async readInto(target, offset, onProgress) {
      let position = 0
      let filled = 0
      let reported = 0
      let chunk: Uint8Array | undefined = kept
      while (chunk !== undefined && filled < target.length) {
        const from = Math.max(0, offset - position)
        const part = chunk.subarray(from, from + target.length - filled)
        target.set(part, filled)
        filled += part.length
        position += chunk.length
        if (filled - reported > target.length / 20) {
          reported = filled
          onProgress(filled / target.length)
        }
        if (filled < target.length) chunk = (await reader.read()).value
      }
      void reader.cancel().catch(() => {})
      return filled
    },
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

function voxelsOf(bytes: Uint8Array<ArrayBuffer>, { dataType, littleEndian }: NiftiHeader): VoxelArray {
  const width = bytesPerVoxel(dataType)
  if (!littleEndian && width > 1) swapBytes(bytes, width)
  const stored = new ARRAYS[dataType](bytes.buffer)
  if (!(stored instanceof BigInt64Array || stored instanceof BigUint64Array)) return stored
  return Float64Array.from(stored, Number)
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse()
}
