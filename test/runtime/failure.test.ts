import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cardOf } from '../../src/errors.js'
import { clearFailures, explainFailure, explainHang, rankLog } from '../../src/runtime/failure.js'
import { temporaryFolder } from '../helpers/temporary.js'

interface Said {
  readonly rank: number
  readonly message: string
  readonly time: number
  readonly kind?: string
  readonly hint?: string
  readonly traceback?: string
}

/** A log folder in which ranks have left their last words. */
function logs(...said: Said[]): string {
  const folder = temporaryFolder()
  for (const { rank, ...words } of said) {
    mkdirSync(join(folder, 'failures'), { recursive: true })
    mkdirSync(join(folder, 'node-0', `rank-${rank}`), { recursive: true })
    const failure = { rank, kind: 'runtime', hint: '', traceback: '', ...words }
    writeFileSync(join(folder, 'failures', `rank-${rank}.json`), JSON.stringify(failure))
    const lines = Array.from({ length: 40 }, (_, at) => `rank ${rank} line ${at}`)
    writeFileSync(join(folder, 'node-0', `rank-${rank}`, 'output.log'), `${lines.join('\n')}\n`)
  }
  return folder
}

/** The end of torchrun's output when ranks ended so. */
function torchrun(rank: number, exitCode: number, other = { rank: 9, exitCode: 1, second: 32 }): string {
  return `Failures:\n[1]:\n  time      : 2026-11-23_20:23:${other.second}\n  rank      : ${other.rank} (local_rank: ${other.rank})\n  exitcode  : ${other.exitCode} (pid: 12)\n${'-'.repeat(60)}
Root Cause (first observed failure):
[0]:
  time      : 2026-11-23_20:23:32
  rank      : ${rank} (local_rank: ${rank})
  exitcode  : ${exitCode} (pid: 30381)
  error_file: <N/A>
`
}

const RESET = 'RuntimeError: gloo: Connection reset by peer'
const explain = (
  logDirectory: string,
  tail = '',
  signal: NodeJS.Signals | null = null,
  oomKillsBefore = 1e9,
) => explainFailure({ logDirectory, end: { code: signal ? null : 1, signal, tail }, oomKillsBefore })

describe('a crash is explained by', () => {
  it('the rank that failed by itself, not by those that lost it', async () => {
    const folder = logs(
      { rank: 0, message: RESET, time: 10 },
      {
        rank: 1,
        message: 'ValueError: bad crop',
        time: 11,
        traceback: 'Traceback ...\nValueError: bad crop',
      },
    )
    const error = await explain(folder, torchrun(0, 1))
    expect(error).toMatchObject({ code: 'runtime', message: 'rank 1: ValueError: bad crop' })
    const card = cardOf(error)!
    expect(card).toMatchObject({ kind: 'exception', rank: 1, traceback: expect.stringContaining('bad crop') })
    expect(card.lastLines).toHaveLength(30)
    expect(card.lastLines.at(-1)).toBe('rank 1 line 39')
  })

  it('the earliest of several', async () => {
    const folder = logs(
      { rank: 0, message: 'KeyError: second', time: 12 },
      { rank: 1, message: 'KeyError: first', time: 11 },
    )
    expect(cardOf(await explain(folder))).toMatchObject({ rank: 1 })
  })

  it('the signal that killed a rank, for any reports of the others', async () => {
    const folder = logs({ rank: 0, message: RESET, time: 10 })
    const card = cardOf(await explain(folder, torchrun(1, -9)))
    expect(card).toMatchObject({
      kind: 'signal',
      rank: 1,
      signal: 'SIGKILL',
      message: 'rank 1 was killed by SIGKILL',
    })
  })

  it('the signal that killed a rank, when torchrun finds another one ended at the same time', async () => {
    const folder = logs({ rank: 0, message: RESET, time: 10 })
    const card = cardOf(await explain(folder, torchrun(0, 1, { rank: 1, exitCode: -9, second: 32 })))
    expect(card).toMatchObject({ kind: 'signal', rank: 1, message: 'rank 1 was killed by SIGKILL' })
  })

  it('the signal or exit code of the only rank, which has no torchrun', async () => {
    const ended = (code: number | null, signal: NodeJS.Signals | null) =>
      explainFailure({
        logDirectory: logs(),
        end: { code, signal, tail: '' },
        oomKillsBefore: 1e9,
        onlyRank: true,
      })
    const killed = await ended(null, 'SIGSEGV')
    expect(killed.message).toBe('rank 0 was killed by SIGSEGV')
    expect(cardOf(killed)).toMatchObject({ kind: 'signal', rank: 0, signal: 'SIGSEGV' })
    expect((await ended(7, null)).message).toBe('rank 0 ended with code 7')
  })

  it('no signal that torchrun sent itself to end the others', async () => {
    const folder = logs({ rank: 0, message: RESET, time: 10 })
    for (const ended of [
      { rank: 1, exitCode: -15, second: 32 },
      { rank: 1, exitCode: -9, second: 59 },
    ])
      expect(cardOf(await explain(folder, torchrun(0, 1, ended)))).toMatchObject({ kind: 'lostConnection' })
  })

  it('PyTorch, when it aborts a rank whose script has ended', async () => {
    const folder = logs()
    mkdirSync(join(folder, 'node-0/rank-1'), { recursive: true })
    writeFileSync(
      join(folder, 'node-0/rank-1/output.log'),
      'done\nterminate called without an active exception\nFatal Python error: Aborted\n',
    )
    const error = await explain(folder, torchrun(1, -6))
    expect(error).toMatchObject({ message: 'rank 1 was killed by SIGABRT' })
    expect(cardOf(error)!.hint).toContain('os._exit(0)')
    const other = await explain(folder, torchrun(0, -6))
    expect(cardOf(other)!.hint).not.toContain('os._exit(0)')
  })

  it('the kernel, when it has killed for memory meanwhile', async () => {
    const card = cardOf(await explain(logs(), torchrun(1, -9), null, -1))
    expect(card).toMatchObject({ kind: 'outOfMemory', rank: 1 })
    expect(card!.hint).toContain('sampling.itemsPerStep')
  })

  it('a lack of memory that a rank could still report', async () => {
    const message = 'OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB'
    expect(cardOf(await explain(logs({ rank: 2, message, time: 1 })))).toMatchObject({
      kind: 'outOfMemory',
      rank: 2,
    })
  })

  it('a lost connection, without other reports', async () => {
    const card = cardOf(await explain(logs({ rank: 0, message: RESET, time: 10 }), torchrun(0, 1)))
    expect(card).toMatchObject({ kind: 'lostConnection', rank: 0 })
  })

  it("the user's mistake as such, without a card", async () => {
    const mistake = { rank: 0, kind: 'config', message: 'a: wrong', hint: 'b', time: 5 }
    const error = await explain(logs(mistake, { rank: 1, message: RESET, time: 4 }))
    expect(error).toMatchObject({ code: 'config', message: 'a: wrong', hint: 'b' })
    expect(cardOf(error)).toBeNull()
  })

  it('the end of the launcher, without a report of a rank', async () => {
    const error = await explain(logs(), 'No module named freetumor_runtime\n')
    expect(error.message).toContain('ended with code 1 without a reason:\nNo module named freetumor_runtime')
    expect(cardOf(await explain(logs(), '', 'SIGKILL'))).toMatchObject({
      kind: 'signal',
      signal: 'SIGKILL',
      rank: null,
    })
  })

  it('its silence', async () => {
    const end = { code: null, signal: 'SIGKILL', tail: 'last words\n' } as const
    const error = await explainHang({ seconds: 30, logDirectory: logs(), node: 0, end, ranks: [] })
    expect(error.message).toContain('no other event for 30 s')
    expect(cardOf(error)).toMatchObject({ kind: 'hang', lastLines: ['last words'] })
  })
})

