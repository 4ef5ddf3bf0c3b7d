import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { appendReview, type ReviewLine } from '../../../src/quality/reviews.js'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

/** Write reviews of eight scans: Bob differs from Ada on two of them, and Eve sees two. */
async function reviewed(): Promise<string> {
  const folder = temporaryFolder()
  const review = (at: number, reviewer: string, decision: ReviewLine['decision']): Promise<void> =>
    appendReview(join(folder, 'reviews.jsonl'), {
      time: '2026-01-02T03:04:05Z',
      reviewer,
      case: `case_${at}`,
      variant: 0,
      tumor: 0,
      sha256: 'a'.repeat(64),
      decision,
      reason: reviewer === 'Bob' ? '=edge' : null,
      seconds: 2,
      version: '0.1.0',
    })
  for (let at = 0; at < 8; at++) {
    await review(at, 'Ada', at < 4 ? 'accept' : 'reject')
    await review(at, 'Bob', at < 2 ? 'accept' : 'reject')
    if (at === 0 || at === 7) await review(at, 'Eve', 'reject')
  }
  return folder
}

describe('freetumor reviews', () => {
  it('shows decisions by reviewer and their agreement, as text and as JSON', async () => {
    const folder = await reviewed()
    const text = await runCli(['reviews', 'show', folder])
    expect(text).toMatchObject({ code: 0, stderr: '' })
    const lines = text.stdout.split('\n')
    expect(lines[0]).toBe(
      `8 tumors reviewed in ${join(folder, 'reviews.jsonl')}: 2 accepted, 4 rejected, 2 undecided`,
    )
    expect(lines[2]).toBe('Bob: 2 accepted, 6 rejected, 2.0 s a decision')
    // observed 6/8; expected (4*2 + 4*6)/64
    expect(lines[4]).toMatch(/^Cohen's kappa, Ada and Bob: 0\.50 \[.*\], 75 % equal decisions, n = 8 tumors$/)
    const json = JSON.parse((await runCli(['reviews', 'show', folder, '--output', 'json'])).stdout)
    expect(json).toMatchObject({ schemaVersion: 1, tumors: { accepted: 2, rejected: 4, undecided: 2 } })
    expect(json.agreement.pairs[0].kappa).toBeCloseTo(0.5, 12)
    expect(json.agreement.overall.n).toBe(8)
  })

  it('prints a CSV that no spreadsheet reads as formulas', async () => {
    const done = await runCli(['reviews', 'csv', join(await reviewed(), 'reviews.jsonl')])
    expect(done).toMatchObject({ code: 0, stderr: '' })
    const lines = done.stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(19)
    expect(lines[0]).toBe('time,reviewer,case,variant,tumor,sha256,decision,reason,seconds,version')
    expect(lines[2]).toContain(",accept,'=edge,2,")
  })

  it('exits with 3 for a missing file and for a damaged line', async () => {
    const folder = temporaryFolder()
    const missing = await runCli(['reviews', 'show', folder])
    expect(missing).toMatchObject({ code: 3, stdout: '' })
    expect(missing.stderr).toContain(`${join(folder, 'reviews.jsonl')}: file not found`)
    const damaged = await reviewed()
    appendFileSync(join(damaged, 'reviews.jsonl'), 'no review\n')
    const refused = await runCli(['reviews', 'csv', damaged])
    expect(refused).toMatchObject({ code: 3, stdout: '' })
    expect(refused.stderr).toContain('reviews.jsonl: line 19: ')
  })

  it('shows no pairs of more than 20 reviewers', async () => {
    const file = join(temporaryFolder(), 'reviews.jsonl')
    const line = (reviewer: string, at: number) => ({
      time: '2026-01-02T03:04:05Z',
      reviewer,
      case: `case_${at}`,
      variant: 0,
      tumor: 0,
      sha256: 'a'.repeat(64),
      decision: at < 3 ? 'accept' : 'reject',
      reason: null,
      seconds: 2,
      version: '0.1.0',
    })
    const reviewers = Array.from({ length: 21 }, (_, at) => `reviewer ${at}`)
    const lines = reviewers.flatMap((name) => Array.from({ length: 6 }, (_, at) => line(name, at)))
    writeFileSync(file, lines.map((one) => `${JSON.stringify(one)}\n`).join(''))
    const { code, stdout } = await runCli(['reviews', 'show', file])
    expect(code).toBe(0)
    expect(stdout).not.toContain('Cohen')
    expect(stdout).toContain("Fleiss' kappa, all reviewers: 1.00")
  })
})
