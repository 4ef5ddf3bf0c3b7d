import { type FreetumorError, RuntimeCrashError, UsageError } from '../errors.js'
import { ElementType, Envelope, type TensorHeader } from '../generated/freetumor/transport/v1/tensor.js'

/** Protocol version of envelopes and of the control stream; both sides refuse another version. */
export const PROTOCOL = 1

/**
 * Largest part of a multipart message; ZeroMQ silently drops larger ones. An envelope must fit into one part.
 * A tensor that fits is one part, which the receiver views without a copy. A larger tensor is split into
 * chunks that the receiver joins, because one huge ZeroMQ part (measured: 157 MB) is slower than its chunks.
 */
export const MAX_FRAME_BYTES = 16 << 20
export const CHUNK_BYTES = 4 << 20
/**
 * The sender refuses larger values, and so does the receiver before it allocates memory. bridge/frames.py has
 * the same limits.
 */
export const MAX_TENSORS = 4096
export const MAX_DIMENSIONS = 8
export const MAX_TENSOR_BYTES = 2 ** 31
/** Limit for all tensors of a message. */
export const MAX_MESSAGE_BYTES = 2 ** 32

export type ElementTypeName = 'uint8' | 'int16' | 'int32' | 'float32' | 'float64'
export type TensorData = Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array

/** Content of a named tensor: C order, little-endian. */
export interface Tensor {
  readonly elementType: ElementTypeName
  /** At most 8 sides; empty for a scalar. */
  readonly shape: readonly number[]
  /** The elements of the shape, in the element type. May be a view of a larger or shared buffer. */
  readonly data: TensorData
}

/** A message: the full name of a protobuf message, its bytes, and tensors by name. */
export interface Message {
  readonly kind: string
  readonly body: Uint8Array
  readonly tensors: ReadonlyMap<string, Tensor>
}

const TYPES = {
  uint8: { code: ElementType.ELEMENT_TYPE_UINT8, array: Uint8Array },
  int16: { code: ElementType.ELEMENT_TYPE_INT16, array: Int16Array },
  int32: { code: ElementType.ELEMENT_TYPE_INT32, array: Int32Array },
  float32: { code: ElementType.ELEMENT_TYPE_FLOAT32, array: Float32Array },
  float64: { code: ElementType.ELEMENT_TYPE_FLOAT64, array: Float64Array },
} as const satisfies Record<ElementTypeName, unknown>

/**
 * Encode a message as parts for ZeroMQ: its envelope, then the bytes of its tensors in chunks. Tensors are
 * not copied: the parts are views of them, so they must stay unchanged until the message is received.
 * @param sequence number of messages that this sender has sent to this receiver before
 * @throws UsageError that names the tensor whose data does not match its shape or type, or the exceeded limit
 */
export function encodeMessage(message: Message, sequence: number): Buffer[] {
  const chunks: Buffer[] = []
  const headers: TensorHeader[] = []
  if (message.tensors.size > MAX_TENSORS)
    throw unsendable(`too many tensors (expected at most ${MAX_TENSORS}, found ${message.tensors.size})`)
  for (const [name, tensor] of message.tensors) {
    const bytes = checkedData(name, tensor)
    const own = chunksOf(tensor.data)
    chunks.push(...own)
    headers.push({
      name,
      elementType: TYPES[tensor.elementType].code,
      shape: [...tensor.shape],
      bytes: BigInt(bytes),
      frames: own.length,
    })
  }
  checkTotal(headers, unsendable)
  const envelope = Envelope.encode({
    protocol: PROTOCOL,
    sequence: BigInt(sequence),
    kind: message.kind,
    body: viewOf(message.body),
    tensors: headers,
  }).finish()
  if (envelope.byteLength > MAX_FRAME_BYTES)
    throw unsendable(
      `envelope of ${message.kind} too large (expected at most ${MAX_FRAME_BYTES} bytes, found ${envelope.byteLength})`,
    )
  return [viewOf(envelope), ...chunks]
}

/**
 * Decode received parts into a message and its sequence number. Everything is checked against the envelope
 * before memory is allocated. A tensor of one aligned part is a view of it; any other tensor is copied once.
 * @throws RuntimeCrashError that names the expected and the found value
 */
export function decodeMessage(frames: readonly Uint8Array[]): { message: Message; sequence: number } {
  const envelope = decodeEnvelope(frames[0])
  if (envelope.protocol !== PROTOCOL)
    throw malformed(`wrong protocol (expected ${PROTOCOL}, found ${envelope.protocol})`)
  if (envelope.tensors.length > MAX_TENSORS)
    throw malformed(`too many tensors (expected at most ${MAX_TENSORS}, found ${envelope.tensors.length})`)
  checkTotal(envelope.tensors, malformed)
  const tensors = new Map<string, Tensor>()
  let next = 1
  for (const header of envelope.tensors) {
    if (tensors.has(header.name)) throw malformed(`duplicate tensor ${header.name}`)
    const elementType = checkedHeader(header)
    const parts = frames.slice(next, next + header.frames)
    next += header.frames
    checkParts(header, parts)
    tensors.set(header.name, { elementType, shape: header.shape, data: asArray(elementType, parts) })
  }
  if (next !== frames.length) throw malformed(`too many parts (expected ${next}, found ${frames.length})`)
  return {
    message: { kind: envelope.kind, body: envelope.body, tensors },
    sequence: Number(envelope.sequence),
  }
}

