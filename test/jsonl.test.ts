import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { DataError, EnvironmentError } from '../src/errors.js'
import { openJsonLog, readJsonLog } from '../src/jsonl.js'
import { temporaryFolder } from './helpers/temporary.js'

// a device that takes nothing stands for a disk that has become full
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const createWriteStream: typeof fs.createWriteStream = (path, options) =>
    fs.createWriteStream(String(path).endsWith('on-full-disk.jsonl') ? '/dev/full' : path, options)
  return { ...fs, createWriteStream }
})

interface Line {
  readonly step: number
  readonly text?: string
}

const newPath = (): string => join(temporaryFolder(), 'log.jsonl')

async function write(path: string, lines: readonly Line[], keep?: (line: Line) => boolean): Promise<void> {
  const log = await openJsonLog<Line>(path, keep ? { keep } : {})
  for (const line of lines) log.write(line)
  await log.close()
}

async function read(path: string): Promise<Line[]> {
  const lines: Line[] = []
  for await (const line of readJsonLog<Line>(path)) lines.push(line)
  return lines
}

const steps = (count: number): Line[] => Array.from({ length: count }, (_, step) => ({ step }))

describe('a log', () => {
  test('returns the written lines, in order, over several openings', async () => {
    const path = newPath()
    const lines = steps(5000).map(({ step }) => ({ step, text: `größer\n"als" ${'x'.repeat(step % 700)}` }))
    await write(path, lines.slice(0, 3000))
    await write(path, lines.slice(3000))
    expect(await read(path)).toEqual(lines)
    expect(readdirSync(join(path, '..'))).toEqual(['log.jsonl'])
  })

  test('has one object per line', async () => {
    const path = newPath()
    await write(path, [{ step: 0, text: 'two\nlines' }, { step: 1 }])
    expect(readFileSync(path, 'utf8')).toBe('{"step":0,"text":"two\\nlines"}\n{"step":1}\n')
  })

  test('is in the file after a flush, while writing continues', async () => {
    const path = newPath()
    await using log = await openJsonLog<Line>(path)
    for (const line of steps(500)) log.write(line)
    await log.flush()
    expect(await read(path)).toEqual(steps(500))
    log.write({ step: 500 })
    await log.flush()
    expect(await read(path)).toEqual(steps(501))
  })

  test('is closed at the end of the block that uses it', async () => {
    const path = newPath()
    {
      await using log = await openJsonLog<Line>(path)
      log.write({ step: 7 })
    }
    expect(await read(path)).toEqual([{ step: 7 }])
  })

  test('keeps the wanted lines when it is opened again', async () => {
    const path = newPath()
    await write(path, steps(10))
    await write(path, [{ step: 4, text: 'again' }], ({ step }) => step < 4)
    expect(await read(path)).toEqual([...steps(4), { step: 4, text: 'again' }])
  })

  test('that does not exist cannot be read', async () => {
    await expect(read(newPath())).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('an interrupted writer', () => {
  test('loses its partially written last line and nothing else, at any length', async () => {
    const lines: Line[] = [{ step: 0, text: 'größer' }, { step: 1 }, { step: 2, text: '{"a": [1, "]}' }]
    const whole = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (length) => {
        const path = newPath()
        writeFileSync(path, whole.subarray(0, length))
        const ends = lines.map((_, n) => nthNewline(whole, n))
        // a line is whole without its newline too
        const kept = lines.filter((_, n) => length >= ends[n]!)
        expect(await read(path)).toEqual(kept)
        await write(path, [{ step: 9 }])
        expect(await read(path)).toEqual([...kept, { step: 9 }])
      }),
      { numRuns: 60 },
    )
  })
})

describe('a damaged line in the middle', () => {
  test('is refused with file and number, in reading and in opening, and the file stays as it is', async () => {
    const path = newPath()
    writeFileSync(path, '{"step":0}\n{"st\0\0\0\n{"step":2}\n')
    await expect(read(path)).rejects.toThrow(DataError)
    await expect(read(path)).rejects.toThrow(`${path}: line 2 is damaged`)
    await expect(openJsonLog(path)).rejects.toThrow(DataError)
    appendFileSync(path, '{"step":3}\n')
    expect(readFileSync(path, 'utf8')).toContain('{"step":0}\n{"st\0\0\0\n{"step":2}\n{"step":3}\n')
  })
})

describe('a full disk', () => {
  const path = (): string => join(temporaryFolder(), 'on-full-disk.jsonl')

  test('is reported by the next line, once, so that a long run does not continue without its log', async () => {
    const log = await openJsonLog<Line>(path())
    const writeUntilTold = async (): Promise<void> => {
      for (;;) {
        log.write({ step: 0 })
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await expect(writeUntilTold()).rejects.toThrow(
      /on-full-disk\.jsonl: cannot be written \(the disk is full, ENOSPC\)/,
    )
    log.write({ step: 1 })
    await log.close()
  })

  test('is reported by closing if no line follows', async () => {
    const log = await openJsonLog<Line>(path())
    log.write({ step: 0 })
    await expect(log.close()).rejects.toThrow(EnvironmentError)
  })
})

function nthNewline(text: Buffer, n: number): number {
  let at = -1
  for (let line = 0; line <= n; line++) at = text.indexOf('\n', at + 1)
  return at
}
