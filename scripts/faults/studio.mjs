#!/usr/bin/env node
/**
 * Kill `freetumor studio` at random moments while two reviewers send decisions. Every decision that the server
 * acknowledged must be in reviews.jsonl, every line must be valid, and no decision may appear twice.
 *
 *     npm run build && node scripts/faults/studio.mjs [--kills 50] [--seed 0]
 *
 * Prints JSON; exit code 1 when a decision was lost.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readReviews } from '../../dist/quality/reviews.js'
import { cli, randomOf } from './campaign.mjs'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, seed: { type: 'string', default: '0' } },
})
const TUMORS = 500
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-studio-'))
const file = join(folder, 'reviews.jsonl')
const report = { seed: values.seed, kills: 0, acknowledged: 0, unanswered: 0, lost: 0, repeated: 0, lines: 0 }
/** Reasons of acknowledged decisions: each is used once. */
const acknowledged = new Set()
try {
  writeDataSet()
  for (let kill = 0; kill < Number(values.kills); kill++) await decideUntilKilled(kill)
  const lines = await readReviews(file)
  const found = new Map()
  for (const { reason } of lines) found.set(reason, (found.get(reason) ?? 0) + 1)
  report.lines = lines.length
  report.acknowledged = acknowledged.size
  report.lost = [...acknowledged].filter((reason) => !found.has(reason)).length
  report.repeated = [...found.values()].filter((count) => count > 1).length
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
if (report.lost > 0 || report.repeated > 0 || report.acknowledged === 0) process.exitCode = 1

function writeDataSet() {
  mkdirSync(join(folder, 'imagesTr'))
  const sha256 = createHash('sha256').update('scan').digest('hex')
  const lines = Array.from({ length: TUMORS }, (_, tumor) => ({
    case: 'a',
    variant: 0,
    tumor,
    attempt: 0,
    verdict: 'accepted',
    reason: 'seen',
    file: 'a_v000.nii.gz',
    sha256,
  }))
  writeFileSync(join(folder, 'ledger.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  writeFileSync(join(folder, 'dataset.json'), '{}')
  writeFileSync(join(folder, 'imagesTr/a_v000.nii.gz'), 'scan')
}

async function decideUntilKilled(kill) {
  const server = spawn(process.execPath, [cli, 'studio', folder, '--control', '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(server, 'exit')
  let text = ''
  for await (const chunk of server.stdout) {
    text += chunk
    if (text.trimEnd().endsWith('}')) break
  }
  const { origin, hash } = new URL(JSON.parse(text).url)
  const headers = {
    Authorization: `Bearer ${hash.slice('#token='.length)}`,
    'Content-Type': 'application/json',
  }
  const { collections } = await (await fetch(`${origin}/api/collections`, { headers })).json()
  const path = `${origin}/api/collections/${collections[0].id}`
  const { revision } = await (await fetch(path, { headers })).json()
  const send = async (reviewer) => {
    for (let at = 0; ; at = (at + 1) % TUMORS) {
      const reason = `${kill}/${reviewer}/${at}/${random()}`
      const body = JSON.stringify({ revision, at, reviewer, decision: 'reject', reason, seconds: 1 })
      try {
        const answer = await fetch(`${path}/reviews`, { method: 'POST', headers, body })
        if (!answer.ok) throw new Error(`refused: ${await answer.text()}`)
        await answer.json()
        acknowledged.add(reason)
      } catch (error) {
        if (String(error).includes('refused')) throw error
        report.unanswered++
        return
      }
    }
  }
  const before = acknowledged.size
  const reviewers = ['Ana', 'Ben'].map(send)
  // a busy machine answers late: the kill must hit a server that appends
  while (acknowledged.size === before) await delay(5)
  await delay(random() * 300)
  server.kill('SIGKILL')
  report.kills++
  await Promise.all([...reviewers, ended])
}
