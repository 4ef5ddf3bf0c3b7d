import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Feed, type Sent } from '../../src/tracking/feed.js'
import { otlpTracker } from '../../src/tracking/otlp.js'
import { TrackingState } from '../../src/tracking/state.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { finished, started, steps, writeEvents } from './run-events.js'

/** Steps of the points in each request to an OTLP receiver, which gives these answers in turn, and then accepts all. */
async function receiver(...answers: ((response: ServerResponse) => void)[]) {
  const requests: number[][] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const { metrics } = JSON.parse(text).resourceMetrics[0].scopeMetrics[0]
    const gauge = metrics.find(({ name }: { name: string }) => name === 'freetumor.step')
    requests.push(gauge.gauge.dataPoints.map(({ asDouble }: { asDouble: number }) => asDouble))
    const answer = answers[requests.length - 1]
    if (answer === undefined) response.end('{}')
    else answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

/** An answer with a status. */
const refusal =
  (status: number, headers: Record<string, string> = {}, message = 'refused') =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end(JSON.stringify({ message }))

/** Start a feed whose pauses are listed and pass at once. */
async function feedTo(url: string, folder = temporaryFolder()) {
  const notes: string[] = []
  const pauses: number[] = []
  const facts = { version: '0.2.0', seed: 7, name: null, config: null }
  const feed = new Feed(
    folder,
    otlpTracker(url, facts, () => {}, {}),
    await TrackingState.open(folder),
    {
      note: (text) => void notes.push(text),
      pause: (milliseconds) => {
        pauses.push(milliseconds)
        return new Promise((resolve) => setImmediate(resolve))
      },
    },
  )
  return { folder, feed, notes, pauses }
}

/** Write the steps 0 to 1 and, when a receiver got them, the steps 2 to 3; return the result. */
async function inTwoRequests(url: string, requests: number[][]): Promise<{ result: Sent; notes: string[] }> {
  const folder = temporaryFolder()
  writeEvents(folder, [started(), ...steps(0, 2), started(2)])
  const { feed, notes } = await feedTo(url, folder)
  await until(() => requests.length > 0)
  writeEvents(folder, [started(), ...steps(0, 2), started(2), ...steps(2, 4), finished(4)])
  return { result: await feed.end('completed'), notes }
}

describe('a feed to an OTLP receiver', () => {
  it.each([400, 401, 404, 413, 500, 501])('sends no points again after an answer %i', async (status) => {
    const { url, requests } = await receiver(refusal(status))
    const { result, notes } = await inTwoRequests(url, requests)
    expect(requests).toEqual([
      [0, 1],
      [2, 3],
    ])
    expect(result).toMatchObject({ step: 3, failure: null })
    expect(notes).toEqual([
      `otlp: ${url} answers ${status}: refused; these values are skipped, because they must not be sent again`,
    ])
  })

  it.each([429, 502, 503, 504])('sends points again after an answer %i', async (status) => {
    const { url, requests } = await receiver(refusal(status))
    const { result } = await inTwoRequests(url, requests)
    expect(requests.slice(0, 2).map(([first]) => first)).toEqual([0, 0])
    expect(new Set(requests.flat())).toEqual(new Set([0, 1, 2, 3]))
    expect(result).toMatchObject({ step: 3, failure: null })
  })

  it('that refuses all reports it once and keeps all values for a later process', async () => {
    const { url, requests } = await receiver(refusal(401), refusal(401))
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 2), started(2)])
    const first = await feedTo(url, folder)
    await until(() => requests.length > 0)
    writeEvents(folder, [started(), ...steps(0, 2), started(2), ...steps(2, 4), finished(4)])
    const refused = await first.feed.end('completed')
    expect(refused).toMatchObject({
      step: -1,
      values: 0,
      failure: { hint: expect.stringMatching(/^set OTEL_/) },
    })
    expect(first.notes).toHaveLength(1)
    const later = await feedTo(url, folder)
    expect(await later.feed.end('completed')).toMatchObject({ step: 3, failure: null })
    expect(requests.at(-1)).toEqual([0, 1, 2, 3])
  })

  it.each([
    ['120', 120_000],
    [new Date(Date.now() + 1e12).toUTCString(), 3_600_000],
    ['soon', 1000],
    ['0', 1000],
  ])('waits as Retry-After: %s demands', async (retryAfter, milliseconds) => {
    const { url, requests } = await receiver(refusal(503, { 'retry-after': retryAfter }))
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 2), started(2)])
    const { feed, pauses } = await feedTo(url, folder)
    await until(() => requests.length > 1)
    expect(pauses[0]).toBe(milliseconds)
    expect(await feed.end('completed')).toMatchObject({ step: 1, failure: null })
  })
})
