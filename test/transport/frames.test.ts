import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RuntimeCrashError, UsageError } from '../../src/errors.js'
import {
  type ElementType,
  Envelope,
  type TensorHeader,
} from '../../src/generated/freetumor/transport/v1/tensor.js'
import {
  CHUNK_BYTES,
  decodeMessage,
  encodeMessage,
  MAX_FRAME_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_TENSOR_BYTES,
  MAX_TENSORS,
  type Tensor,
} from '../../src/transport/frames.js'
import { anyMessage, counted, messageOf, tensor, told } from './messages.js'

/** A message of one int16 tensor whose envelope was tampered with. */
function tampered(change: (envelope: Envelope, header: TensorHeader) => void): Buffer[] {
  const frames = encodeMessage(messageOf({ scan: counted('int16', [2, 3]) }), 0)
  const envelope = Envelope.decode(frames[0]!)
  change(envelope, envelope.tensors[0]!)
  return [Buffer.from(Envelope.encode(envelope).finish()), ...frames.slice(1)]
}

describe('encodeMessage', () => {
  it('sends views of the tensors, not copies', () => {
    const scan = counted('int16', [4, 5])
    const [, frame] = encodeMessage(messageOf({ scan }), 0)
    expect(frame!.buffer).toBe(scan.data.buffer)
  })

  it('sends a part of a larger buffer as that part', () => {
    const large = Int16Array.from([9, 1, 2, 3, 9])
    const part: Tensor = { elementType: 'int16', shape: [3], data: large.subarray(1, 4) }
    expect([...encodeMessage(messageOf({ part }), 0)[1]!]).toEqual([1, 0, 2, 0, 3, 0])
  })

  it('splits a tensor above 16 MiB into parts of 4 MiB', () => {
    const long = counted('uint8', [MAX_FRAME_BYTES + 5])
    const sizes = encodeMessage(messageOf({ long }), 0).map((frame) => frame.byteLength)
    expect(sizes.slice(1)).toEqual([CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 5])
  })

  it.each<[string, Tensor, RegExp]>([
    [
      'of another length than its shape',
      tensor('uint8', [2, 2], [1, 2, 3]),
      /bad: .*expected shape 2x2, found 3 elements/,
    ],
    [
      'of another type than stated',
      { ...counted('uint8', [2]), elementType: 'int16' },
      /bad: .*expected int16, found Uint8Array/,
    ],
    [
      'of nine dimensions',
      counted('uint8', [1, 1, 1, 1, 1, 1, 1, 1, 1]),
      /bad: too many dimensions .*found 9/,
    ],
    [
      'of a negative side',
      { elementType: 'uint8', shape: [-1], data: new Uint8Array(0) },
      /bad: wrong shape .*found -1/,
    ],
    [
      'of a broken side',
      { elementType: 'uint8', shape: [0.5, 2], data: new Uint8Array(1) },
      /bad: wrong shape .*found 0.5x2/,
    ],
    [
      'above the limit',
      { elementType: 'int16', shape: [2 ** 31], data: new Int16Array(0) },
      /bad: too large/,
    ],
  ])('refuses a tensor %s', (_what, bad, words) => {
    const send = () => encodeMessage(messageOf({ bad }), 0)
    expect(send).toThrow(UsageError)
    expect(send).toThrow(words)
  })

  it('refuses an envelope that the library would drop silently', () => {
    const body = Buffer.alloc(MAX_FRAME_BYTES)
    expect(() => encodeMessage({ kind: 'test.v1.Long', body, tensors: new Map() }, 0)).toThrow(
      /envelope of test.v1.Long too large \(expected at most 16777216 bytes, found \d+\)/,
    )
  })

  it('refuses more tensors than the other side accepts', () => {
    const one = counted('uint8', [1])
    const many = Object.fromEntries(Array.from({ length: MAX_TENSORS + 1 }, (_, at) => [`t${at}`, one]))
    expect(() => encodeMessage(messageOf(many), 0)).toThrow(/too many tensors .*found 4097/)
  })
})

