import { escapeHtml } from './escape-html.js'
import { counted, percent } from './wording.js'

/** What is needed of a line of `ledger.jsonl`, of a training or of an offline synthesis. */
export interface LedgerEntry {
  readonly organ?: string
  readonly size?: string
  readonly verdict: 'accepted' | 'rejected' | 'recorded' | 'noRoom'
  readonly reason: string
  readonly measures?: { readonly shareSeen?: number | null }
}

interface TallyRow {
  readonly organ: string
  readonly size: string
  tried: number
  /** Accepted, or seen where nothing was judged. */
  kept: number
  sumShareSeen: number
}

/** All tumors of a ledger, counted by organ and size. */
export interface TumorTally {
  readonly rows: readonly Readonly<TallyRow>[]
  readonly noRoom: number
  /** `gated`: verdicts decided; `recorded`: measured only (synthesis training); `notJudged`: no baseline looked. */
  readonly mode: 'gated' | 'recorded' | 'notJudged'
}

const SIZES = ['tiny', 'small', 'medium', 'large']

/** Counts a ledger of any length in one pass. */
export async function tallyTumors(lines: AsyncIterable<LedgerEntry>): Promise<TumorTally> {
  const rows = new Map<string, TallyRow>()
  let noRoom = 0
  let mode: TumorTally['mode'] = 'gated'
  for await (const { organ = 'unknown organ', size = 'unknown size', verdict, reason, measures } of lines) {
    if (verdict === 'noRoom') {
      noRoom++
      continue
    }
    if (reason === 'notJudged') mode = 'notJudged'
    else if (verdict === 'recorded') mode = 'recorded'
    const key = `${organ}/${size}`
    const row = rows.get(key) ?? { organ, size, tried: 0, kept: 0, sumShareSeen: 0 }
    rows.set(key, row)
    row.tried++
    row.sumShareSeen += measures?.shareSeen ?? 0
    if (verdict === 'accepted' || (verdict === 'recorded' && reason !== 'notSeen' && reason !== 'empty'))
      row.kept++
  }
  const rank = ({ size }: TallyRow): number => SIZES.indexOf(size)
  const sorted = [...rows.values()].sort((a, b) => a.organ.localeCompare(b.organ) || rank(a) - rank(b))
  return { rows: sorted, noRoom, mode }
}

/** What `kept` means in a run. */
export function keptName(mode: TumorTally['mode']): string {
  return mode === 'recorded' ? 'seen well enough to be kept' : 'kept'
}

/** The tally as a table. */
export function tumorTable({ rows, noRoom, mode }: TumorTally): string {
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
  const unseen =
    mode === 'notJudged' ? '<p class="warning">No baseline looked at these tumors, so each was kept.</p>' : ''
  return `<div class="scroll"><table><caption>By organ and size</caption>
<thead><tr><th scope="col">organ</th><th scope="col" class="word">size</th><th scope="col">painted</th><th scope="col">${keptName(mode)}</th><th scope="col">mean share seen</th></tr></thead>
<tbody>${rows.map((row) => tallyRow(row.organ, row.size, row, mode)).join('\n')}</tbody>
<tfoot>${tallyRow('all', '', { ...total }, mode)}</tfoot></table></div>${unseen}${crops}`
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
