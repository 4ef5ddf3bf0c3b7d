import { type FreetumorError, RuntimeCrashError, UsageError } from '../errors.js'
import { ElementType, Envelope, type TensorHeader } from '../generated/freetumor/transport/v1/tensor.js'

/** Wire version of envelopes and of the control stream; both sides refuse another one. */
export const PROTOCOL = 1

/**
 * No frame is longer; the library drops one above its limit without a word. An envelope must fit into one. A tensor that
 * fits is one frame, which the receiver looks into; a longer one is cut into chunks that it puts together, since one huge
 * ZeroMQ message (measured: 157 MB) is slower than its chunks.
 */
export const MAX_FRAME_BYTES = 16 << 20
export const CHUNK_BYTES = 4 << 20
/** Refused by the sender, and by the receiver before it takes memory. The same figures stand in bridge/frames.py. */
export const MAX_TENSORS = 4096
export const MAX_DIMENSIONS = 8
export const MAX_TENSOR_BYTES = 2 ** 31
/** All tensors of a message. */
export const MAX_MESSAGE_BYTES = 2 ** 32

export type ElementTypeName = 'uint8' | 'int16' | 'int32' | 'float32' | 'float64'
export type TensorData = Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array

/** A named tensor's content: C order, little-endian. */
export interface Tensor {
  readonly elementType: ElementTypeName
  /** At most 8 sides; empty for a single number. */
  readonly shape: readonly number[]
  /** As many elements as the shape says, of the element type. May look into a larger or a shared buffer. */
  readonly data: TensorData
}

/** What travels: the full name of a protobuf message, its bytes, and tensors by name. */
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
 * The ZeroMQ frames of a message: its envelope, then the bytes of its tensors in chunks. Tensors are not copied: the frames
 * look into them, so they must stay unchanged until the message has been received.
 * @param sequence how many messages this sender has sent to this receiver before
 * @throws UsageError naming the tensor whose data does not fit its shape or type, or what is above a limit
 */
export function encodeMessage(message: Message, sequence: number): Buffer[] {
  const chunks: Buffer[] = []
  const headers: TensorHeader[] = []
  if (message.tensors.size > MAX_TENSORS)
    throw unsendable(`${message.tensors.size} tensors, the limit is ${MAX_TENSORS}`)
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
      `the envelope of ${message.kind} is ${envelope.byteLength} bytes, the limit is ${MAX_FRAME_BYTES}`,
    )
  return [viewOf(envelope), ...chunks]
}

/**
 * The message of received frames, and its sequence number. Everything is checked against the envelope before memory is
 * taken; a tensor of one aligned frame is a view of it, any other is copied once.
 * @throws RuntimeCrashError that says what was expected and what came
 */
export function decodeMessage(frames: readonly Uint8Array[]): { message: Message; sequence: number } {
  const envelope = decodeEnvelope(frames[0])
  if (envelope.protocol !== PROTOCOL)
    throw malformed(`protocol ${PROTOCOL} was expected, the other side speaks ${envelope.protocol}`)
  if (envelope.tensors.length > MAX_TENSORS)
    throw malformed(`${envelope.tensors.length} tensors, the limit is ${MAX_TENSORS}`)
  checkTotal(envelope.tensors, malformed)
  const tensors = new Map<string, Tensor>()
  let next = 1
  for (const header of envelope.tensors) {
    if (tensors.has(header.name)) throw malformed(`tensor ${header.name} comes twice`)
    const elementType = checkedHeader(header)
    const parts = frames.slice(next, next + header.frames)
    next += header.frames
    checkParts(header, parts)
    tensors.set(header.name, { elementType, shape: header.shape, data: asArray(elementType, parts) })
  }
  if (next !== frames.length) throw malformed(`${frames.length - next} frames too many`)
  return {
    message: { kind: envelope.kind, body: envelope.body, tensors },
    sequence: Number(envelope.sequence),
  }
}

/** Bytes of the tensor, whose data must be what its shape and type say. */
function checkedData(name: string, { elementType, shape, data }: Tensor): number {
  const bytes = checkedBytes(name, elementType, shape, unsendable)
  if (!(data instanceof TYPES[elementType].array))
    throw unsendable(`tensor ${name}: ${elementType} was expected, the data is of ${data.constructor.name}`)
  if (data.byteLength !== bytes)
    throw unsendable(`tensor ${name}: shape ${shape.join('x')} does not fit ${data.length} elements`)
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
  if (frame === undefined) throw malformed('it has no frame')
  if (frame.byteLength > MAX_FRAME_BYTES)
    throw malformed(`an envelope of ${frame.byteLength} bytes, the limit is ${MAX_FRAME_BYTES}`)
  try {
    return Envelope.decode(frame)
  } catch (error) {
    throw malformed(`the first frame is no envelope (${error instanceof Error ? error.message : error})`)
  }
}

function checkedHeader({ name, elementType: code, shape, bytes: announced }: TensorHeader): ElementTypeName {
  const type = (Object.keys(TYPES) as ElementTypeName[]).find((known) => TYPES[known].code === code)
  if (type === undefined) throw malformed(`tensor ${name}: unknown element type ${code}`)
  const bytes = checkedBytes(name, type, shape, malformed)
  if (BigInt(bytes) !== announced)
    throw malformed(
      `tensor ${name}: shape ${shape.join('x')} of ${type} is ${bytes} bytes, the header says ${announced}`,
    )
  return type
}

function checkParts({ name, bytes, frames }: TensorHeader, parts: readonly Uint8Array[]): void {
  const came = parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (parts.length !== frames || BigInt(came) !== bytes)
    throw malformed(
      `tensor ${name}: ${bytes} bytes in ${frames} frames were announced, ${came} in ${parts.length} came`,
    )
  const wrong = parts.find((part) => part.byteLength === 0 || part.byteLength > MAX_FRAME_BYTES)
  if (wrong)
    throw malformed(
      `tensor ${name}: a frame of ${wrong.byteLength} bytes; 1 to ${MAX_FRAME_BYTES} are allowed`,
    )
}

type Refuse = (what: string) => FreetumorError

function checkedBytes(name: string, type: ElementTypeName, shape: readonly number[], refuse: Refuse): number {
  if (shape.length > MAX_DIMENSIONS)
    throw refuse(`tensor ${name}: ${shape.length} dimensions, the limit is ${MAX_DIMENSIONS}`)
  if (!shape.every((side) => Number.isSafeInteger(side) && side >= 0))
    throw refuse(`tensor ${name}: shape ${shape.join('x')}`)
  const size = TYPES[type].array.BYTES_PER_ELEMENT
  // The strides of an empty tensor must be representable, too: its other sides count.
  const span = shape.reduce((product, side) => product * Math.max(side, 1), size)
  if (span > MAX_TENSOR_BYTES)
    throw refuse(
      `tensor ${name}: shape ${shape.join('x')} spans ${span} bytes, the limit is ${MAX_TENSOR_BYTES}`,
    )
  return shape.includes(0) ? 0 : span
}

function checkTotal(headers: readonly TensorHeader[], refuse: Refuse): void {
  const total = headers.reduce((sum, { bytes }) => sum + bytes, 0n)
  if (total > MAX_MESSAGE_BYTES)
    throw refuse(`its tensors have ${total} bytes, the limit is ${MAX_MESSAGE_BYTES}`)
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
  return new UsageError(`message cannot be sent: ${what}`)
}

function malformed(what: string): RuntimeCrashError {
  return new RuntimeCrashError(`malformed message: ${what}`, {
    hint: 'the TypeScript and Python sides may be of different versions: run `freetumor setup` again',
  })
}
