#!/usr/bin/env node
/**
 * Kill two processes that append reviews to one file, at random moments, again and again. After each kill, cut the file of
 * one of them as a power failure would: a part of a further line is left. No acknowledged decision may be lost, and every
 * line must be valid JSON or blank.
 *
 *     npm run build && node scripts/faults/reviews.mjs [--kills 50] [--seed 0]
 *
 * Prints JSON; exit code 1 when a decision was lost.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readReviews } from '../../dist/quality/reviews.js'
import { randomOf } from './campaign.mjs'

const writer = join(dirname(fileURLToPath(import.meta.url)), '../../test/quality/append-reviews.mjs')
const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, seed: { type: 'string', default: '0' } },
})
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-reviews-'))
const file = join(folder, 'reviews.jsonl')
const acknowledged = { Ada: new Set(), Bob: new Set() }
const next = { Ada: 0, Bob: 0 }
let torn = 0

/** Start a writer, and kill it after a number of acknowledged decisions and a random delay. */
function appendUntilKilled(reviewer) {
  const child = spawn(process.execPath, [writer, file, reviewer, String(next[reviewer])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const wanted = 1 + Math.floor(random() * 20)
  const delayMs = random() * 20
  let rest = ''
  let found = 0
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    for (const line of lines) acknowledged[reviewer].add(Number(line))
    found += lines.length
    if (found >= wanted && found - lines.length < wanted) setTimeout(() => child.kill('SIGKILL'), delayMs)
  })
  return new Promise((resolve, reject) =>
    child.once('close', (code, signal) =>
      signal === 'SIGKILL' ? resolve() : reject(new Error(`the writer ended with ${code}`)),
    ),
  )
}

let kills = 0
try {
  while (kills < Number(values.kills)) {
    await Promise.all([appendUntilKilled('Ada'), appendUntilKilled('Bob')])
    kills += 2
    for (const reviewer of ['Ada', 'Bob']) next[reviewer] += 1000
    if (random() < 0.5) continue
    torn++
    appendFileSync(
      file,
      '{"time":"2026-01-02T03:04:05Z","reviewer":"Ada"'.slice(0, 1 + Math.floor(random() * 46)),
    )
  }
  const lines = await readReviews(file)
  const lost = Object.entries(acknowledged).flatMap(([reviewer, tumors]) => {
    const present = new Set(lines.filter((line) => line.reviewer === reviewer).map(({ tumor }) => tumor))
    return [...tumors].filter((tumor) => !present.has(tumor)).map((tumor) => `${reviewer} ${tumor}`)
  })
  const acknowledgedCount = acknowledged.Ada.size + acknowledged.Bob.size
  const blank = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => /^ +$/.test(line)).length
  const report = {
    kills,
    tornLines: torn,
    acknowledged: acknowledgedCount,
    inFile: lines.length,
    blank,
    lost,
  }
  console.log(JSON.stringify(report, null, 2))
  if (lost.length > 0 || acknowledgedCount === 0) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
