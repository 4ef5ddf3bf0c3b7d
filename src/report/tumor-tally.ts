import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { percent } from './wording.js'

/** The part of a ledger line that the tally reads, of a training or of an offline synthesis. */
export interface LedgerEntry {
  readonly organ?: string
  readonly size?: string
  readonly verdict: 'accepted' | 'rejected' | 'recorded' | 'noRoom'
  readonly reason: string
  readonly measures?: { readonly shareSeen?: number | null }
  readonly method?: 'shrunk'
}

interface TallyRow {
  readonly organ: string
  readonly size: string
  tried: number
  /** Accepted, or above the threshold if nothing was judged. */
  kept: number
  sumShareSeen: number
}

/** All tumors of a ledger, counted by organ and size. */
export interface TumorTally {
  readonly rows: readonly Readonly<TallyRow>[]
  readonly noRoom: number
  /** Attempts that are smaller copies of real tumors (method `shrunk`). */
  readonly copies: number
  /** Attempts by reason, the most frequent first. */
  readonly reasons: readonly { readonly reason: string; readonly count: number }[]
  /** Attempts with a detected fraction above each threshold, among those that no other rule rejected. */
  readonly sweep: readonly { readonly threshold: number; readonly above: number; readonly of: number }[]
  /**
   * `gated`: verdicts were applied; `recorded`: measured only (synthesis training); `notJudged`: no baseline.
   */
  readonly mode: 'gated' | 'recorded' | 'notJudged'
}

const THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
const SIZES = ['tiny', 'small', 'medium', 'large']

/** Count a ledger of any length in one pass. */
export async function tallyTumors(lines: AsyncIterable<LedgerEntry>): Promise<TumorTally> {
  const rows = new Map<string, TallyRow>()
  const reasons = new Map<string, number>()
  const shares: number[] = []
  let [noRoom, copies] = [0, 0]
  let mode: TumorTally['mode'] = 'gated'
  for await (const {
    organ = 'unknown organ',
    size = 'unknown size',
    verdict,
    reason,
    measures,
    method,
  } of lines) {
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    if (verdict === 'noRoom') {
      noRoom++
      continue
    }
    if (method === 'shrunk') copies++
    if (reason === 'notJudged') mode = 'notJudged'
    else if (verdict === 'recorded') mode = 'recorded'
    const key = `${organ}/${size}`
    const row = rows.get(key) ?? { organ, size, tried: 0, kept: 0, sumShareSeen: 0 }
    rows.set(key, row)
    row.tried++
    row.sumShareSeen += measures?.shareSeen ?? 0
    if (reason === 'seen' || reason === 'notSeen') shares.push(measures?.shareSeen ?? 0)
    if (verdict === 'accepted' || (verdict === 'recorded' && reason !== 'notSeen' && reason !== 'empty'))
      row.kept++
  }
  const sorted = [...rows.values()].sort(
    (a, b) => a.organ.localeCompare(b.organ) || rankOfSize(a.size) - rankOfSize(b.size),
  )
  return {
    rows: sorted,
    noRoom,
    copies,
    reasons: [...reasons]
      .map(([reason, count]) => ({ reason, count }))
      .sort((a, b) => b.count - a.count || a.reason.localeCompare(b.reason)),
    sweep: THRESHOLDS.map((threshold) => ({
      threshold,
      above: shares.filter((share) => share > threshold).length,
      of: shares.length,
    })),
    mode,
  }
}

/** Return the place of a size, from tiny to large; before all of them for another name. */
export function rankOfSize(size: string): number {
  return SIZES.indexOf(size)
}

/** Return the name of the `kept` column. */
export function keptName(mode: TumorTally['mode']): string {
  return mode === 'recorded' ? 'above the threshold' : 'accepted'
}

/** Return the tally as tables. */
export function tumorTable({ rows, noRoom, copies, reasons, sweep, mode }: TumorTally): string {
  const crops = noRoom > 0 ? `<p>In ${counted(noRoom, 'crop')} there was no room for a tumor.</p>` : ''
  if (rows.length === 0) return `<p class="missing">No synthetic tumor was painted.</p>${crops}`
  const total = rows.reduce(
    (sum, row) => ({
      tried: sum.tried + row.tried,
      kept: sum.kept + row.kept,
      sumShareSeen: sum.sumShareSeen + row.sumShareSeen,
    }),
    { tried: 0, kept: 0, sumShareSeen: 0 },
  )
  const method =
    copies === 0
      ? ''
      : `<p>${counted(copies, 'attempt')} of ${total.tried.toLocaleString('en-US')}: smaller copies of real tumors of the same case (method shrunk).</p>`
  const unseen =
    mode === 'notJudged' ? '<p class="warning">Without a baseline, every tumor was accepted.</p>' : ''
  return `${method}${openScroll('Synthetic tumors by organ and size')}<table><caption>By organ and size</caption>
<thead><tr><th scope="col">organ</th><th scope="col" class="word">size</th><th scope="col">${copies > 0 ? 'attempts' : 'painted'}</th><th scope="col">${keptName(mode)}</th><th scope="col">mean detected fraction</th></tr></thead>
<tbody>${rows.map((row) => tallyRow(row.organ, row.size, row, mode)).join('\n')}</tbody>
<tfoot>${tallyRow('all', '', { ...total }, mode)}</tfoot></table></div>${unseen}${crops}${reasonTable(reasons)}${mode === 'notJudged' ? '' : sweepTable(sweep)}`
}

function reasonTable(reasons: TumorTally['reasons']): string {
  const rows = reasons.map(
    ({ reason, count }) =>
      `<tr><th scope="row">${escapeHtml(reason)}</th><td>${count.toLocaleString('en-US')}</td></tr>`,
  )
  return `${openScroll('Attempts by reason')}<table><caption>By reason</caption><thead><tr><th scope="col">reason</th><th scope="col">attempts</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

function sweepTable(sweep: TumorTally['sweep']): string {
  const cells = sweep.map(({ above, of }) => `<td>${of === 0 ? '–' : percent(above / of)}</td>`)
  const heads = sweep.map(({ threshold }) => `<th scope="col">${threshold}</th>`)
  return `${openScroll('Acceptance rate under other thresholds')}<table><caption>Acceptance rate under other thresholds</caption><thead><tr><th scope="col">threshold</th>${heads.join('')}</tr></thead><tbody><tr><th scope="row">accepted</th>${cells.join('')}</tr></tbody></table></div>`
}

function tallyRow(
  organ: string,
  size: string,
  { tried, kept, sumShareSeen }: Pick<TallyRow, 'tried' | 'kept' | 'sumShareSeen'>,
  mode: TumorTally['mode'],
): string {
  const seen = mode === 'notJudged' ? '–' : percent(sumShareSeen / tried)
  return `<tr><th scope="row">${escapeHtml(organ)}</th><td class="word">${escapeHtml(size)}</td><td>${tried.toLocaleString('en-US')}</td><td>${kept.toLocaleString('en-US')} <span class="quiet">(${percent(kept / tried)})</span></td><td>${seen}</td></tr>`
}
