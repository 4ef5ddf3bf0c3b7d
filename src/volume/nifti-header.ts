import { NIFTI1, NIFTI2 } from 'nifti-reader-js'
import { DataError } from '../errors.js'
import { formatByContent } from './foreign-formats.js'
import { determinant, spacingOf } from './geometry.js'
import { affineOfHeader, quaternionOf } from './nifti-affine.js'
import { headersOfVoxels } from './nifti-pair.js'
import type { Affine, Vec3 } from './volume.js'

/** Supported data types; complex, colour, bit and 128-bit images are refused. */
export type NiftiDataType =
  | 'uint8'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'float32'
  | 'float64'

/** Reason of a refusal; freetumor_runtime/data/nifti.py uses the same words. */
export type NiftiProblem =
  | 'missing'
  | 'unreadable'
  | 'notAFile'
  | 'tooLarge'
  | 'notNifti'
  | 'headerOnly'
  | 'dimensions'
  | 'dataType'
  | 'voxelOffset'
  | 'spacing'
  | 'scaling'
  | 'affine'
  | 'corruptGzip'
  | 'truncated'
  | 'trailingData'

export interface NiftiHeader {
  readonly version: 1 | 2
  readonly littleEndian: boolean
  readonly shape: Vec3
  /**
   * Type as stored; with a slope other than 1 or an intercept other than 0 the voxels become floating point.
   */
  readonly dataType: NiftiDataType
  readonly slope: number
  readonly inter: number
  /**
   * Voxel -> physical position (RAS mm) by the rule of nibabel: sform if it has a code, else qform if it has
   * one, else pixdim.
   */
  readonly affine: Affine
  readonly affineSource: 'sform' | 'qform' | 'pixdim'
  /** The qform, if the header has both and the sform is used: other readers may use the qform. */
  readonly qformAffine?: Affine | undefined
  /** Spacing of the affine, which all later code uses. */
  readonly spacingMm: Vec3
  /** Spacing that the header states separately; a wrong affine contradicts it. */
  readonly pixdimMm: Vec3
  /** First byte of the voxels, after header and extensions; in a pair, in the `.img`. */
  readonly voxelOffset: number
  /** The voxels lie in another file, the `.img` of a `.hdr`. */
  readonly isPair: boolean
}

/** Header bytes of NIfTI-1; those of NIfTI-2 follow. */
export const MIN_HEADER_BYTES = 348
export const MAX_HEADER_BYTES = 540
const MAX_DIMENSION = 4096
const SPACING_RANGE_MM = [0.01, 50] as const
const MIN_VOXEL_MM3 = 1e-6

const TYPES: Readonly<Record<number, readonly [NiftiDataType, number]>> = {
  2: ['uint8', 8],
  4: ['int16', 16],
  8: ['int32', 32],
  16: ['float32', 32],
  64: ['float64', 64],
  256: ['int8', 8],
  512: ['uint16', 16],
  768: ['uint32', 32],
  1024: ['int64', 64],
  1280: ['uint64', 64],
}
const REFUSED_TYPES: Readonly<Record<number, string>> = {
  1: 'single bits',
  32: 'complex numbers',
  128: 'RGB colours',
  1536: '128-bit floats',
  1792: 'complex numbers',
  2048: 'complex numbers',
  2304: 'RGBA colours',
}

/**
 * Read the header of a NIfTI-1 or NIfTI-2, of one file or of a pair, and check everything that later code relies on.
 * @param bytes the first 540 bytes of the decoded file, or all if it is shorter
 * @throws DataError with `facts.reason`, a NiftiProblem
 */
export function parseNiftiHeader(bytes: Uint8Array, file: string): NiftiHeader {
  const { fields, version, isPair } = readFields(bytes, file)
  const shape = checkedShape(fields.dims, file)
  const dataType = checkedDataType(fields.datatypeCode, fields.numBitsPerVoxel, file)
  const voxelOffset = checkedOffset(fields.vox_offset, isPair ? 0 : version === 1 ? 352 : 544, file)
  const pixdimMm = checkedPixdim(fields.pixDims, file)
  const { slope, inter } = checkedScaling(fields.scl_slope, fields.scl_inter, file)
  const { affine, source, qform } = checkedAffine(bytes, fields, version, shape, file)
  return {
    version,
    littleEndian: fields.littleEndian,
    shape,
    dataType,
    slope,
    inter,
    affine,
    affineSource: source,
    ...(qform && { qformAffine: qform }),
    spacingMm: spacingOf(affine),
    pixdimMm,
    voxelOffset,
    isPair,
  }
}

