import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { SupersededError } from '../../src/errors.js'
import { causeOf, takeOver } from '../../src/training/owner.js'
import { temporaryFolder } from '../helpers/temporary.js'

const numberIn = (run: string): unknown =>
  (JSON.parse(readFileSync(join(run, 'owner.json'), 'utf8')) as { number: unknown }).number

it('raises the number with each start, and names to earlier ones the start that took the run over', async () => {
  const run = temporaryFolder()
  const first = await takeOver(run, 'a')
  first.check()
  const second = await takeOver(run, 'b')
  expect([first.number, second.number, numberIn(run)]).toEqual([1, 2, 2])
  second.check()
  expect(() => first.check()).toThrow(
    expect.objectContaining({
      code: 'superseded',
      exitCode: 1,
      message: expect.stringContaining(`${run} was taken over by process ${process.pid} on host`),
    }),
  )
})

it('of two starts that wrote one number leaves the last', async () => {
  const run = temporaryFolder()
  const [first, second] = await Promise.all([takeOver(run, 'a'), takeOver(run, 'b')])
  const ended = [first, second].filter((one) => causeOf(one, null) instanceof SupersededError)
  expect([first.number, second.number]).toEqual([1, 1])
  expect(ended).toHaveLength(1)
})

it('takes a damaged record for no other owner', async () => {
  const run = temporaryFolder()
  const owner = await takeOver(run, 'a')
  const failure = new Error('disk')
  for (const text of ['', '{"num', 'null', '7', '[]', '{"number":"2","run":"b"}']) {
    writeFileSync(join(run, 'owner.json'), text)
    owner.check()
    expect(causeOf(owner, failure)).toBe(failure)
  }
})
