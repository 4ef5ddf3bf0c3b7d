import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it, test } from 'vitest'
import { createReaderStudy } from '../../../src/pipeline/readers/create.js'
import { appendToJournal } from '../../../src/readers/journal.js'
import { readerOrder } from '../../../src/readers/order.js'
import { ensureReaders, readReaders, readStudy, readTruth } from '../../../src/readers/study.js'
import { runCli, startCli } from '../../helpers/cli.js'
import { writeReaderSets } from '../../helpers/reader-sets.js'
import { keptFolder } from '../../helpers/temporary.js'

const cwd = keptFolder()
const study = join(cwd, 'study')

beforeAll(async () => {
  const sets = await writeReaderSets(cwd, 8)
  await createReaderStudy({ ...sets, out: study, cases: 8, repeats: 2, examples: 0, seed: 1 })
})

/** Answer all cases of a reader; `isRight` decides on each. */
async function answerAll(reader: string, isRight: (number: number) => boolean): Promise<void> {
  const [facts, truth, readers] = [await readStudy(study), await readTruth(study), await readReaders(study)]
  const { number } = readers.find(({ id }) => id === reader)!
  for (const [at, showing] of readerOrder(facts, number).entries()) {
    const of = truth.cases[showing.case - 1]!
    const other = of.truth === 'real' ? 'synthetic' : 'real'
    await appendToJournal(join(study, 'answers.jsonl'), {
      ...{ kind: 'answer', time: '2026-01-02T03:04:05Z', reader, position: at + 1, ...showing },
      ...{ answer: isRight(showing.case) ? of.truth : other, confidence: 3, clickMm: [...of.lesionMm] },
      ...{ seconds: 3, overTime: false, version: '1' },
    })
  }
}

it('serves links that no command line shows, until Ctrl-C', async () => {
  const started = startCli(['readers', 'serve', 'study', '--readers', '2'], { cwd })
  let output = ''
  for await (const text of started.child.stdout!) {
    output += text
    if (output.split('\n').length > 2) break
  }
  const links = output.trim().split('\n')
  expect(links).toHaveLength(2)
  expect(links[0]).toMatch(/^R01 {2}http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43} {2}0 of 10 answered$/)
  const token = /token=([\w-]+)/.exec(links[0]!)![1]!
  expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(token)
  started.child.kill('SIGINT')
  expect((await started.finished).code).toBe(0)
})

it('scores, and deletes a reader with their answers or under a new pseudonym', async () => {
  await ensureReaders(study, ['anna', 'ben', 'carl'])
  await answerAll('anna', () => true)
  await answerAll('ben', (number) => number % 2 === 0)
  const scored = await runCli(['readers', 'score', 'study', '--output', 'json'], { cwd })
  expect(scored.code, scored.stderr).toBe(0)
  const score = JSON.parse(scored.stdout)
  const ofReader = (id: string) => score.readers.find((one: { id: string }) => one.id === id)
  expect(ofReader('anna')).toMatchObject({ cases: 8, accuracy: 1, sensitivity: 1, specificity: 1, auc: 1 })
  expect(ofReader('anna').ci[0]).toBeCloseTo(0.6305834, 6)
  expect(ofReader('anna')).toMatchObject({ localisation: { count: 8, of: 8 }, intra: { observed: 1, n: 2 } })
  expect(ofReader('ben')).toMatchObject({ cases: 8, accuracy: 0.5, pChance: 1 })
  expect(score).toMatchObject({ agreement: { method: 'Cohen', observed: 0.5, readers: 2 } })
  expect(score.all).toMatchObject({ readers: 2, accuracy: { count: 12, of: 16 } })
  expect(score.organs.reduce((sum: number, one: { of: number }) => sum + one.of, 0)).toBe(16)

  const text = await runCli(['readers', 'score', 'study'], { cwd })
  expect(text.stdout).toContain('anna: 8 cases, accuracy 1.000 [0.631, 1.000]')
  expect(text.stderr).toContain('warning: reader carl has answered 0 of 10 cases')

  const renamed = await runCli(['readers', 'delete', 'study', 'ben', '--keep-answers'], { cwd })
  expect(renamed.stdout).toMatch(/^ben is R\d\d now$/m)
  expect((await runCli(['readers', 'delete', 'study', 'anna'], { cwd })).code).toBe(0)
  for (const file of ['answers.jsonl', 'readers.json'])
    expect(readFileSync(join(study, file), 'utf8')).not.toMatch(/anna|"ben"/)
  const rest = JSON.parse((await runCli(['readers', 'score', 'study', '--output', 'json'], { cwd })).stdout)
  expect(rest.all).toMatchObject({ readers: 1, accuracy: { count: 4, of: 8 } })
})

test.each<[string, string[], number, RegExp]>([
  ['a folder without a study', ['serve', '.'], 2, /no reader study .*\nhint: .*readers create/],
  ['a wrong number of readers', ['serve', 'study', '--readers', '0'], 2, /--readers 0: wrong number/],
  ['a name with a slash', ['serve', 'study', '--readers', 'a/b'], 2, /wrong names .*\nhint: .*pseudonyms/],
  ['an address without TLS', ['serve', 'study', '--host', '192.0.2.1'], 2, /not encrypted/],
  ['an unknown reader', ['delete', 'study', 'zoe'], 2, /reader zoe: not in this study/],
  [
    'an odd number of cases',
    ['create', '--real', 'real', '--synthetic', 'synthetic', '--out', 'x', '--cases', '9'],
    2,
    /--cases 9: wrong number .*even/,
  ],
  [
    'an existing folder',
    ['create', '--real', 'real', '--synthetic', 'synthetic', '--out', 'study'],
    2,
    /exists already/,
  ],
])('refuses %s', async (_, args, code, message) => {
  const found = await runCli(['readers', ...args], { cwd })
  expect([found.code, found.stdout]).toEqual([code, ''])
  expect(found.stderr).toMatch(message)
})
