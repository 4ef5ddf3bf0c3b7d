import { appendFileSync, cpSync, readFileSync, renameSync, statSync, truncateSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createReaderStudy } from '../../../src/pipeline/readers/create.js'
import { readJournal } from '../../../src/readers/journal.js'
import { readerOrder } from '../../../src/readers/order.js'
import {
  ensureReaders,
  readStudy,
  readTruth,
  removeReader,
  type Truth,
  volumeBytes,
  volumeFile,
} from '../../../src/readers/study.js'
import type { ReaderSession } from '../../../src/studio/readers/messages.js'
import { openReaderServer, type ReaderServer } from '../../../src/studio/readers/server.js'
import { writeReaderSets } from '../../helpers/reader-sets.js'
import { keptFolder, temporaryFolder } from '../../helpers/temporary.js'

const kept = keptFolder()
const made = join(kept, 'study')
let truth: Truth

beforeAll(async () => {
  const sets = await writeReaderSets(kept, 12)
  await createReaderStudy({
    ...sets,
    out: made,
    cases: 14,
    repeats: 2,
    examples: 2,
    seed: 5,
    timeLimitSeconds: 60,
  })
  truth = await readTruth(made)
})

/** A copy of the study without its truth: the server has to work without it. */
function ownStudy(): string {
  const folder = temporaryFolder()
  const study = join(folder, 'study')
  cpSync(made, study, { recursive: true })
  renameSync(join(study, 'truth.json'), join(folder, 'truth.json'))
  return study
}

async function serve(study: string, readers: number | readonly string[] = 2): Promise<ReaderServer> {
  const server = await openReaderServer({ study, readers, pageFolder: kept })
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await server[Symbol.asyncDispose]()
    isOpen = false
  }
  onTestFinished(close)
  return { ...server, [Symbol.asyncDispose]: close }
}