describe('decodeMessage', () => {
  it('returns any message and its sequence number', () => {
    fc.assert(
      fc.property(anyMessage, fc.maxSafeNat(), (message, sequence) => {
        const back = decodeMessage(encodeMessage(message, sequence))
        expect(told(back.message)).toEqual(told(message))
        expect(back.sequence).toBe(sequence)
      }),
    )
  })

  it('joins the parts of a long tensor', () => {
    const long = counted('int32', [3, MAX_FRAME_BYTES / 8])
    const { message } = decodeMessage(encodeMessage(messageOf({ long }), 0))
    expect(message.tensors.get('long')!.shape).toEqual(long.shape)
    expect(Buffer.from(message.tensors.get('long')!.data.buffer).equals(Buffer.from(long.data.buffer))).toBe(
      true,
    )
  })

  it('views an aligned part, and copies one that is not aligned', () => {
    const [envelope] = encodeMessage(messageOf({ scan: counted('int16', [3]) }), 0)
    const memory = new Uint8Array([7, 0, 1, 0, 2, 0, 3])
    const at = (offset: number) => {
      const { message } = decodeMessage([envelope!, memory.subarray(offset, offset + 6)])
      return message.tensors.get('scan')!.data
    }
    expect(at(0).buffer).toBe(memory.buffer)
    expect([...at(0)]).toEqual([7, 1, 2])
    expect([...at(1)]).toEqual([256, 512, 768])
    expect(at(1).buffer).not.toBe(memory.buffer)
  })

  it.each<[string, Buffer[], RegExp]>([
    ['without a part', [], /no parts/],
    ['whose first part is not an envelope', [Buffer.from([0x0f])], /the first part is not an envelope/],
    [
      'of another protocol',
      tampered((envelope) => {
        envelope.protocol = 2
      }),
      /wrong protocol .expected 1, found 2/,
    ],
    [
      'of an unknown element type',
      tampered((_, header) => {
        header.elementType = 99 as ElementType
      }),
      /scan: unknown element type 99/,
    ],
    [
      'whose header states wrong bytes',
      tampered((_, header) => {
        header.bytes = 13n
      }),
      /scan: wrong size .expected 12 bytes for shape 2x3 of int16, found 13/,
    ],
    [
      'whose tensor is truncated',
      tampered((_, header) => {
        header.shape = [2, 4]
        header.bytes = 16n
      }),
      /scan: wrong size .expected 16 bytes in 1 parts, found 12 in 1/,
    ],
    [
      'with a missing part',
      tampered((_, header) => {
        header.frames = 2
      }),
      /scan: wrong size .expected 12 bytes in 2 parts, found 12 in 1/,
    ],
    ['with an additional part', [...tampered(() => {}), Buffer.from('x')], /too many parts/],
    [
      'with an empty part',
      [
        ...tampered((_, header) => {
          header.frames = 2
        }),
        Buffer.alloc(0),
      ],
      /scan: wrong part .*found 0/,
    ],
    [
      'with the same name twice',
      tampered((envelope, header) => {
        envelope.tensors.push(header)
      }),
      /duplicate tensor scan/,
    ],
    [
      'of nine dimensions',
      tampered((_, header) => {
        header.shape = [2, 3, 1, 1, 1, 1, 1, 1, 1]
      }),
      /scan: too many dimensions .*found 9/,
    ],
    [
      'of a huge tensor',
      tampered((_, header) => {
        header.shape = [2 ** 31, 3]
      }),
      new RegExp(`scan: too large .expected at most ${MAX_TENSOR_BYTES}`),
    ],
    [
      'of an empty tensor with huge sides',
      tampered((_, header) => {
        header.shape = [0, 2 ** 31, 2 ** 31]
      }),
      /scan: too large/,
    ],
    [
      'of huge tensors together',
      tampered((envelope) => {
        const huge = { name: '', elementType: 1, shape: [2 ** 31], bytes: 2n ** 31n, frames: 0 }
        envelope.tensors = ['a', 'b', 'c'].map((name) => ({ ...huge, name }))
      }),
      new RegExp(`message too large .expected at most ${MAX_MESSAGE_BYTES}`),
    ],
    [
      'of too many tensors',
      tampered((envelope, header) => {
        envelope.tensors = Array(MAX_TENSORS + 1).fill(header)
      }),
      /too many tensors .*found 4097/,
    ],
    [
      'whose envelope is longer than a part',
      [Buffer.alloc(MAX_FRAME_BYTES + 1)],
      /envelope too large .*found 16777217/,
    ],
  ])('refuses a message %s', (_what, frames, words) => {
    const read = () => decodeMessage(frames)
    expect(read).toThrow(RuntimeCrashError)
    expect(read).toThrow(words)
  })

  it('answers any damage with a message or with its own error, never with another', () => {
    const damaged = fc
      .tuple(anyMessage, fc.infiniteStream(fc.nat()), fc.integer({ min: 1, max: 8 }))
      .map(([message, numbers, count]) => {
        const frames = encodeMessage(message, 3).map((frame) => Buffer.from(frame))
        const draw = (below: number) => (numbers.next().value as number) % below
        for (let n = 0; n < count; n++) damage(frames, draw)
        return frames
      })
    const hostile = fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 4 })
    fc.assert(
      fc.property(fc.oneof(damaged, hostile), (frames) => {
        try {
          const { message } = decodeMessage(frames)
          for (const { shape, data } of message.tensors.values())
            expect(data.length).toBe(shape.reduce((product, side) => product * side, 1))
        } catch (error) {
          expect(error).toBeInstanceOf(RuntimeCrashError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

/** Changes a byte, cuts a frame, drops one, or doubles one. */
function damage(frames: Buffer[], draw: (below: number) => number): void {
  const at = draw(Math.max(frames.length, 1))
  const frame = frames[at]
  if (!frame) return
  const ways = [
    () => {
      if (frame.length) frame[draw(frame.length)] = draw(256)
    },
    () => {
      frames[at] = frame.subarray(0, draw(frame.length + 1))
    },
    () => {
      frames.splice(at, 1)
    },
    () => {
      frames.splice(at, 0, frame)
    },
  ]
  ways[draw(ways.length)]!()
}
