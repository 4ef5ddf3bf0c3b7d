import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { otlpTracker } from '../../src/tracking/otlp.js'
import { started } from './run-events.js'

const never = new AbortController().signal
const FACTS = { version: '0.2.0', seed: 7, name: null, config: null }

interface Metrics {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: { stringValue: string } }[] }
    readonly scopeMetrics: readonly { readonly metrics: unknown }[]
  }[]
}

async function receiver(answer: unknown) {
  const requests: { url: string; headers: Record<string, unknown>; body: Metrics }[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    requests.push({ url: request.url!, headers: request.headers, body: JSON.parse(text) as Metrics })
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

describe('otlpTracker', () => {
  it('sends gauges with the times of their steps', async () => {
    const { url, requests } = await receiver({})
    const env = { OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20b, other=c' }
    const tracker = otlpTracker(url, FACTS, () => {}, env)
    await tracker.open({ id: 'the-id', run: null }, started(), never)
    const step = (number: number) => ({ step: number, timeMs: 1000 + number, values: { 'loss/total': 0.5 } })
    await tracker.send([step(0), step(1)], started(), never)
    expect(requests).toHaveLength(1)
    expect(requests[0]).toMatchObject({ url: '/v1/metrics', headers: { 'x-key': 'a b', other: 'c' } })
    const { resource, scopeMetrics } = requests[0]!.body.resourceMetrics[0]!
    expect(Object.fromEntries(resource.attributes.map((one) => [one.key, one.value.stringValue]))).toEqual({
      'service.name': 'freetumor',
      'service.version': '0.2.0',
      'service.instance.id': 'the-id',
      'freetumor.job': 'baseline',
      'freetumor.seed': '7',
      'freetumor.worldSize': '2',
      'freetumor.version.torch': '2.13.0',
    })
    expect(scopeMetrics[0]!.metrics).toEqual([
      {
        name: 'freetumor.step',
        gauge: {
          dataPoints: [
            { timeUnixNano: '1000000000', asDouble: 0 },
            { timeUnixNano: '1001000000', asDouble: 1 },
          ],
        },
      },
      {
        name: 'freetumor.loss.total',
        gauge: {
          dataPoints: [
            { timeUnixNano: '1000000000', asDouble: 0.5 },
            { timeUnixNano: '1001000000', asDouble: 0.5 },
          ],
        },
      },
    ])
  })

  /** Return the notes of two sendings to a receiver that always gives this answer. */
  const notesOf = async (answer: unknown) => {
    const { url, requests } = await receiver(answer)
    const notes: string[] = []
    const tracker = otlpTracker(url, FACTS, (text) => notes.push(text), {})
    for (let at = 0; at < 2; at++)
      await tracker.send([{ step: at, timeMs: at, values: { learningRate: 1 } }], started(), never)
    expect(requests).toHaveLength(2)
    return notes
  }

  it.each([
    [
      { rejectedDataPoints: '3', errorMessage: 'too\nold' },
      'rejects points, the first time 3 (too\\u000aold)',
    ],
    [{ rejectedDataPoints: 3 }, 'rejects points, the first time 3 (without a reason)'],
    [{ rejectedDataPoints: '0', errorMessage: 'use gzip' }, 'warns (use gzip)'],
    [{ errorMessage: 'use gzip' }, 'warns (use gzip)'],
  ])('notes the partial success %j once', async (partialSuccess, text) => {
    expect(await notesOf({ partialSuccess })).toEqual([`otlp: the receiver ${text}`])
  })

  it.each([[{}], [{ partialSuccess: null }], [{ partialSuccess: {} }], [{ keyOfALaterVersion: 1 }]])(
    'notes nothing for the full success %j',
    async (answer) => {
      expect(await notesOf(answer)).toEqual([])
    },
  )

  it.each([
    [[]],
    ['ok'],
    [1],
    [null],
    [{ partialSuccess: 'no' }],
    [{ partialSuccess: { rejectedDataPoints: 'x' } }],
  ])('does not count %j as an answer of the protocol', async (answer) => {
    await expect(notesOf(answer)).rejects.toThrow(
      /^otlp: http:\/\/127.* answers 200 without an answer of OTLP/,
    )
  })
})