describe('a hang', () => {
  const end = { code: null, signal: 'SIGKILL', tail: '' } as const
  const stack = (...frames: string[]) =>
    `step 3\nThread 0x7f01 (most recent call first):\n  File "/lib/threading.py", line 1 in wait\n\nCurrent thread 0x7f02 (most recent call first):\n${frames.map((frame) => `  File ${frame}\n`).join('')}`
  const collective = stack(
    '"/site/torch/distributed/distributed_c10d.py", line 2501 in all_reduce',
    '"/freetumor_runtime/training/ranks.py", line 65 in maximum',
  )

  async function explained(stacks: readonly string[], suspended: readonly number[] = []) {
    const logDirectory = logs()
    for (const [rank, text] of stacks.entries()) {
      const file = rankLog(logDirectory, 0, rank)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
    const ranks = stacks.map((_, rank) => ({ rank, suspended: suspended.includes(rank) }))
    return await explainHang({ seconds: 9, logDirectory, node: 0, end, ranks })
  }

  it('names the rank that the others wait for', async () => {
    const error = await explained([
      collective,
      stack('"/freetumor_runtime/bridge/feed.py", line 72 in _wait'),
    ])
    expect(error.message).toContain(
      'the job hangs: no step and no other event for 9 s: rank 1 is in _wait (bridge/feed.py:72)',
    )
    expect(cardOf(error)).toMatchObject({ kind: 'hang', rank: 1 })
  })

  it('names a suspended rank, for any stacks', async () => {
    const error = await explained([collective, ''], [1])
    expect(error.message).toContain('the job hangs: no step and no other event for 9 s: rank 1 is suspended')
    expect(cardOf(error)?.rank).toBe(1)
  })

  it('lists all ranks where all wait for each other', async () => {
    const error = await explained([collective, collective])
    expect(error.message).toContain('rank 0 is in all_reduce')
    expect(error.message).toContain('rank 1 is in all_reduce')
    expect(cardOf(error)?.rank).toBeNull()
  })
})

it('what an earlier life left is forgotten', async () => {
  const folder = logs({ rank: 0, message: 'KeyError: old', time: 1 })
  await clearFailures(folder)
  expect(cardOf(await explain(folder, torchrun(1, -11)))).toMatchObject({ rank: 1, signal: 'SIGSEGV' })
})
