import { gzipSync } from 'node:zlib'
import type { Affine, Vec3, Volume, VoxelArray } from '../../src/volume/volume.js'

/** What a made NIfTI-1 file says; every field can be made to lie. Written by hand, not by the code under test. */
export interface MadeHeader {
  readonly sizeofHdr: number
  readonly dims: readonly number[]
  readonly dataType: number
  readonly bits: number
  readonly pixdim: readonly number[]
  readonly offset: number
  readonly slope: number
  readonly inter: number
  readonly qformCode: number
  readonly sformCode: number
  readonly quaternion: Vec3
  readonly qoffset: Vec3
  readonly srow: readonly number[]
  readonly magic: string
  readonly bigEndian: boolean
}

const HONEST: MadeHeader = {
  sizeofHdr: 348,
  dims: [3, 3, 4, 5, 1, 1, 1, 1],
  dataType: 4,
  bits: 16,
  pixdim: [1, 1, 2, 3, 1, 1, 1, 1],
  offset: 352,
  slope: 1,
  inter: 0,
  qformCode: 0,
  sformCode: 1,
  quaternion: [0, 0, 0],
  qoffset: [0, 0, 0],
  srow: [1, 0, 0, -10, 0, 2, 0, 20, 0, 0, 3, 30],
  magic: 'n+1\0',
  bigEndian: false,
}

/** A 3 x 4 x 5 int16 file whose voxel n in the file's order is n, unless `header` or `voxels` say otherwise. */
export function madeNifti(header: Partial<MadeHeader> = {}, voxels?: Uint8Array): Buffer {
  const h = { ...HONEST, ...header }
  const little = !h.bigEndian
  const head = Buffer.alloc(Math.max(352, h.offset < 4096 ? h.offset : 352))
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  view.setInt32(0, h.sizeofHdr, little)
  for (const [n, size] of h.dims.entries()) view.setInt16(40 + 2 * n, size, little)
  view.setInt16(70, h.dataType, little)
  view.setInt16(72, h.bits, little)
  for (const [n, mm] of h.pixdim.entries()) view.setFloat32(76 + 4 * n, mm, little)
  view.setFloat32(108, h.offset, little)
  view.setFloat32(112, h.slope, little)
  view.setFloat32(116, h.inter, little)
  view.setInt16(252, h.qformCode, little)
  view.setInt16(254, h.sformCode, little)
  for (const [n, value] of [...h.quaternion, ...h.qoffset].entries())
    view.setFloat32(256 + 4 * n, value, little)
  for (const [n, value] of h.srow.entries()) view.setFloat32(280 + 4 * n, value, little)
  head.write(h.magic, 344, 'latin1')
  return Buffer.concat([head, voxels ?? counting(60, little)])
}

export function gzipped(bytes: Uint8Array): Buffer {
  return gzipSync(bytes)
}

function counting(count: number, little: boolean): Uint8Array {
  const bytes = new Uint8Array(2 * count)
  const view = new DataView(bytes.buffer)
  for (let n = 0; n < count; n++) view.setInt16(2 * n, n, little)
  return bytes
}

/** Axis-aligned RAS affine. */
export function diagonal(spacingMm: Vec3 = [1, 1, 1], originMm: Vec3 = [0, 0, 0]): Affine {
  const [x, y, z] = spacingMm
  return [x, 0, 0, originMm[0], 0, y, 0, originMm[1], 0, 0, z, originMm[2], 0, 0, 0, 1]
}

/** A volume whose voxel (i, j, k) holds `value(i, j, k)`. */
export function filled<T extends VoxelArray>(
  type: new (length: number) => T,
  shape: Vec3,
  value: (i: number, j: number, k: number) => number,
  affine: Affine = diagonal(),
): Volume<T> {
  const data = new type(shape[0] * shape[1] * shape[2])
  for (let i = 0, n = 0; i < shape[0]; i++)
    for (let j = 0; j < shape[1]; j++) for (let k = 0; k < shape[2]; k++) data[n++] = value(i, j, k)
  return { data, shape, affine }
}