interface Received {
  readonly status: number
  /** Names, order and values of all headers, as they came. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

function send(link: string, path: string, body?: unknown): Promise<Received> {
  const url = new URL(link)
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: url.hostname,
        port: url.port,
        path,
        method: text === undefined ? 'GET' : 'POST',
        headers: {
          authorization: `Bearer ${url.hash.slice('#token='.length)}`,
          ...(text !== undefined && { 'content-type': 'application/json' }),
        },
      },
      (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () =>
          resolve({ status: answer.statusCode!, headers: answer.rawHeaders, body: Buffer.concat(chunks) }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(text)
  })
}

const answerAt = (position: number) => ({
  ...{ position, answer: 'real', confidence: 3, clickMm: [1, 2, 3], seconds: 2 },
})

/** Return a response as text without the clock of the server and the voxels. */
function fingerprint({ status, headers, body }: Received, isVolume: boolean): string {
  const shown = headers.map((text, at) => (headers[at - 1]?.toLowerCase() === 'date' ? '' : text))
  return JSON.stringify([status, shown, body.length, isVolume ? '' : body.toString()])
}

describe('the server of a reader study', () => {
  test('sends no byte beyond the voxels that differs between real and synthetic cases', async () => {
    const study = ownStudy()
    const { readers, total } = await serve(study)
    const { url } = readers[0]!
    const facts = await readStudy(study)
    const order = readerOrder(facts, 1)
    const bySide: Record<'real' | 'synthetic', Set<string>> = { real: new Set(), synthetic: new Set() }
    const received: string[] = []
    for (let position = 1; position <= total; position++) {
      const volume = await send(url, `/api/cases/${position}/volume`)
      const started = await send(url, `/api/cases/${position}/start`, {})
      const recorded = await send(url, '/api/answers', answerAt(position))
      expect([volume.status, started.status, recorded.status]).toEqual([200, 200, 200])
      expect(volume.body.length).toBe(volumeBytes(facts))
      expect(JSON.parse(recorded.body.toString())).toEqual({ answered: position })
      // the number of answers is that of the page itself
      const counted = { ...recorded, body: Buffer.from(recorded.body.toString().replace(/\d+/, '00')) }
      const headers = counted.headers.map((text, at) =>
        recorded.headers[at - 1]?.toLowerCase() === 'content-length' ? '' : text,
      )
      const of = truth.cases.find((one) => one.case === order[position - 1]!.case)!
      bySide[of.truth].add(
        [
          fingerprint(volume, true),
          fingerprint(started, false),
          fingerprint({ ...counted, headers }, false),
        ].join(),
      )
      received.push(JSON.stringify([volume.headers, started, recorded.headers, recorded.body.toString()]))
    }
    expect(bySide.real.size).toBe(1)
    expect(bySide.synthetic).toEqual(bySide.real)
    for (const text of received)
      expect(text).not.toMatch(/real|synthetic|p_\d|host_|liver|etag|last-modified/i)
  })

  test('sends the truth of examples only, and each reader has another order', async () => {
    const { readers } = await serve(ownStudy())
    const session = JSON.parse((await send(readers[0]!.url, '/api/session')).body.toString()) as ReaderSession
    expect(session).toMatchObject({ reader: 'R01', total: 16, answered: 0, timeLimitSeconds: 60 })
    expect(session.examples.map((one) => one.truth).sort()).toEqual(['real', 'synthetic'])
    expect(Object.keys(session).sort()).toEqual(
      ['answered', 'examples', 'reader', 'shape', 'spacingMm', 'timeLimitSeconds', 'total'].sort(),
    )
    const study = await readStudy(made)
    for (const [at, { url }] of readers.entries()) {
      const { body } = await send(url, '/api/cases/1/volume')
      const { case: number } = readerOrder(study, at + 1)[0]!
      expect(body.equals(readFileSync(join(made, volumeFile('case', number))))).toBe(true)
    }
    expect(new Set(readers.map(({ url }) => url)).size).toBe(2)
  })

  test('keeps the truth in a private file, and out of all others', async () => {
    expect(statSync(join(made, 'truth.json')).mode & 0o777).toBe(0o600)
    const study = readFileSync(join(made, 'study.json'), 'utf8')
    for (const { patient, scan } of truth.cases) {
      expect(study).not.toContain(patient)
      expect(study).not.toContain(scan)
    }
    expect(new Set(truth.cases.map(({ patient }) => patient)).size).toBe(14)
  })

  test('resumes after a restart with the same links, and drops a line that was never acknowledged', async () => {
    const study = ownStudy()
    const server = await serve(study)
    const { url } = server.readers[0]!
    for (const position of [1, 2]) await send(url, '/api/answers', answerAt(position))
    await server[Symbol.asyncDispose]()
    const file = join(study, 'answers.jsonl')
    appendFileSync(file, '{"kind":"answer","time":"2026')
    const again = await serve(study, 2)
    expect(again.readers.map(({ id, answered }) => [id, answered])).toEqual([
      ['R01', 2],
      ['R02', 0],
    ])
    const link = again.readers[0]!.url
    expect(new URL(link).hash).toBe(new URL(url).hash)
    expect((await send(link, '/api/answers', answerAt(3))).status).toBe(200)
    const { lines, unfinished } = await readJournal(file)
    expect(lines.filter(({ kind }) => kind === 'answer').map(({ position }) => position)).toEqual([1, 2, 3])
    expect(unfinished).toBe(1)
  })

  test('records each place once: an equal answer is no second one, another one is refused', async () => {
    const study = ownStudy()
    const { readers } = await serve(study)
    const { url } = readers[0]!
    const both = await Promise.all([1, 2].map(() => send(url, '/api/answers', answerAt(1))))
    expect(both.map(({ status }) => status)).toEqual([200, 200])
    const other = await send(url, '/api/answers', { ...answerAt(1), answer: 'synthetic' })
    expect(other.status).toBe(409)
    expect((await send(url, '/api/answers', answerAt(3))).status).toBe(409)
    expect((await readJournal(join(study, 'answers.jsonl'))).lines).toHaveLength(1)
  })

  test('counts the time limit from the first showing, also after a reload', async () => {
    const study = ownStudy()
    await ensureReaders(study, 1)
    const time = new Date(Date.now() - 100_000).toISOString()
    const { case: number } = readerOrder(await readStudy(study), 1)[0]!
    const line = { kind: 'started', time, reader: 'R01', position: 1, case: number }
    appendFileSync(join(study, 'answers.jsonl'), `${JSON.stringify(line)}\n`)
    const { url } = (await serve(study)).readers[0]!
    const started = await send(url, '/api/cases/1/start', {})
    expect(JSON.parse(started.body.toString())).toEqual({ secondsLeft: 0 })
    await send(url, '/api/answers', answerAt(1))
    expect((await readJournal(join(study, 'answers.jsonl'))).lines.at(-1)).toMatchObject({ overTime: true })
  })

  test.each<[string, string, unknown, number]>([
    ['a case that is not the next one', '/api/cases/9/volume', undefined, 404],
    ['a case before the next one', '/api/cases/0/volume', undefined, 404],
    ['the start of a later case', '/api/cases/2/start', {}, 404],
    ['an example that is not there', '/api/examples/3/volume', undefined, 404],
    ['the truth', '/truth.json', undefined, 404],
    ['the truth by a path', '/api/cases/..%2f..%2ftruth.json/volume', undefined, 404],
    ['a confidence beyond 5', '/api/answers', { ...answerAt(1), confidence: 6 }, 400],
    ['an answer with another field', '/api/answers', { ...answerAt(1), case: 3 }, 400],
    ['a long answer', '/api/answers', { ...answerAt(1), text: 'x'.repeat(5000) }, 413],
  ])('refuses %s', async (_, path, body, status) => {
    const { readers } = await serve(ownStudy())
    expect((await send(readers[0]!.url, path, body)).status).toBe(status)
  })

  test('refuses a wrong token, and that of a deleted reader', async () => {
    const study = ownStudy()
    const { readers } = await serve(study)
    const { url } = readers[0]!
    expect((await send(`${url}x`, '/api/session')).status).toBe(401)
    expect((await send(url, '/api/session')).status).toBe(200)
    await removeReader(study, 'R01', false)
    expect((await send(url, '/api/session')).status).toBe(401)
    expect((await send(readers[1]!.url, '/api/session')).status).toBe(200)
  })

  test('refuses a study whose volumes differ in size', async () => {
    const study = ownStudy()
    truncateSync(join(study, 'volumes/case-0003.raw'), 100)
    await expect(openReaderServer({ study, readers: 1, pageFolder: kept })).rejects.toThrow(
      /case-0003.raw: wrong size \(expected \d+ bytes, found 100\)/,
    )
  })
})
