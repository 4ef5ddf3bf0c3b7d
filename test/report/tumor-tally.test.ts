import { expect, test } from 'vitest'
import { type LedgerEntry, tallyTumors, tumorTable } from '../../src/report/tumor-tally.js'

async function* ledger(...entries: LedgerEntry[]): AsyncIterable<LedgerEntry> {
  yield* entries
}

function tumor(organ: string, size: string, shareSeen: number): LedgerEntry {
  const seen = shareSeen > 0.5
  const [verdict, reason] = seen ? (['accepted', 'seen'] as const) : (['rejected', 'notSeen'] as const)
  return { organ, size, verdict, reason, measures: { shareSeen } }
}

test('counts tumors by organ, and sizes from tiny to large', async () => {
  const tally = await tallyTumors(
    ledger(
      tumor('pancreas', 'tiny', 0.25),
      tumor('liver', 'large', 0.75),
      tumor('liver', 'tiny', 0.75),
      tumor('liver', 'tiny', 0.25),
      { verdict: 'noRoom', reason: 'noRoom' },
    ),
  )
  expect(tally).toEqual({
    rows: [
      { organ: 'liver', size: 'tiny', tried: 2, kept: 1, sumShareSeen: 1 },
      { organ: 'liver', size: 'large', tried: 1, kept: 1, sumShareSeen: 0.75 },
      { organ: 'pancreas', size: 'tiny', tried: 1, kept: 0, sumShareSeen: 0.25 },
    ],
    noRoom: 1,
    copies: 0,
    reasons: [
      { reason: 'notSeen', count: 2 },
      { reason: 'seen', count: 2 },
      { reason: 'noRoom', count: 1 },
    ],
    sweep: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map((threshold) => ({
      threshold,
      above: threshold < 0.25 ? 4 : threshold < 0.75 ? 2 : 0,
      of: 4,
    })),
    mode: 'gated',
  })
  const table = tumorTable(tally)
  expect(table).toContain('In 1 crop there was no room')
  expect(table).toContain('<td>2</td><td>1 <span class="quiet">(50 %)</span></td><td>50 %</td>')
  expect(table).toMatch(/<tfoot>.*all.*<td>4<\/td>/s)
})

test('names the column after the threshold if synthesis training only measured', async () => {
  const seen: LedgerEntry = { ...tumor('liver', 'tiny', 0.9), verdict: 'recorded' }
  const unseen: LedgerEntry = { ...tumor('liver', 'tiny', 0.1), verdict: 'recorded' }
  const tally = await tallyTumors(ledger(seen, unseen))
  expect(tally).toMatchObject({ mode: 'recorded', rows: [{ tried: 2, kept: 1 }] })
  expect(tumorTable(tally)).toContain('above the threshold')
})

test('states that there is no baseline, and shows no fraction', async () => {
  const kept: LedgerEntry = {
    organ: 'liver',
    size: 'tiny',
    verdict: 'accepted',
    reason: 'notJudged',
    measures: { shareSeen: 0 },
  }
  const table = tumorTable(await tallyTumors(ledger(kept)))
  expect(table).toContain('Without a baseline')
  expect(table).toContain('<td>–</td>')
})

test('counts copies of real tumors, which are not painted', async () => {
  const copy: LedgerEntry = { ...tumor('liver', 'tiny', 0.9), method: 'shrunk' }
  const table = tumorTable(await tallyTumors(ledger(copy, tumor('liver', 'tiny', 0.9))))
  expect(table).toContain('1 attempt of 2: smaller copies of real tumors')
  expect(table).not.toContain('painted')
})

test('states that no tumor was painted', async () => {
  expect(tumorTable(await tallyTumors(ledger()))).toContain('No synthetic tumor was painted.')
})
