import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { DataError, StoppedError, UsageError } from '../../src/errors.js'
import { WRITING } from '../../src/pipeline/locks.js'
import { lockUnsharded, readShards, shardsBelow, workOnShard } from '../../src/pipeline/shards.js'
import { inMemoryRuntime } from '../../src/runtime/in-memory.js'
import { temporaryFolder } from '../helpers/temporary.js'

const IDS = ['a', 'b', 'c', 'd', 'e']
const runtime = inMemoryRuntime()
let out: string
let notes: string[]

beforeEach(() => {
  out = join(temporaryFolder(), 'out')
  notes = []
})

interface Change {
  readonly count?: number
  readonly settings?: Readonly<Record<string, unknown>>
  readonly ids?: readonly string[]
  readonly run?: (folder: string) => Promise<void>
}

function work(
  index: number,
  { count = 2, settings = { a: 1 }, ids = IDS, run = async () => {} }: Change = {},
) {
  const cases = ids.filter((_, at) => at % count === index - 1)
  const shard = { index, count, commandLine: 'freetumor predict --out o' }
  const context = { runtime, note: (text: string) => void notes.push(text) }
  return workOnShard(
    { command: 'predict', directory: out, shard, settings, ids, cases },
    context,
    async (folder) => {
      await run(folder)
      return { part: cases, result: cases }
    },
  )
}

const merged = () => readShards<unknown, string[]>(out)

describe('shards of one output folder', () => {
  it('leave their results for the merge, with the position of every case', async () => {
    expect(await work(2)).toEqual(['b', 'd'])
    await work(1)
    const { plan, records, position } = await merged()
    expect(plan).toMatchObject({ command: 'predict', count: 2, settings: { a: 1 } })
    expect(records.map(({ part }) => part)).toEqual([
      ['a', 'c', 'e'],
      ['b', 'd'],
    ])
    expect([...position].sort((a, b) => a[1] - b[1]).map(([id]) => id)).toEqual(IDS)
    expect(notes).toContain(`shard 1 of 2 is complete; after all, run \`freetumor merge ${out}\``)
  })

  it('run at the same time, also when they start at one moment', async () => {
    let running = 0
    let both: () => void
    const together = new Promise<void>((resolve) => {
      both = resolve
    })
    const run = async (): Promise<void> => {
      if (++running === 2) both()
      await together
    }
    await Promise.all([work(1, { run }), work(2, { run })])
    expect((await merged()).records).toHaveLength(2)
    expect(readdirSync(join(out, 'shards')).sort()).toEqual(['1-of-2', '2-of-2', 'plan.json'])
  })

  it('are refused to a second process of the same shard', async () => {
    const run = async (): Promise<void> => {
      await expect(work(1)).rejects.toThrow(/1-of-2: another process works on this shard/)
    }
    await work(1, { run })
    expect(existsSync(join(out, 'shards/1-of-2/record.json'))).toBe(true)
  })

  it('are refused while a command without shards writes, and the reverse', async () => {
    const run = async (): Promise<void> => {
      await expect(lockUnsharded(out, { runtime })).rejects.toThrow(`${out} is being written by`)
    }
    await work(1, { run })
    await using _lock = await runtime.lock(out, WRITING)
    await expect(work(2)).rejects.toThrow(`${out} is being written by`)
  })

  it('are refused with another number of shards or other settings, which are named', async () => {
    await work(1)
    const other = work(1, { count: 3 })
    await expect(other).rejects.toThrow(UsageError)
    await expect(other).rejects.toThrow(
      `${out}: holds other shards (expected \`predict\` in 3 shards, found \`predict\` in 2)`,
    )
    await expect(work(2, { settings: { a: 2, b: 1 } })).rejects.toThrow('other settings (a, b)')
    await expect(work(2, { settings: { a: 1, absent: undefined } })).resolves.toEqual(['b', 'd'])
  })
})

describe('a merge', () => {
  it('names the shards that are missing, failed or stopped, with the command of each', async () => {
    const fail = (error: Error) => async () => {
      throw error
    }
    await work(1, { count: 5 })
    await expect(work(2, { count: 5, run: fail(new DataError('disk on fire')) })).rejects.toThrow()
    await expect(work(4, { count: 5, run: fail(new StoppedError('stopped')) })).rejects.toThrow()
    await expect(merged()).rejects.toMatchObject({
      code: 'data',
      message: [
        `${out}: 4 of 5 shards are not complete:`,
        '  shard 2: disk on fire; run `freetumor predict --out o --shard 2/5`',
        '  shard 3: it has not finished; run `freetumor predict --out o --shard 3/5`',
        '  shard 4: it was stopped; run `freetumor predict --out o --shard 4/5`',
        '  shard 5: it has not finished; run `freetumor predict --out o --shard 5/5`',
      ].join('\n'),
      facts: { unfinished: [{ index: 2 }, { index: 3 }, { index: 4 }, { index: 5 }] },
    })
    for (const index of [2, 3, 4, 5]) await work(index, { count: 5 })
    expect((await merged()).records).toHaveLength(5)
  })

  it('takes the record of a shard that runs again for missing until it has ended', async () => {
    await work(1)
    await work(2)
    const run = async (): Promise<void> => {
      await expect(merged()).rejects.toThrow('shard 1: it has not finished')
    }
    await work(1, { run })
    expect((await merged()).records).toHaveLength(2)
  })

  it('names the shards that saw fewer cases than the newest', async () => {
    await work(1)
    await work(2, { ids: [...IDS, 'f'] })
    // the clock may give both the same millisecond
    const file = join(out, 'shards/1-of-2/record.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"time":"\d{4}/, '"time":"2001'))
    await expect(merged()).rejects.toThrow('shard 1: it saw 5 cases, and the newest shard 6 or others')
    await work(1, { ids: [...IDS, 'f'] })
    expect((await merged()).position.size).toBe(6)
  })

  it('refuses a folder without shards, and a damaged plan', async () => {
    await expect(merged()).rejects.toThrow('holds no shards')
    await work(1)
    writeFileSync(join(out, 'shards/plan.json'), '{}')
    await expect(merged()).rejects.toThrow('is no plan of shards of this version')
  })

  it('names the command that writes a record again that is no JSON', async () => {
    await work(1)
    await work(2)
    writeFileSync(join(out, 'shards/1-of-2/record.json'), '{')
    await expect(merged()).rejects.toMatchObject({
      message: expect.stringContaining('record.json: is not JSON'),
      hint: 'run `freetumor predict --out o --shard 1/2` again',
    })
  })

  it('takes a damaged record for missing', async () => {
    await work(1)
    await work(2)
    writeFileSync(join(out, 'shards/2-of-2/record.json'), '{}')
    await expect(merged()).rejects.toThrow('shard 2: it has not finished')
  })
})

it('shards are found one folder below, unless several folders hold some', async () => {
  const top = out
  for (const name of ['prepare-1', 'prepare-2', 'other']) {
    out = join(top, name)
    await work(1)
  }
  await expect(shardsBelow(top, 'prepare-')).rejects.toThrow('(prepare-1, prepare-2)')
  rmSync(join(top, 'prepare-2'), { recursive: true })
  expect(await shardsBelow(top, 'prepare-')).toBe(join(top, 'prepare-1'))
  expect(await shardsBelow(join(top, 'other'), 'prepare-')).toBe(join(top, 'other'))
})