/** Return the bytes of the tensor, after checking its data against shape and type. */
function checkedData(name: string, { elementType, shape, data }: Tensor): number {
  const bytes = checkedBytes(name, elementType, shape, unsendable)
  if (!(data instanceof TYPES[elementType].array))
    throw unsendable(`tensor ${name}: wrong type (expected ${elementType}, found ${data.constructor.name})`)
  if (data.byteLength !== bytes)
    throw unsendable(
      `tensor ${name}: wrong length (expected shape ${shape.join('x')}, found ${data.length} elements)`,
    )
  return bytes
}

function chunksOf({ buffer, byteOffset, byteLength }: TensorData): Buffer[] {
  const chunks: Buffer[] = []
  const size = byteLength <= MAX_FRAME_BYTES ? byteLength : CHUNK_BYTES
  for (let at = 0; at < byteLength; at += size)
    chunks.push(Buffer.from(buffer, byteOffset + at, Math.min(size, byteLength - at)))
  return chunks
}

function decodeEnvelope(frame: Uint8Array | undefined): Envelope {
  if (frame === undefined) throw malformed('no parts')
  if (frame.byteLength > MAX_FRAME_BYTES)
    throw malformed(
      `envelope too large (expected at most ${MAX_FRAME_BYTES} bytes, found ${frame.byteLength})`,
    )
  try {
    return Envelope.decode(frame)
  } catch (error) {
    throw malformed(`the first part is not an envelope (${error instanceof Error ? error.message : error})`)
  }
}

function checkedHeader({ name, elementType: code, shape, bytes: stated }: TensorHeader): ElementTypeName {
  const type = (Object.keys(TYPES) as ElementTypeName[]).find((known) => TYPES[known].code === code)
  if (type === undefined) throw malformed(`tensor ${name}: unknown element type ${code}`)
  const bytes = checkedBytes(name, type, shape, malformed)
  if (BigInt(bytes) !== stated)
    throw malformed(
      `tensor ${name}: wrong size (expected ${bytes} bytes for shape ${shape.join('x')} of ${type}, found ${stated})`,
    )
  return type
}

function checkParts({ name, bytes, frames }: TensorHeader, parts: readonly Uint8Array[]): void {
  const came = parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (parts.length !== frames || BigInt(came) !== bytes)
    throw malformed(
      `tensor ${name}: wrong size (expected ${bytes} bytes in ${frames} parts, found ${came} in ${parts.length})`,
    )
  const wrong = parts.find((part) => part.byteLength === 0 || part.byteLength > MAX_FRAME_BYTES)
  if (wrong)
    throw malformed(
      `tensor ${name}: wrong part (expected 1 to ${MAX_FRAME_BYTES} bytes, found ${wrong.byteLength})`,
    )
}

type Refuse = (what: string) => FreetumorError

function checkedBytes(name: string, type: ElementTypeName, shape: readonly number[], refuse: Refuse): number {
  if (shape.length > MAX_DIMENSIONS)
    throw refuse(
      `tensor ${name}: too many dimensions (expected at most ${MAX_DIMENSIONS}, found ${shape.length})`,
    )
  if (!shape.every((side) => Number.isSafeInteger(side) && side >= 0))
    throw refuse(`tensor ${name}: wrong shape (expected integers of at least 0, found ${shape.join('x')})`)
  const size = TYPES[type].array.BYTES_PER_ELEMENT
  // the strides of an empty tensor must be representable, so its other sides count
  const span = shape.reduce((product, side) => product * Math.max(side, 1), size)
  if (span > MAX_TENSOR_BYTES)
    throw refuse(
      `tensor ${name}: too large (expected at most ${MAX_TENSOR_BYTES} bytes, found ${span} for shape ${shape.join('x')})`,
    )
  return shape.includes(0) ? 0 : span
}

function checkTotal(headers: readonly TensorHeader[], refuse: Refuse): void {
  const total = headers.reduce((sum, { bytes }) => sum + bytes, 0n)
  if (total > MAX_MESSAGE_BYTES)
    throw refuse(`message too large (expected at most ${MAX_MESSAGE_BYTES} bytes, found ${total})`)
}

function asArray(type: ElementTypeName, parts: readonly Uint8Array[]): TensorData {
  const { array: TypedArray } = TYPES[type]
  const only = parts.length === 1 ? parts[0]! : null
  if (only && only.byteOffset % TypedArray.BYTES_PER_ELEMENT === 0)
    return new TypedArray(
      only.buffer as ArrayBuffer,
      only.byteOffset,
      only.byteLength / TypedArray.BYTES_PER_ELEMENT,
    )
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return new TypedArray(whole.buffer)
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function unsendable(what: string): UsageError {
  return new UsageError(`message cannot be sent: ${what}`, {
    hint: 'send smaller tensors whose data match their shape and type',
  })
}

function malformed(what: string): RuntimeCrashError {
  return new RuntimeCrashError(`malformed message: ${what}`, {
    hint: 'run `freetumor setup` again: the TypeScript and Python versions may differ',
  })
}
