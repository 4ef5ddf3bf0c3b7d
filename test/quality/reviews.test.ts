import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataError, EnvironmentError } from '../../src/errors.js'
import {
  appendReview,
  decisionsOf,
  type ReviewLine,
  readReviewFile,
  readReviews,
  reviewsCsv,
} from '../../src/quality/reviews.js'
import { startNode } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const newFile = (): string => join(temporaryFolder(), 'reviews.jsonl')
const review = (change: Partial<ReviewLine> = {}): ReviewLine => ({
  time: '2026-01-02T03:04:05.678Z',
  reviewer: 'Ada',
  case: 'liver_1',
  variant: 0,
  tumor: 0,
  sha256: 'a'.repeat(64),
  decision: 'accept',
  reason: null,
  seconds: 1.5,
  version: '1.0.0',
  ...change,
})

describe('appendReview', () => {
  test('creates a private file with one line per decision', async () => {
    const file = newFile()
    await appendReview(file, review())
    await appendReview(file, review({ decision: 'undo', reason: 'größer\n"als"' }))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const lines = readFileSync(file, 'utf8').split('\n')
    expect(lines.slice(0, 2).map((line) => JSON.parse(line))).toEqual(await readReviews(file))
    expect(lines).toHaveLength(3)
  })

  test.each([1, 2, 40, 150])('blanks %i bytes that a killed writer left as the last line', async (bytes) => {
    const file = newFile()
    await appendReview(file, review({ tumor: 1 }))
    appendFileSync(file, JSON.stringify(review({ tumor: 2 })).slice(0, bytes))
    await appendReview(file, review({ tumor: 3 }))
    expect((await readReviews(file)).map(({ tumor }) => tumor)).toEqual([1, 3])
    for (const line of readFileSync(file, 'utf8').split('\n'))
      if (line.trim() !== '') expect(() => JSON.parse(line)).not.toThrow()
  })

  test('keeps the lines of many writers that append at once after a kill', async () => {
    const file = newFile()
    await appendReview(file, review({ reviewer: 'first' }))
    appendFileSync(file, '{"time":"2026-')
    const names = Array.from({ length: 60 }, (_, at) => `reviewer ${at}`)
    await Promise.all(names.map((reviewer) => appendReview(file, review({ reviewer }))))
    const found = (await readReviews(file)).map(({ reviewer }) => reviewer)
    expect(found.sort()).toEqual(['first', ...names].sort())
  })

  test('refuses an invalid line and writes nothing', async () => {
    const file = newFile()
    await appendReview(file, review())
    const before = readFileSync(file, 'utf8')
    for (const wrong of [
      { reviewer: '' },
      { reason: 'x'.repeat(501) },
      { seconds: Number.NaN },
      { tumor: -1 },
    ])
      await expect(appendReview(file, review(wrong))).rejects.toThrow(DataError)
    expect(readFileSync(file, 'utf8')).toBe(before)
  })

  test('names the file and the reason if it cannot be written', async () => {
    const file = join(temporaryFolder(), 'missing', 'reviews.jsonl')
    const failure = await appendReview(file, review()).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(EnvironmentError)
    expect((failure as Error).message).toContain(
      `${file}: cannot be written (a folder of its path is missing or refuses new files`,
    )
  })

  test('refuses a long file of another kind', async () => {
    const file = newFile()
    writeFileSync(file, 'x'.repeat(100_000))
    await expect(appendReview(file, review())).rejects.toThrow('not a file of reviews')
    expect(statSync(file).size).toBe(100_000)
  })
})

test('every acknowledged decision of two processes is in the file after they are killed', async () => {
  const file = newFile()
  const writer = new URL('append-reviews.mjs', import.meta.url).pathname
  const acknowledged = await Promise.all(
    ['Ada', 'Bob'].map(async (reviewer) => {
      const { child, finished } = startNode([writer, file, reviewer, '0'])
      let printed = 0
      child.stdout!.on('data', (text: string) => {
        printed += text.split('\n').length - 1
        if (printed >= 20) child.kill('SIGKILL')
      })
      const { signal, stdout, stderr } = await finished
      expect(signal, stderr).toBe('SIGKILL')
      return stdout
        .split('\n')
        .slice(0, -1)
        .map((tumor) => `${reviewer} ${tumor}`)
    }),
  )
  const found = (await readReviews(file)).map(({ reviewer, tumor }) => `${reviewer} ${tumor}`)
  expect(acknowledged.flat().length).toBeGreaterThanOrEqual(40)
  expect(found).toEqual(expect.arrayContaining(acknowledged.flat()))
  expect(new Set(found).size).toBe(found.length)
})

