import { z } from 'zod'
import { Call, CallResult } from '../generated/freetumor/runtime/v1/calls.js'
import type { PaintAnswer, PaintCall, SegmentAnswer, SegmentCall } from '../pipeline/ports/serving.js'
import type { AttemptMeasures } from '../pipeline/ports/synthesis.js'
import type { Message, Tensor, TensorData } from '../transport/frames.js'
import { tumorMessage } from './feed-service.js'
import { protocolBroken } from './job-errors.js'

const PACKAGE = 'freetumor.runtime.v1.'
export const CALL_REQUEST = `${PACKAGE}CallRequest`
export const CALL_RESULT = `${PACKAGE}CallResult`

export function toSegmentMessage(id: number, { image, shape, affine, logits }: SegmentCall): Message {
  const body = Call.encode(
    Call.fromPartial({
      id: BigInt(id),
      imageTensor: 'image',
      affine: affine === null ? [] : [...affine],
      work: { $case: 'segment', value: { logits } },
    }),
  ).finish()
  return { kind: `${PACKAGE}Call`, body, tensors: new Map([['image', tensorOf(image, shape)]]) }
}

export function toPaintMessage(id: number, { image, label, shape, tumor, windowed }: PaintCall): Message {
  const tensors = new Map([
    ['image', tensorOf(image, shape)],
    ['label', tensorOf(label, shape)],
  ])
  const tumors = [tumorMessage(tumor, 'shape', tensors)]
  const body = Call.encode(
    Call.fromPartial({
      id: BigInt(id),
      imageTensor: 'image',
      labelTensor: 'label',
      work: { $case: 'synthesize', value: { tumors, windowed } },
    }),
  ).finish()
  return { kind: `${PACKAGE}Call`, body, tensors }
}

/** Answer of the runtime to a call: a result, or the reason for none. */
export interface Answer {
  readonly id: number
  readonly refusal: { readonly kind: string; readonly message: string; readonly hint: string } | null
  readonly networkSeconds: number
  readonly measures: readonly AttemptMeasures[]
  readonly tensors: ReadonlyMap<string, Tensor>
}

export function toAnswer(message: Message): Answer {
  const { id, refusal, networkSeconds, measures } = CallResult.decode(message.body)
  return {
    id: Number(id),
    refusal: refusal ?? null,
    networkSeconds,
    measures: measures.map((one) => ({
      tumor: one.tumor,
      syntheticVoxels: Number(one.syntheticVoxels),
      seenVoxels: Number(one.seenVoxels),
      alreadySeenVoxels: Number(one.alreadySeenVoxels),
      contrast: one.contrast,
      more: one.more,
    })),
    tensors: message.tensors,
  }
}

export function toSegmentAnswer({ shape, logits }: SegmentCall, answer: Answer): SegmentAnswer {
  return {
    labels: bytes(answer, 'labels', shape),
    logits: logits ? (data(answer, 'logits', z.instanceof(Float32Array)) as Float32Array) : null,
    networkSeconds: answer.networkSeconds,
  }
}

export function toPaintAnswer({ shape, windowed }: PaintCall, answer: Answer): PaintAnswer {
  const [measures] = answer.measures
  if (measures === undefined) throw protocolBroken('the runtime sent a painted tumor without measures')
  const kind = windowed ? z.instanceof(Float32Array) : z.instanceof(Int16Array)
  return {
    image: data(answer, 'image', kind, shape) as Int16Array | Float32Array,
    label: bytes(answer, 'label', shape),
    change: bytes(answer, 'change', shape),
    measures,
    networkSeconds: answer.networkSeconds,
  }
}

function bytes(answer: Answer, name: string, shape: readonly number[]): Uint8Array {
  return data(answer, name, z.instanceof(Uint8Array), shape) as Uint8Array
}

function data(answer: Answer, name: string, kind: z.ZodType, shape?: readonly number[]): TensorData {
  const tensor = answer.tensors.get(name)
  const fits = shape === undefined || tensor?.shape.join() === shape.join()
  if (tensor === undefined || !fits || !kind.safeParse(tensor.data).success)
    throw protocolBroken(
      `the runtime sent a wrong tensor ${name} (found ${tensor ? `${tensor.elementType} [${tensor.shape}]` : 'none'})`,
    )
  return tensor.data
}

function tensorOf(values: Int16Array | Uint8Array | Float32Array, shape: readonly number[]): Tensor {
  const elementType =
    values instanceof Int16Array ? 'int16' : values instanceof Uint8Array ? 'uint8' : 'float32'
  return { elementType, shape, data: values }
}
