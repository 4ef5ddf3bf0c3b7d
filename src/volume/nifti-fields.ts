import { NIFTI_1, NIFTI_2 } from './nifti-layout.js'

/** Fields of a NIfTI header by their names in the standard. Fields without a value (0, empty) are missing. */
export type NiftiFields = Readonly<Record<string, number | string | readonly (number | string)[]>>

/**
 * Return the fields of a header that has been checked (`parseNiftiHeader`). They do not depend on version, byte order or
 * voxel offset, so that a faithful copy in another form has equal fields. A number that JSON cannot hold is its name.
 */
export function niftiFields(bytes: Uint8Array): NiftiFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const little = [348, 540].includes(view.getInt32(0, true))
  const layout = view.getInt32(0, little) === 540 ? NIFTI_2 : NIFTI_1
  const fields: Record<string, NiftiFields[string]> = {}
  for (const [name, type, offset, count] of layout) {
    if (type === 'text') {
      const text = Buffer.from(bytes.subarray(offset, offset + count))
        .toString('latin1')
        .replace(/\0+$/, '')
      if (text !== '') fields[name] = text
      continue
    }
    const width = WIDTHS[type]
    const values = Array.from({ length: count }, (_, at) =>
      plain(READ[type](view, offset + at * width, little)),
    )
    if (values.some((value) => value !== 0)) fields[name] = count === 1 ? values[0]! : values
  }
  return normalized(fields)
}

/** Return fields in which equal meanings have equal values: no rescale, sizes of absent axes. */
function normalized(fields: Record<string, NiftiFields[string]>): NiftiFields {
  const { scl_slope: slope = 0, scl_inter: inter = 0, dim, pixdim, ...rest } = fields
  const isPlain = slope === 0 || slope === 'NaN' || (slope === 1 && inter === 0)
  const sizes = dim as readonly number[]
  const spacings = pixdim as readonly number[] | undefined
  return {
    dim: sizes.slice(1, 4),
    ...(spacings === undefined ? {} : { pixdim: [spacings[0] === -1 ? -1 : 1, ...spacings.slice(1, 4)] }),
    ...(isPlain ? {} : { scl_slope: slope, scl_inter: inter }),
    ...rest,
  }
}

function plain(value: number): number | string {
  return Number.isFinite(value) ? value + 0 : String(value)
}

const WIDTHS = { u8: 1, i16: 2, i32: 4, i64: 8, f32: 4, f64: 8 } as const

const READ: Readonly<Record<keyof typeof WIDTHS, (view: DataView, at: number, little: boolean) => number>> = {
  u8: (view, at) => view.getUint8(at),
  i16: (view, at, little) => view.getInt16(at, little),
  i32: (view, at, little) => view.getInt32(at, little),
  i64: (view, at, little) => Number(view.getBigInt64(at, little)),
  f32: (view, at, little) => view.getFloat32(at, little),
  f64: (view, at, little) => view.getFloat64(at, little),
}
