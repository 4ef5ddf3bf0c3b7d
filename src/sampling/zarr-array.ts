import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { join } from 'node:path'
import * as zarr from 'zarrita'
import { DataError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'

type Element = Uint8Array | Uint16Array | Int16Array
type ElementType = 'uint8' | 'uint16' | 'int16'

/** An array of a prepared case; boxes of it are read without reading the rest where its layout allows. */
export interface ZarrArray {
  readonly shape: readonly number[]
  /** The voxels of [start, stop) in C order. The box must lie inside. */
  read(start: readonly number[], stop: readonly number[]): Promise<Element>
  close(): void
}

const BYTES: Readonly<Record<ElementType, number>> = { uint8: 1, uint16: 2, int16: 2 }

/** The group of a prepared case; errors name both. */
export interface CaseGroup {
  readonly caseId: string
  readonly path: string
}

/** An attribute of a group. Raises DataError when there is no such group. */
export async function readGroupAttribute(group: CaseGroup, name: string): Promise<unknown> {
  try {
    const opened = await zarr.open.v3(directoryStore(group.path), { kind: 'group' })
    return opened.attrs[name]
  } catch (cause) {
    throw brokenCase(group, 'a prepared case was expected', cause)
  }
}

/**
 * Opens an array of a group. One uncompressed chunk, the cache's own layout, is read by position (2 ms for 96^3
 * voxels); any other layout goes through zarrita (12 ms and more). Raises DataError on another type or a cut file.
 */
export async function openZarrArray(group: CaseGroup, name: string, type: ElementType): Promise<ZarrArray> {
  let array: zarr.Array<zarr.DataType>
  try {
    array = await zarr.open.v3(zarr.root(directoryStore(group.path)).resolve(name), { kind: 'array' })
  } catch (cause) {
    throw brokenCase(group, `array ${name} was expected`, cause)
  }
  if (array.dtype !== type) throw brokenCase(group, `${name} must be ${type}, found ${array.dtype}`)
  const document = (await readForeignJson(join(group.path, name, 'zarr.json'))) as RawLayout
  return isOneRawChunk(array, document) ? openRawChunk(group, name, type, array.shape) : throughZarrita(array)
}

/** A prepared case that is not what it should be. */
export function brokenCase(group: CaseGroup, expectation: string, cause?: unknown): DataError {
  return new DataError(`case ${group.caseId}: ${group.path}: ${expectation}`, {
    hint: 'delete it and run `freetumor prepare` again',
    facts: { case: group.caseId },
    cause,
  })
}

interface RawLayout {
  readonly codecs: readonly { readonly name: string; readonly configuration?: { readonly endian?: string } }[]
  readonly chunk_key_encoding: {
    readonly name: string
    readonly configuration?: { readonly separator?: string }
  }
}

/** zarrita wants a store; ours is the files of a directory. */
function directoryStore(path: string): zarr.AsyncReadable {
  return {
    async get(key) {
      try {
        return new Uint8Array(await readFile(join(path, key)))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    },
  }
}

function isOneRawChunk(array: zarr.Array<zarr.DataType>, { codecs, chunk_key_encoding }: RawLayout): boolean {
  const [codec] = codecs
  return (
    array.chunks.every((side, axis) => side === array.shape[axis]) &&
    codecs.length === 1 &&
    codec?.name === 'bytes' &&
    (array.dtype === 'uint8' || codec.configuration?.endian === 'little') &&
    endianness() === 'LE' &&
    chunk_key_encoding.name === 'default' &&
    (chunk_key_encoding.configuration?.separator ?? '/') === '/'
  )
}

function openRawChunk(
  group: CaseGroup,
  name: string,
  type: ElementType,
  shape: readonly number[],
): ZarrArray {
  const file = join(group.path, name, 'c', ...shape.map(() => '0'))
  const bytes = BYTES[type] * shape.reduce((product, side) => product * side, 1)
  const found = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (found !== bytes) throw brokenCase(group, `${name}: ${bytes} bytes were expected, found ${found}`)
  const descriptor = openSync(file, 'r')
  return {
    shape,
    read: async (start, stop) => readSlabs({ group, descriptor, type, shape }, start, stop),
    close: () => closeSync(descriptor),
  }
}

interface RawChunk {
  readonly group: CaseGroup
  readonly descriptor: number
  readonly type: ElementType
  readonly shape: readonly number[]
}

/** One read for each index of the axes before the last two: the rows of a slab lie side by side on the disk. */
function readSlabs(chunk: RawChunk, start: readonly number[], stop: readonly number[]): Element {
  const { shape, type } = chunk
  const last = shape.length - 1
  const side = stop.map((end, axis) => end - start[axis]!)
  const box = allocate(
    type,
    side.reduce((product, length) => product * length, 1),
  )
  const rowLength = side[last]!
  const rows = side[last - 1]!
  const fullRow = shape[last]!
  const slab = allocate(type, rowLength === 0 ? 0 : (rows - 1) * fullRow + rowLength)
  for (let at = 0; at < box.length; at += rows * rowLength) {
    readFully(chunk, slab, offsetOf(at / (rows * rowLength), shape, start, side) * BYTES[type])
    for (let row = 0; row < rows; row++)
      box.set(slab.subarray(row * fullRow, row * fullRow + rowLength), at + row * rowLength)
  }
  return box
}

/** Element at which slab number `slab` of the box begins in the whole array. */
function offsetOf(
  slab: number,
  shape: readonly number[],
  start: readonly number[],
  side: readonly number[],
): number {
  const last = shape.length - 1
  let offset = start[last]! + start[last - 1]! * shape[last]!
  let stride = shape[last]! * shape[last - 1]!
  let rest = slab
  for (let axis = last - 2; axis >= 0; axis--) {
    offset += (start[axis]! + (rest % side[axis]!)) * stride
    rest = Math.floor(rest / side[axis]!)
    stride *= shape[axis]!
  }
  return offset
}

function readFully(chunk: RawChunk, target: Element, position: number): void {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength)
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(chunk.descriptor, bytes, done, bytes.length - done, position + done)
    if (count === 0) throw brokenCase(chunk.group, `an array ends before byte ${position + bytes.length}`)
    done += count
  }
}

function throughZarrita(array: zarr.Array<zarr.DataType>): ZarrArray {
  return {
    shape: array.shape,
    async read(start, stop) {
      const found = await zarr.get(
        array,
        start.map((from, axis) => zarr.slice(from, stop[axis]!)),
      )
      return inCOrder(found.data as Element, found.shape, found.stride, array.dtype as ElementType)
    },
    close: () => {},
  }
}

function inCOrder(
  data: Element,
  shape: readonly number[],
  stride: readonly number[],
  type: ElementType,
): Element {
  const ordered = allocate(
    type,
    shape.reduce((product, side) => product * side, 1),
  )
  for (let at = 0; at < ordered.length; at++) {
    let rest = at
    let from = 0
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += (rest % shape[axis]!) * stride[axis]!
      rest = Math.floor(rest / shape[axis]!)
    }
    ordered[at] = data[from]!
  }
  return ordered
}

function allocate(type: ElementType, length: number): Element {
  if (type === 'uint8') return new Uint8Array(length)
  return type === 'uint16' ? new Uint16Array(length) : new Int16Array(length)
}