describe('a file that an editor or another program wrote', () => {
  const [first, second, third] = [1, 2, 3].map((tumor) => review({ tumor }))

  test('counts a last line without a line feed, and appends behind it', async () => {
    const file = newFile()
    writeFileSync(file, `${JSON.stringify(first)}\n${JSON.stringify(second, null, 1).replaceAll('\n', '')}`)
    expect(await readReviews(file)).toEqual([first, second])
    await appendReview(file, third!)
    expect(await readReviews(file)).toEqual([first, second, third])
  })

  test('may have a byte order mark and the line ends of Windows', async () => {
    const file = newFile()
    writeFileSync(file, `\ufeff${JSON.stringify(first)}\r\n`)
    await appendReview(file, second!)
    expect(await readReviews(file)).toEqual([first, second])
  })

  test.each([
    ['JSON of one line', '{"labels":{"liver":1}}'],
    ['JSON of many lines', '{\n  "labels": 1\n}\n'],
    ['a ledger', '{"case":"a","variant":0}\n{"case":"b","variant":0}\n'],
    ['a text', 'my notes\nmore notes\n'],
    ['a text without a line feed', 'my notes'],
    ['UTF-16', Buffer.from(`\ufeff${JSON.stringify(first)}`, 'utf16le')],
  ])('is refused and left as it is: %s', async (_, content) => {
    const file = newFile()
    writeFileSync(file, content)
    const before = readFileSync(file)
    await expect(readReviews(file)).rejects.toThrow(DataError)
    await expect(appendReview(file, review())).rejects.toThrow(DataError)
    expect(readFileSync(file)).toEqual(before)
  })

  test('is repaired if a killed repair or a loss of power left spaces or zeros', async () => {
    for (const rest of ['   "2026-01-02', '\0\0\0']) {
      const file = newFile()
      writeFileSync(file, `${JSON.stringify(first)}\n${rest}`)
      expect(await readReviews(file)).toEqual([first])
      await appendReview(file, second!)
      expect(await readReviews(file)).toEqual([first, second])
    }
  })
})

describe('readReviews', () => {
  test('drops a partially written last line, also if it ends within a character', async () => {
    const file = newFile()
    await appendReview(file, review())
    appendFileSync(file, Buffer.from('{"time":"2026","reviewer":"\u00fc').subarray(0, -1))
    expect(await readReviews(file)).toEqual([review()])
  })

  test.each([
    ['no JSON', '{"time":', 'line 2: is not JSON'],
    ['an unknown field', JSON.stringify({ ...review(), more: 1 }), 'line 2: not a review'],
    ['a wrong decision', JSON.stringify({ ...review(), decision: 'maybe' }), 'decision'],
    ['a wrong hash', JSON.stringify({ ...review(), sha256: 'abc' }), 'sha256'],
  ])('names the file and the line with %s', async (_, line, message) => {
    const file = newFile()
    writeFileSync(file, `${JSON.stringify(review())}\n${line}\n${JSON.stringify(review())}\n`)
    const failure = await readReviews(file).catch((error: unknown) => error as Error)
    expect(failure).toBeInstanceOf(DataError)
    expect((failure as Error).message).toContain(`${file}: `)
    expect((failure as Error).message).toContain(message)
  })

  test('reports a missing file', async () => {
    const file = newFile()
    await expect(readReviews(file)).rejects.toThrow(`${file}: file not found`)
  })

  test('states the SHA-256 of the file', async () => {
    const file = newFile()
    writeFileSync(file, '')
    expect(await readReviewFile(file)).toEqual({
      lines: [],
      sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    })
  })
})

describe('decisionsOf', () => {
  const joint = (...lines: Partial<ReviewLine>[]) => decisionsOf(lines.map(review)).map((one) => one.joint)

  test('takes the majority of the standing decisions; a tie is undecided', () => {
    const accept = (reviewer: string): Partial<ReviewLine> => ({ reviewer, decision: 'accept' })
    const reject = (reviewer: string): Partial<ReviewLine> => ({ reviewer, decision: 'reject' })
    expect(joint(accept('a'))).toEqual(['accept'])
    expect(joint(accept('a'), reject('b'))).toEqual(['undecided'])
    expect(joint(accept('a'), reject('b'), reject('c'))).toEqual(['reject'])
    expect(joint(accept('a'), reject('a'))).toEqual(['reject'])
  })

  test('an undo withdraws the last decision of that reviewer on that tumor only', () => {
    const undo = { decision: 'undo' } as const
    expect(joint({}, { reviewer: 'b', decision: 'reject' }, undo)).toEqual(['reject'])
    expect(joint({}, { decision: 'reject' }, undo)).toEqual(['accept'])
    expect(joint({}, undo, undo, { decision: 'reject' })).toEqual(['reject'])
    expect(joint({}, { ...undo, tumor: 1 })).toEqual(['accept'])
    expect(joint({}, undo)).toEqual([])
  })

  test('separates the versions of a synthetic file', () => {
    const found = decisionsOf([
      review(),
      review({ sha256: 'b'.repeat(64), decision: 'reject', reason: 'edge' }),
    ])
    expect(found).toMatchObject([
      { sha256: 'a'.repeat(64), joint: 'accept' },
      { sha256: 'b'.repeat(64), joint: 'reject', standing: [{ reviewer: 'Ada', reason: 'edge' }] },
    ])
  })
})

test('the CSV has a header, and no cell is read as a formula', () => {
  const csv = reviewsCsv([review({ reviewer: '=1+1', reason: 'a, "b"' }), review({ reason: '@x' })])
  expect(csv.split('\n')).toEqual([
    'time,reviewer,case,variant,tumor,sha256,decision,reason,seconds,version',
    `2026-01-02T03:04:05.678Z,'=1+1,liver_1,0,0,${'a'.repeat(64)},accept,"a, ""b""",1.5,1.0.0`,
    `2026-01-02T03:04:05.678Z,Ada,liver_1,0,0,${'a'.repeat(64)},accept,'@x,1.5,1.0.0`,
    '',
  ])
})
