import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { STYLE } from '../../dist/report/style.js'
import { points } from './judgement.js'
import { ARM_WORDS } from './plan.js'
import type { FrozenPlan } from './policy-plan.js'
import type { SilentCell } from './silent-cell.js'
import type { SilentPlan } from './silent-plan.js'
import type { SilentRow, SilentVerdict } from './silent-verdict.js'
import type { Estimate } from './statistics.js'

/** Write `results.json` and `index.html`. `frozen` without a commit is a pilot. */
export async function writeSilentPage(
  out: string,
  frozen: FrozenPlan<SilentPlan>,
  cells: readonly SilentCell[],
  verdict: SilentVerdict,
): Promise<string> {
  const cpuSeconds = cells
    .flatMap((cell) => Object.values(cell.cpuSeconds))
    .reduce((sum, one) => sum + one, 0)
  await writeFile(
    join(out, 'results.json'),
    `${JSON.stringify({ ...frozen, cellsDone: cells.length, cpuSeconds, verdict, cells }, null, 2)}\n`,
  )
  const page = join(out, 'index.html')
  const title = 'Do hard negatives silence healthy scans?'
  const { plan } = frozen
  const body = [
    verdictSection(frozen, cells.length, verdict, cpuSeconds),
    ...[plan.primaryLoss, null, ...plan.losses.filter((loss) => loss !== plan.primaryLoss)].map((loss) =>
      tableSection(loss, verdict.rows),
    ),
    seedSection(plan.primaryLoss, verdict),
  ]
  await writeFile(
    page,
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>` +
      `<main><header><h1>${title}</h1></header>${body.join('\n')}</main></html>\n`,
  )
  return page
}

function verdictSection(
  { plan, commit, seeds }: FrozenPlan<SilentPlan>,
  done: number,
  { primary, seeds: whole, rows }: SilentVerdict,
  cpuSeconds: number,
): string {
  const wanted = seeds.length * plan.labelled.length
  const word = primary === null ? 'no verdict' : primary.better ? 'more lesion-free scans' : 'no gain shown'
  const heading = done < wanted ? `Not complete; so far: ${word}` : word[0]!.toUpperCase() + word.slice(1)
  const answer =
    primary === null
      ? 'Fewer than two complete seeds.'
      : `Lesion-free rate with less without hard negatives, at a loss of ${points(plan.primaryLoss)} on the validation cases: ${withPoints(primary.lesionFree)}; the lower end must exceed 0. Sensitivity: ${withPoints(primary.sensitivity)}.`
  const silent = rows
    .filter(({ loss }) => loss === plan.primaryLoss)
    .every(({ figures }) => figures.lesionFree.mean === 0)
  const floor =
    primary !== null && silent
      ? '<p class="warning">No scan is lesion-free with any arm at this loss: these segmentors are too weak for the question, so equal rates are no evidence about hard negatives.</p>'
      : ''
  return `<section><h2>${heading}</h2><p>${answer}</p>${floor}<p>${done} of ${wanted} cells, ${whole.length} of ${seeds.length} seeds complete;
${Math.round(cpuSeconds)} processor seconds. Plan of commit ${commit}. Operating points: fitted on ${plan.validation.sick} validation cases with tumors and ${plan.validation.healthy} without,
measured on ${plan.test.sick - plan.validation.sick} and ${plan.test.healthy - plan.validation.healthy} others. Intervals: 95 %, t over seed means.</p></section>`
}

/** Return the arms at one accepted loss, the one with the fewest lesion-free scans first. */
function tableSection(loss: number | null, rows: readonly SilentRow[]): string {
  const own = rows
    .filter((row) => row.loss === loss)
    .toSorted((a, b) => a.figures.lesionFree.mean - b.figures.lesionFree.mean)
  if (own.length === 0) return ''
  const lines = own.map(
    ({ arm, figures }) =>
      `<tr><th>${ARM_WORDS[arm]}</th><td>${shown(figures.lesionFree)}</td><td>${shown(figures.sensitivity)}</td><td>${shown(figures.falsePositives)}</td></tr>`,
  )
  return `<section><h2>${loss === null ? 'All lesions kept' : `Accepted loss of ${points(loss)}`}</h2><div class="scroll"><table><thead><tr><th></th><th>lesion-free healthy scans</th><th>lesion sensitivity</th><th>false positives per healthy scan</th></tr></thead><tbody>${lines.join('')}</tbody></table></div></section>`
}

function seedSection(loss: number, { seeds, rows }: SilentVerdict): string {
  const own = rows.filter((row) => row.loss === loss)
  if (own.length === 0) return ''
  const lines = seeds.map(
    (seed, at) =>
      `<tr><th>${seed}</th>${own.map(({ bySeed }) => `<td>${bySeed[at]!.toFixed(3)}</td>`).join('')}</tr>`,
  )
  return `<section><h2>Every seed: lesion-free rate at the primary loss</h2><div class="scroll"><table><thead><tr><th>seed</th>${own.map(({ arm }) => `<th>${ARM_WORDS[arm]}</th>`).join('')}</tr></thead><tbody>${lines.join('')}</tbody></table></div></section>`
}

/** A single seed has no interval. */
function shown({ mean, ci }: Estimate): string {
  const interval = Number.isFinite(ci[0])
    ? ` <span class="quiet">${ci[0].toFixed(2)} to ${ci[1].toFixed(2)}</span>`
    : ''
  return `${mean.toFixed(3)}${interval}`
}

function withPoints({ mean, ci }: Estimate): string {
  return `${points(mean)} (${points(ci[0])} to ${points(ci[1])})`
}
