import fc from 'fast-check'
import type { ElementTypeName, Message, Tensor, TensorData } from '../../src/transport/frames.js'

const ARRAYS = {
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const

/** A tensor of given numbers. */
export function tensor(elementType: ElementTypeName, shape: number[], values: Iterable<number>): Tensor {
  return { elementType, shape, data: ARRAYS[elementType].from(values) as TensorData }
}

/** A message of some tensors whose kind and body do not matter. */
export function messageOf(tensors: Readonly<Record<string, Tensor>>): Message {
  return { kind: 'test.v1.Any', body: Buffer.from('body'), tensors: new Map(Object.entries(tensors)) }
}

/** Elements that tell places apart: 0, 1, 2 ... modulo 251. */
export function counted(elementType: ElementTypeName, shape: number[]): Tensor {
  const data = new ARRAYS[elementType](shape.reduce((product, side) => product * side, 1))
  for (let at = 0; at < data.length; at++) data[at] = at % 251
  return { elementType, shape, data }
}

/** What a message says, in values that compare: Buffers and typed arrays become lists of bytes and numbers. */
export function told({ kind, body, tensors }: Message): unknown {
  return {
    kind,
    body: [...body],
    tensors: [...tensors].map(([name, { elementType, shape, data }]) => ({
      name,
      elementType,
      shape: [...shape],
      array: data.constructor === Buffer ? 'Uint8Array' : data.constructor.name,
      values: [...data],
    })),
  }
}

const anyTensor: fc.Arbitrary<Tensor> = fc
  .record({
    elementType: fc.constantFrom(...(Object.keys(ARRAYS) as ElementTypeName[])),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(250),
  })
  .map(({ elementType, shape, seed }) => {
    const length = shape.reduce((product, side) => product * side, 1)
    return tensor(
      elementType,
      shape,
      Array.from({ length }, (_, at) => (at * 7 + seed) % 251),
    )
  })

/** Messages of a few small tensors of any type and shape, some of them empty. */
export const anyMessage: fc.Arbitrary<Message> = fc.record({
  kind: fc.string({ maxLength: 20 }),
  body: fc.uint8Array({ maxLength: 40 }),
  tensors: fc
    .dictionary(fc.string({ maxLength: 12 }), anyTensor, { maxKeys: 4 })
    .map((entries) => new Map(Object.entries(entries))),
})
