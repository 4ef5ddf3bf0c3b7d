import { RuntimeCrashError } from '../errors.js'
import { ElementType, Envelope } from '../generated/freetumor/transport/v1/tensor.js'

/** Wire version of envelopes and of the control stream; both sides refuse another one. */
export const PROTOCOL = 1

/** A tensor longer than this travels in several frames: one huge message is slower than its chunks. */
const CHUNK_BYTES = 4 << 20
const MAX_TENSORS = 4096
const MAX_DIMENSIONS = 8
/** Refused before anything is allocated. */
const MAX_TENSOR_BYTES = 2 ** 31

export type ElementTypeName = 'uint8' | 'int16' | 'int32' | 'float32' | 'float64'
export type TensorData = Uint8Array | Int16Array | Int32Array | Float32Array | Float64Array

/** A named tensor's content: C order, little-endian. */
export interface Tensor {
  readonly elementType: ElementTypeName
  readonly shape: readonly number[]
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
 * The ZeroMQ frames of a message: its envelope, then the bytes of its tensors in chunks. Nothing is copied: the frames look
 * into the tensors, which must stay unchanged until the message has been received.
 */
export function encodeMessage(message: Message, sequence: number): Buffer[] {
  const frames: Buffer[] = []
  const tensors = [...message.tensors].map(([name, tensor]) => {
    const { buffer, byteOffset, byteLength } = tensor.data
    if (tensor.data.length !== elements(tensor.shape))
      throw new RuntimeCrashError(
        `tensor ${name}: shape ${tensor.shape.join('x')} does not fit ${tensor.data.length} elements`,
      )
    let chunks = 0
    for (let at = 0; at < byteLength; at += CHUNK_BYTES, chunks++)
      frames.push(Buffer.from(buffer, byteOffset + at, Math.min(CHUNK_BYTES, byteLength - at)))
    return {
      name,
      elementType: TYPES[tensor.elementType].code,
      shape: [...tensor.shape],
      bytes: BigInt(byteLength),
      frames: chunks,
    }
  })
  const envelope = Envelope.encode({
    protocol: PROTOCOL,
    sequence: BigInt(sequence),
    kind: message.kind,
    body: Buffer.from(message.body),
    tensors,
  }).finish()
  return [Buffer.from(envelope.buffer, envelope.byteOffset, envelope.byteLength), ...frames]
}

/**
 * The message of received frames. Every length is checked against the envelope before memory is taken; a tensor of one
 * aligned frame is a view of it, any other is copied once.
 * @throws RuntimeCrashError that says what was expected and what came
 */
export function decodeMessage(frames: readonly Uint8Array[]): { message: Message; sequence: number } {
  const envelope = decodeEnvelope(frames[0])
  if (envelope.protocol !== PROTOCOL)
    throw malformed(`protocol ${PROTOCOL} was expected, the other side speaks ${envelope.protocol}`)
  if (envelope.tensors.length > MAX_TENSORS)
    throw malformed(`${envelope.tensors.length} tensors in one message`)
  const tensors = new Map<string, Tensor>()
  let next = 1
  for (const header of envelope.tensors) {
    const elementType = (Object.keys(TYPES) as ElementTypeName[]).find(
      (name) => TYPES[name].code === header.elementType,
    )
    if (elementType === undefined) throw malformed(`tensor ${header.name}: unknown element type`)
    if (tensors.has(header.name)) throw malformed(`tensor ${header.name} comes twice`)
    const bytes = checkedBytes(header.name, elementType, header.shape, header.bytes)
    const parts = frames.slice(next, next + header.frames)
    const came = parts.reduce((sum, part) => sum + part.byteLength, 0)
    if (parts.length !== header.frames || came !== bytes)
      throw malformed(
        `tensor ${header.name}: ${bytes} bytes in ${header.frames} frames were announced, ${came} in ${parts.length} came`,
      )
    next += header.frames
    tensors.set(header.name, { elementType, shape: header.shape, data: asArray(elementType, parts, bytes) })
  }
  if (next !== frames.length) throw malformed(`${frames.length - next} frames too many`)
  return {
    message: { kind: envelope.kind, body: envelope.body, tensors },
    sequence: Number(envelope.sequence),
  }
}

function decodeEnvelope(frame: Uint8Array | undefined): Envelope {
  if (frame === undefined) throw malformed('no frame')
  try {
    return Envelope.decode(frame)
  } catch (error) {
    throw malformed(`the first frame is no envelope (${error instanceof Error ? error.message : error})`)
  }
}

function checkedBytes(name: string, type: ElementTypeName, shape: readonly number[], told: bigint): number {
  if (shape.length > MAX_DIMENSIONS) throw malformed(`tensor ${name}: ${shape.length} dimensions`)
  const bytes = elements(shape) * TYPES[type].array.BYTES_PER_ELEMENT
  if (bytes > MAX_TENSOR_BYTES)
    throw malformed(`tensor ${name}: ${bytes} bytes, the limit is ${MAX_TENSOR_BYTES}`)
  if (BigInt(bytes) !== told)
    throw malformed(
      `tensor ${name}: shape ${shape.join('x')} of ${type} is ${bytes} bytes, the header says ${told}`,
    )
  return bytes
}

function asArray(type: ElementTypeName, parts: readonly Uint8Array[], bytes: number): TensorData {
  const { array: TypedArray } = TYPES[type]
  const only = parts.length === 1 ? parts[0]! : null
  if (only && only.byteOffset % TypedArray.BYTES_PER_ELEMENT === 0)
    return new TypedArray(only.buffer as ArrayBuffer, only.byteOffset, bytes / TypedArray.BYTES_PER_ELEMENT)
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return new TypedArray(whole.buffer)
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1)
}

function malformed(what: string): RuntimeCrashError {
  return new RuntimeCrashError(`malformed message: ${what}`, {
    hint: 'the TypeScript and Python sides may be of different versions: run `freetumor setup` again',
  })
}
