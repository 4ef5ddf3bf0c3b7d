import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { lastException, openRankLogs } from '../../src/runtime/rank-logs.js'
import { temporaryFolder } from '../helpers/temporary.js'

function logFolder(...ranks: number[]): { folder: string; write: (rank: number, text: string) => void } {
  const folder = temporaryFolder()
  for (const rank of ranks) mkdirSync(join(folder, 'node-0', `rank-${rank}`), { recursive: true })
  const write = (rank: number, text: string): void =>
    appendFileSync(join(folder, 'node-0', `rank-${rank}`, 'output.log'), text)
  return { folder, write }
}

it('reports every line once, completely, and not those of an earlier attempt', async () => {
  const { folder, write } = logFolder(0, 1)
  write(0, 'from before\n')
  const lines: string[] = []
  const logs = await openRankLogs(folder, 0, [0, 1], (rank, text) => lines.push(`${rank} ${text}`))
  expect(await logs.read()).toBe(false)
  write(0, 'first\nsec')
  expect(await logs.read()).toBe(true)
  write(0, 'ond\r\n')
  write(1, 'begun and never ended')
  await logs.read()
  expect(lines).toEqual(['0 first', '0 second'])
  await logs.close()
  expect(lines).toEqual(['0 first', '0 second', '1 begun and never ended'])
})

it('decodes letters of several bytes across two reads', async () => {
  const { folder, write } = logFolder(0)
  const lines: string[] = []
  const logs = await openRankLogs(folder, 0, [0], (_, text) => lines.push(text))
  const long = `${'x'.repeat(256 * 1024 - 1)}é`
  write(0, `${long}\n`)
  await logs.close()
  expect(lines.map((line) => [line.length, line.at(-1)])).toEqual([[256 * 1024, 'é']])
})

it('finds the exceptions of the ranks that raised one', async () => {
  const { folder, write } = logFolder(0, 1)
  const logs = await openRankLogs(folder, 0, [0, 1], () => {})
  write(0, 'all is well\n')
  write(1, '[rank1]: Traceback (most recent call last):\n[rank1]:   File "a.py", line 3\n[rank1]:     f()\n')
  write(1, '[rank1]: ValueError: no label\nbye\n')
  await logs.close()
  expect(logs.failures()).toMatchObject([
    {
      rank: 1,
      message: 'ValueError: no label',
      traceback: 'Traceback (most recent call last):\n  File "a.py", line 3\n    f()\nValueError: no label',
    },
  ])
})

it('takes the last of several exceptions, and no truncated one', () => {
  const one = 'Traceback (most recent call last):\n  File "a.py", line 1\nKeyError: 1\n'
  const two = 'Traceback (most recent call last):\n  File "a.py", line 2\nIndexError: 2\n'
  expect(lastException(`${one}\nDuring handling of the above ...\n\n${two}`)?.message).toBe('IndexError: 2')
  expect(lastException('Traceback (most recent call last):\n  File "a.py", line 2\n')).toBeNull()
  expect(lastException('no trouble')).toBeNull()
})