export function bytesPerVoxel(dataType: NiftiDataType): number {
  return Object.values(TYPES).find(([name]) => name === dataType)![1] / 8
}

/**
 * Return the 352 bytes before the voxels of a little-endian NIfTI-1 file: sform, qform if the axes are at
 * right angles, spacing, millimetres, no scaling. There is no free text, so no patient data.
 */
export function encodeNiftiHeader(shape: Vec3, affine: Affine, dataType: NiftiDataType): Uint8Array {
  const [code, [, bits]] = Object.entries(TYPES).find(([, [name]]) => name === dataType)!
  const spacing = spacingOf(affine)
  const quaternion = quaternionOf(affine)
  const header = new NIFTI1()
  header.littleEndian = true
  header.dims = [3, ...shape, 1, 1, 1, 1]
  header.pixDims = [quaternion?.qfac ?? 1, ...spacing, 1, 1, 1, 1]
  header.datatypeCode = Number(code)
  header.numBitsPerVoxel = bits
  header.vox_offset = 352
  header.xyzt_units = NIFTI1.UNITS_MM
  header.sform_code = NIFTI1.XFORM_SCANNER_ANAT
  header.affine = [0, 4, 8, 12].map((row) => affine.slice(row, row + 4))
  header.qform_code = quaternion ? NIFTI1.XFORM_SCANNER_ANAT : NIFTI1.XFORM_UNKNOWN
  if (quaternion) {
    header.quatern_b = quaternion.b
    header.quatern_c = quaternion.c
    header.quatern_d = quaternion.d
    header.qoffset_x = affine[3]!
    header.qoffset_y = affine[7]!
    header.qoffset_z = affine[11]!
  }
  header.magic = 'n+1\0'
  return new Uint8Array(header.toArrayBuffer())
}

export function refusal(
  reason: NiftiProblem,
  file: string,
  message: string,
  hint: string,
  cause?: unknown,
): DataError {
  return new DataError(`${file}: ${message}`, { hint, facts: { file, reason }, cause })
}

function readFields(
  bytes: Uint8Array,
  file: string,
): { fields: NIFTI1 | NIFTI2; version: 1 | 2; isPair: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sizes = bytes.byteLength >= 4 ? [view.getInt32(0, true), view.getInt32(0, false)] : []
  const version = sizes.includes(348) ? 1 : sizes.includes(540) ? 2 : null
  const length = version === 2 ? 540 : 348
  if (version === null || bytes.byteLength < length) throw notNifti(bytes, file)
  const isPair = hasPairMagic(bytes, version, file)
  // the library reads a sub-array from the start of its buffer, and follows extensions if it gets more bytes
  const header = bytes.slice(0, length).buffer as ArrayBuffer
  const fields = version === 1 ? new NIFTI1() : new NIFTI2()
  fields.readHeader(header)
  return { fields, version, isPair }
}

/** Return true for the magic of a pair, false for that of a single file. */
function hasPairMagic(bytes: Uint8Array, version: 1 | 2, file: string): boolean {
  const magic = version === 1 ? latin1(bytes, 344, 348) : latin1(bytes, 4, 12)
  const tail = version === 1 ? '\0' : '\0\r\n\x1a\n'
  if (magic === `n+${version}${tail}`) return false
  if (magic === `ni${version}${tail}`) return true
  throw refusal(
    'notNifti',
    file,
    'the NIfTI magic is missing (an Analyze file states no orientation)',
    'convert it from its source again, to a single NIfTI file (.nii.gz)',
  )
}

function checkedShape(dims: readonly number[], file: string): Vec3 {
  const count = dims[0]!
  const used = dims.slice(1, 1 + Math.max(0, Math.min(7, count)))
  if (count < 3 || count > 7 || used.slice(3).some((size) => size !== 1))
    throw refusal(
      'dimensions',
      file,
      `wrong dimensions (expected one 3-D volume, found ${count}-D: ${used.join(' x ')})`,
      'extract one volume into a separate file',
    )
  const [x, y, z] = used as [number, number, number]
  if ([x, y, z].some((size) => size < 1 || size > MAX_DIMENSION))
    throw refusal(
      'dimensions',
      file,
      `wrong size (expected 1 to ${MAX_DIMENSION} voxels per axis, found ${x} x ${y} x ${z})`,
      REPAIR,
    )
  return [x, y, z]
}

