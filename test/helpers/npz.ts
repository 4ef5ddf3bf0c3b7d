import { readFileSync } from 'node:fs'
import { inflateRawSync } from 'node:zlib'

export interface NpyArray {
  readonly shape: readonly number[]
  readonly data: Float64Array | Float32Array | Uint8Array | Int32Array | BigInt64Array
}

/** Reads the arrays of a NumPy .npz file (stored or deflated members, little-endian, C order). */
export function readNpz(path: string): ReadonlyMap<string, NpyArray> {
  const file = readFileSync(path)
  const end = file.lastIndexOf(Buffer.from('PK\x05\x06'))
  const arrays = new Map<string, NpyArray>()
  let entry = file.readUInt32LE(end + 16)
  for (let left = file.readUInt16LE(end + 10); left > 0; left--) {
    const method = file.readUInt16LE(entry + 10)
    const packed = file.readUInt32LE(entry + 20)
    const nameLength = file.readUInt16LE(entry + 28)
    const name = file.toString('utf8', entry + 46, entry + 46 + nameLength)
    const local = file.readUInt32LE(entry + 42)
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28)
    const content = file.subarray(start, start + packed)
    const array = parseNpy(method === 8 ? inflateRawSync(content) : content)
    if (array) arrays.set(name.replace(/\.npy$/, ''), array)
    entry += 46 + nameLength + file.readUInt16LE(entry + 30) + file.readUInt16LE(entry + 32)
  }
  return arrays
}

/** Null for an array of text. */
function parseNpy(bytes: Buffer): NpyArray | null {
  const long = bytes[6]! >= 2
  const start = long ? 12 : 10
  const length = long ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8)
  const header = bytes.toString('latin1', start, start + length)
  const type = /'descr': '([^']+)'/.exec(header)?.[1]
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').filter(Boolean).map(Number)
  const content = Uint8Array.from(bytes.subarray(start + length)).buffer
  if (header.includes("'fortran_order': True")) throw new Error('Fortran order is not read')
  switch (type) {
    case '<f8':
      return { shape, data: new Float64Array(content) }
    case '<f4':
      return { shape, data: new Float32Array(content) }
    case '<i4':
      return { shape, data: new Int32Array(content) }
    case '<i8':
      return { shape, data: new BigInt64Array(content) }
    case '|u1':
    case '|b1':
      return { shape, data: new Uint8Array(content) }
    default:
      if (type?.startsWith('<U')) return null
      throw new Error(`type ${type} is not read`)
  }
}
