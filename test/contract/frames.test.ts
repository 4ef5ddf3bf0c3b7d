import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as frames from '../../src/transport/frames.js'
import { runPython } from '../helpers/python.js'
import { anyMessage, counted, messageOf, tensor, told } from '../transport/messages.js'

interface Golden {
  readonly what: string
  readonly sequence: number
  readonly kind: string
  /** Hexadecimal, as the frames. */
  readonly body: string
  readonly tensors: readonly {
    readonly name: string
    readonly elementType: frames.ElementTypeName
    readonly shape: number[]
    readonly values: number[]
  }[]
  readonly frames: readonly string[]
}

const SCRIPT = 'test/contract/frames_by_python.py'
const goldens: Golden[] = JSON.parse(readFileSync(new URL('golden-frames.json', import.meta.url), 'utf8'))

function messageIn({ kind, body, tensors }: Golden): frames.Message {
  const named = tensors.map(
    ({ name, elementType, shape, values }) => [name, tensor(elementType, shape, values)] as const,
  )
  return { kind, body: Buffer.from(body, 'hex'), tensors: new Map(named) }
}

// Frames that were written once: when one of these fails, the wire has changed, and PROTOCOL must, too.
describe.each(goldens)('golden messages: $what', (golden) => {
  it('equal the messages of TypeScript, byte for byte', () => {
    const sent = frames.encodeMessage(messageIn(golden), golden.sequence)
    expect(sent.map((frame) => frame.toString('hex'))).toEqual(golden.frames)
  })

  it('are decoded by TypeScript', () => {
    const { message, sequence } = frames.decodeMessage(
      golden.frames.map((frame) => Buffer.from(frame, 'hex')),
    )
    expect(told(message)).toEqual(told(messageIn(golden)))
    expect(sequence).toBe(golden.sequence)
  })
})

describe('Python', () => {
  const long = messageOf({ long: counted('int16', [3, frames.MAX_FRAME_BYTES / 4 + 1]) })
  const messages = [long, ...fc.sample(anyMessage, { seed: 11, numRuns: 200 })]
  const lines = messages.map((message, at) =>
    JSON.stringify(frames.encodeMessage(message, at).map((frame) => frame.toString('base64'))),
  )
  const [constants, pythonGoldens, ...answers] = runPython(SCRIPT, lines.join('\n')).trim().split('\n')

  it('sends the same golden messages', () => {
    expect(JSON.parse(pythonGoldens!)).toEqual(goldens)
  })

  it('has the same protocol and the same limits', () => {
    const { encodeMessage, decodeMessage, ...expected } = frames
    expect(JSON.parse(constants!)).toEqual(expected)
  })

  it('decodes any message and returns it', () => {
    expect(answers).toHaveLength(messages.length)
    for (const [at, answer] of answers.entries()) {
      const back = frames.decodeMessage(
        JSON.parse(answer).map((frame: string) => Buffer.from(frame, 'base64')),
      )
      expect(back.sequence).toBe(at + 1)
      expect(sameMessage(back.message, messages[at]!), `message ${at}`).toBe(true)
    }
  })
})

/** Compares bytes, not numbers: a long tensor has millions. */
function sameMessage(one: frames.Message, other: frames.Message): boolean {
  const bytes = ({ data }: frames.Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const header = (message: frames.Message) =>
    JSON.stringify([
      message.kind,
      [...message.body],
      [...message.tensors].map(([name, { elementType, shape }]) => [name, elementType, shape]),
    ])
  return (
    header(one) === header(other) &&
    [...one.tensors].every(([name, here]) => bytes(here).equals(bytes(other.tensors.get(name)!)))
  )
}
