import type { NIFTI1, NIFTI2 } from 'nifti-reader-js'
import { determinant, shearDegrees, spacingOf } from './geometry.js'
import type { Affine, Vec3 } from './volume.js'

export interface HeaderAffine {
  readonly affine: Affine
  readonly source: 'sform' | 'qform' | 'pixdim'
  /** Affine of the qform, if the sform is used and both have a code. */
  readonly qform?: Affine | undefined
}

/**
 * Return the affine by the rule of nibabel: sform if it has a code, else qform, else pixdim with the first
 * axis to the left and the origin in the middle. nifti-reader-js prefers the form with the higher code, so
 * its own affine is not used. Null for an invalid quaternion.
 */
export function affineOfHeader(
  bytes: Uint8Array,
  fields: NIFTI1 | NIFTI2,
  version: 1 | 2,
  shape: Vec3,
): HeaderAffine | null {
  if (fields.sform_code !== 0) {
    const other = fields.qform_code > 0 ? qform(fields, version) : null
    const affine = sform(bytes, fields.littleEndian, version)
    return { affine, source: 'sform', ...(other?.every(Number.isFinite) && { qform: other }) }
  }
  if (fields.qform_code !== 0) {
    const affine = qform(fields, version)
    return affine && { affine, source: 'qform' }
  }
  return { affine: centred(shape, fields.pixDims), source: 'pixdim' }
}

export interface Quaternion {
  readonly b: number
  readonly c: number
  readonly d: number
  /** -1 for a reversed third axis, which a rotation alone cannot express. */
  readonly qfac: 1 | -1
}

/** Return the rotation of an affine as a quaternion of a header; null if the axes are not at right angles. */
export function quaternionOf(affine: Affine): Quaternion | null {
  if (shearDegrees(affine) > 0.01) return null
  const spacing = spacingOf(affine)
  const qfac = determinant(affine) < 0 ? -1 : 1
  const r = (row: number, column: number) =>
    (affine[row * 4 + column]! / spacing[column]!) * (column === 2 ? qfac : 1)
  const [xx, yy, zz] = [r(0, 0), r(1, 1), r(2, 2)]
  // four times the square of each component; dividing by the largest keeps the others exact
  const squares = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz] as const
  const largest = squares.indexOf(Math.max(...squares))
  const twice = 2 * Math.sqrt(squares[largest]!)
  const products = [
    [squares[0], r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)],
    [r(2, 1) - r(1, 2), squares[1], r(0, 1) + r(1, 0), r(0, 2) + r(2, 0)],
    [r(0, 2) - r(2, 0), r(0, 1) + r(1, 0), squares[2], r(1, 2) + r(2, 1)],
    [r(1, 0) - r(0, 1), r(0, 2) + r(2, 0), r(1, 2) + r(2, 1), squares[3]],
  ] as const
  const [a, b, c, d] = products[largest]!.map((value) => value / twice) as [number, number, number, number]
  // a header omits the scalar part and assumes that it is not negative
  const sign = a < 0 ? -1 : 1
  return { b: sign * b, c: sign * c, d: sign * d, qfac }
}

function sform(bytes: Uint8Array, littleEndian: boolean, version: 1 | 2): Affine {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const rows = Array.from({ length: 12 }, (_, index) =>
    version === 1
      ? view.getFloat32(280 + 4 * index, littleEndian)
      : view.getFloat64(400 + 8 * index, littleEndian),
  )
  return [...rows, 0, 0, 0, 1]
}

function qform(fields: NIFTI1 | NIFTI2, version: 1 | 2): Affine | null {
  const { quatern_b: b, quatern_c: c, quatern_d: d } = fields
  const square = 1 - (b * b + c * c + d * d)
  const rounding = 3 * (version === 1 ? 2 ** -23 : 2 ** -52)
  if (!(square > -rounding)) return null
  const a = square < rounding ? 0 : Math.sqrt(square)
  // rounded quaternions do not have length one: the division makes the rotation keep lengths
  const s = 2 / (a * a + b * b + c * c + d * d)
  const [x, y, z] = fields.pixDims.slice(1, 4) as [number, number, number]
  const zFlipped = fields.pixDims[0] === -1 ? -z : z
  return [
    (1 - s * (c * c + d * d)) * x,
    s * (b * c - a * d) * y,
    s * (b * d + a * c) * zFlipped,
    fields.qoffset_x,
    s * (b * c + a * d) * x,
    (1 - s * (b * b + d * d)) * y,
    s * (c * d - a * b) * zFlipped,
    fields.qoffset_y,
    s * (b * d - a * c) * x,
    s * (c * d + a * b) * y,
    (1 - s * (b * b + c * c)) * zFlipped,
    fields.qoffset_z,
    0,
    0,
    0,
    1,
  ]
}

function centred(shape: Vec3, pixDims: readonly number[]): Affine {
  const [x, y, z] = pixDims.slice(1, 4) as [number, number, number]
  const [nx, ny, nz] = shape
  return [
    -x,
    0,
    0,
    ((nx - 1) / 2) * x,
    0,
    y,
    0,
    (-(ny - 1) / 2) * y,
    0,
    0,
    z,
    (-(nz - 1) / 2) * z,
    0,
    0,
    0,
    1,
  ]
}
