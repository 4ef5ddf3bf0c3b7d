#!/usr/bin/env node
/**
 * Kill `freetumor readers serve` at random moments while three readers answer. Every answer that the server acknowledged must be
 * in the journal once, and each reader must continue at the next case.
 *
 *     npm run build && node scripts/faults/answers.mjs [--kills 50] [--seed 0]
 *
 * Prints JSON; exit code 1 when an answer was lost or repeated.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readJournal } from '../../dist/readers/journal.js'
import { volumeFile } from '../../dist/readers/study.js'
import { cli, randomOf, runCampaign } from './campaign.mjs'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, seed: { type: 'string', default: '0' } },
})
const CASES = 1990
const random = randomOf(values.seed)
const folder = mkdtempSync(join(tmpdir(), 'freetumor-answers-'))
/** Confidence of each acknowledged answer. */
const acknowledged = new Map()
const report = {
  held: false,
  seed: values.seed,
  kills: 0,
  acknowledged: 0,
  unanswered: 0,
  lost: 0,
  repeated: 0,
}

await runCampaign(folder, async () => {
  writeStudy()
  for (let kill = 0; kill < Number(values.kills); kill++) await answerUntilKilled()
  const { lines, unfinished } = await readJournal(join(folder, 'answers.jsonl'))
  const found = new Map()
  for (const { reader, position, confidence } of lines) {
    const key = `${reader} ${position}`
    if (found.has(key)) report.repeated++
    found.set(key, confidence)
  }
  report.acknowledged = acknowledged.size
  report.lost = [...acknowledged].filter(([key, confidence]) => found.get(key) !== confidence).length
  const ends = ['R01', 'R02', 'R03'].map((reader) => lines.filter((line) => line.reader === reader).length)
  const isWhole = ends.every(
    (end, at) => found.has(`R0${at + 1} ${end}`) && !found.has(`R0${at + 1} ${end + 1}`),
  )
  const held = report.lost === 0 && report.repeated === 0 && isWhole && report.acknowledged > 0
  return { ...report, held, unfinishedLines: unfinished, lines: lines.length }
})

/** Write a study of tiny volumes. */
function writeStudy() {
  mkdirSync(join(folder, 'volumes'))
  for (let at = 1; at <= CASES; at++) writeFileSync(join(folder, volumeFile('case', at)), Buffer.alloc(1024))
  const study = {
    ...{ version: 1, id: '0'.repeat(16), seed: 0, organs: ['liver'], cases: CASES, repeated: [] },
    ...{ shape: [8, 8, 8], spacingMm: 1, timeLimitSeconds: null, examples: [], notes: [] },
    robot: { cues: [], threshold: 0.001, separating: [], attainable: 0.001 },
  }
  writeFileSync(join(folder, 'study.json'), JSON.stringify(study))
}

async function answerUntilKilled() {
  const argv = [cli, 'readers', 'serve', folder, '--readers', '3', '--output', 'json']
  const server = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(server, 'exit')
  let text = ''
  for await (const chunk of server.stdout) {
    text += chunk
    if (text.endsWith('}\n')) break
  }
  const before = acknowledged.size
  const readers = JSON.parse(text).readers.map(answerAll)
  // a busy machine answers late: the kill must hit a server that appends
  while (acknowledged.size === before) await delay(5)
  await delay(random() * 300)
  server.kill('SIGKILL')
  report.kills++
  await Promise.all([...readers, ended])
}

/** Answer one case after another until the server does not respond. */
async function answerAll({ id, url, answered }) {
  const { origin, hash } = new URL(url)
  const headers = {
    Authorization: `Bearer ${hash.slice('#token='.length)}`,
    'Content-Type': 'application/json',
  }
  for (let position = answered + 1; position <= CASES; position++) {
    const confidence = 1 + Math.floor(random() * 5)
    const body = JSON.stringify({ position, answer: 'real', confidence, clickMm: null, seconds: 1 })
    try {
      const response = await fetch(`${origin}/api/answers`, { method: 'POST', headers, body })
      if (!response.ok) throw new Error(`refused: ${await response.text()}`)
      await response.json()
      acknowledged.set(`${id} ${position}`, confidence)
    } catch (error) {
      if (String(error).includes('refused')) throw error
      report.unanswered++
      return
    }
  }
}