function checkedDataType(code: number, bits: number, file: string): NiftiDataType {
  const type = TYPES[code]
  if (!type)
    throw refusal(
      'dataType',
      file,
      `unsupported data type (expected a CT or a label, found ${REFUSED_TYPES[code] ?? `data type ${code}`})`,
      CONVERT,
    )
  if (type[1] !== bits)
    throw refusal(
      'dataType',
      file,
      `contradictory header (expected ${type[1]} bits per voxel of ${type[0]}, found ${bits})`,
      REPAIR,
    )
  return type[0]
}

function checkedOffset(offset: number, smallest: number, file: string): number {
  if (!Number.isSafeInteger(offset) || offset < smallest)
    throw refusal(
      'voxelOffset',
      file,
      `wrong voxel offset (expected an integer of at least ${smallest}, found ${offset})`,
      REPAIR,
    )
  return offset
}

function checkedPixdim(pixDims: readonly number[], file: string): Vec3 {
  const spacing = pixDims.slice(1, 4) as [number, number, number]
  if (!spacing.every(isSpacing))
    throw refusal(
      'spacing',
      file,
      `wrong spacing (expected ${SPACING_RANGE_MM[0]} to ${SPACING_RANGE_MM[1]} mm, found ${spacing.join(' x ')} mm)`,
      'write the file again with its spacing in millimetres',
    )
  return spacing
}

function checkedScaling(slope: number, inter: number, file: string): { slope: number; inter: number } {
  if (!Number.isFinite(slope) || !Number.isFinite(inter))
    throw refusal(
      'scaling',
      file,
      `wrong rescale (expected finite numbers, found slope ${slope} and intercept ${inter})`,
      'write the file again with the rescale of its scanner',
    )
  // by the NIfTI standard, a slope of 0 means no scaling
  return slope === 0 ? { slope: 1, inter: 0 } : { slope, inter }
}

function checkedAffine(
  bytes: Uint8Array,
  fields: NIFTI1 | NIFTI2,
  version: 1 | 2,
  shape: Vec3,
  file: string,
) {
  const found = affineOfHeader(bytes, fields, version, shape)
  const usable =
    found?.affine.every(Number.isFinite) &&
    Math.abs(determinant(found.affine)) > MIN_VOXEL_MM3 &&
    spacingOf(found.affine).every(isSpacing)
  if (!found || !usable)
    throw refusal('affine', file, 'the affine is unusable: not finite, flat or out of scale', REPAIR)
  return found
}

function isSpacing(mm: number): boolean {
  // float32 of 0.01 is slightly below 0.01
  return mm >= SPACING_RANGE_MM[0] * (1 - 1e-6) && mm <= SPACING_RANGE_MM[1] * (1 + 1e-6)
}

const CONVERT = 'convert it to a single NIfTI file (.nii or .nii.gz) of one 3-D volume'
const REPAIR = 'write the file again from its source, or repair its header'

function notNifti(bytes: Uint8Array, file: string): DataError {
  if (headersOfVoxels(file).length > 0)
    return refusal('notNifti', file, 'not a NIfTI header (found the voxels of a pair)', 'pass its .hdr')
  const format = formatByContent(bytes)
  if (format) return refusal('notNifti', file, `not a NIfTI file (found ${format.name})`, format.remedy)
  return refusal('notNifti', file, 'not a NIfTI file', hintForOther(bytes))
}

/** Return a hint for a file that is not NIfTI. */
function hintForOther(bytes: Uint8Array): string {
  const text = latin1(bytes, 0, 200)
  if (text.startsWith('version https://git-lfs'))
    return 'fetch the data with `git lfs pull`: this is a Git LFS pointer'
  if (/^[\x20-\x7e\s]+$/.test(text) && bytes.byteLength < 400)
    return 'fetch the data: this is a line of text, perhaps a link that was copied as a file'
  return CONVERT
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end))
}
