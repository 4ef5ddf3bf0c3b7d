import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import {
  answersOf,
  appendToJournal,
  type ReaderAnswer,
  readJournal,
  renameInJournal,
} from '../../src/readers/journal.js'
import { temporaryFolder } from '../helpers/temporary.js'

const newFile = (): string => join(temporaryFolder(), 'answers.jsonl')
const answer = (change: Partial<ReaderAnswer> = {}): ReaderAnswer => ({
  kind: 'answer',
  time: '2026-01-02T03:04:05.678Z',
  reader: 'R01',
  position: 1,
  case: 4,
  showing: 1,
  answer: 'real',
  confidence: 3,
  clickMm: [1, 2.5, -3],
  seconds: 4.5,
  overTime: false,
  version: '1.0.0',
  ...change,
})

describe('the journal of a reader study', () => {
  test('is private, and holds one line for each answer', async () => {
    const file = newFile()
    await appendToJournal(file, answer())
    await appendToJournal(file, answer({ position: 2, clickMm: null }))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const { lines, unfinished } = await readJournal(file)
    expect(lines).toEqual([answer(), answer({ position: 2, clickMm: null })])
    expect(unfinished).toBe(0)
  })

  test.each([1, 20, 100])('keeps all other lines if a killed server left %i bytes of one', async (bytes) => {
    const file = newFile()
    await appendToJournal(file, answer())
    appendFileSync(file, JSON.stringify(answer({ position: 2 })).slice(0, bytes))
    await appendToJournal(file, answer({ position: 3 }))
    const { lines, unfinished } = await readJournal(file)
    expect(lines.map(({ position }) => position)).toEqual([1, 3])
    expect(unfinished).toBe(1)
  })

  test('counts the first answer on a place only', () => {
    const lines = [answer(), answer({ answer: 'synthetic' }), answer({ reader: 'R02' })]
    expect(answersOf(lines)).toEqual([lines[0], lines[2]])
  })

  test('deletes or renames a reader', async () => {
    const file = newFile()
    for (const reader of ['anna', 'ben', 'anna']) await appendToJournal(file, answer({ reader }))
    await renameInJournal(file, 'ben', 'R03')
    await renameInJournal(file, 'anna', null)
    expect((await readJournal(file)).lines.map(({ reader }) => reader)).toEqual(['R03'])
    expect(readFileSync(file, 'utf8')).not.toMatch(/anna|ben/)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('refuses a line of another kind', async () => {
    const file = newFile()
    appendFileSync(file, '{"case": 1}\n')
    await expect(readJournal(file)).rejects.toThrow(DataError)
  })
})
