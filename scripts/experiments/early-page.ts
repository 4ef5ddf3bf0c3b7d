import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { STYLE } from '../../dist/report/style.js'
import type { EarlyCell } from './early-cell.js'
import { type EarlyPlan, primaryOf } from './early-plan.js'
import { EARLY_MEASURES, type EarlyVerdict, successPower } from './early-verdict.js'
import { points } from './judgement.js'
import { ARM_WORDS } from './plan.js'
import type { FrozenPlan } from './policy-plan.js'
import type { Estimate } from './statistics.js'

const TRUE_GAINS = [0.05, 0.1, 0.15] as const
const SEEDS = [4, 6, 8, 10, 16, 24] as const

/** Write `results.json` and `index.html` with a title. `frozen` without a commit is a pilot. */
export async function writeEarlyPage(
  title: string,
  out: string,
  frozen: FrozenPlan<EarlyPlan>,
  cells: readonly EarlyCell[],
  verdict: EarlyVerdict,
): Promise<string> {
  const cpuSeconds = cells
    .flatMap((cell) => Object.values(cell.cpuSeconds))
    .reduce((sum, one) => sum + one, 0)
  const results = {
    ...frozen,
    cellsDone: cells.length,
    cpuSeconds,
    power: powerOf(frozen.plan, verdict),
    verdict,
    cells,
  }
  await writeFile(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  const page = join(out, 'index.html')
  const body = [
    verdictSection(frozen, cells.length, verdict, cpuSeconds),
    figureSection(verdict),
    frocSection(verdict),
    seedSection(verdict),
  ]
  await writeFile(
    page,
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>` +
      `<main><header><h1>${title}</h1></header>${body.join('\n')}</main></html>\n`,
  )
  return page
}

/** Return the power for the scatter between the seeds that are there; null before two seeds. */
function powerOf({ wantedGain }: EarlyPlan, { primary }: EarlyVerdict) {
  if (primary === null) return null
  const { sd } = primary
  const rows = SEEDS.flatMap((seeds) =>
    TRUE_GAINS.map((trueGain) => ({ seeds, trueGain, power: successPower(sd, seeds, trueGain, wantedGain) })),
  )
  return { sd, rows }
}

function verdictSection(
  { plan, commit, seeds }: FrozenPlan<EarlyPlan>,
  done: number,
  { primary, toRealOnly, seeds: whole, lesions, missed }: EarlyVerdict,
  cpuSeconds: number,
): string {
  const [arm, opponent] = primaryOf(plan)
  const wanted = seeds.length * plan.labelled.length
  const word = primary === null ? 'no verdict' : primary.success ? 'success' : 'no success'
  const heading = done < wanted ? `Not complete; so far: ${word}` : word[0]!.toUpperCase() + word.slice(1)
  const answer =
    primary === null
      ? 'Fewer than two complete seeds.'
      : `Sensitivity at 5 to 10 mm, ${ARM_WORDS[arm]} less ${ARM_WORDS[opponent]}: ${withPoints(primary.gain)}. Success needs a mean of at least ${points(plan.wantedGain)} and a lower end above 0.`
  const others = Object.entries(toRealOnly).map(
    ([arm, gain]) =>
      `<li>${ARM_WORDS[arm as keyof typeof ARM_WORDS]} less real only: ${withPoints(gain)}</li>`,
  )
  const rates = missed.map(([early, later]) => `${early.toFixed(2)} and ${later.toFixed(2)}`).join('; ')
  return `<section><h2>${heading}</h2><p>${answer}</p><ul>${others.join('')}</ul><p>${done} of ${wanted} cells, ${whole.length} of ${seeds.length} seeds complete;
${Math.round(cpuSeconds)} processor seconds. Plan of commit ${commit}. Operating points: at most ${plan.falsePositivesPerScan} false positives per healthy scan of ${plan.validation.healthy} validation scans.
Test cases of a seed: ${plan.test.sick - plan.validation.sick} with and ${plan.test.healthy - plan.validation.healthy} without tumors; lesions of 5 to 10 mm: ${lesions.join(', ')}.
Rate of validation tumors that the start misses, 5 to 10 and 10 to 20 mm: ${rates}. Intervals: 95 %, t over seed means.</p></section>`
}

/** Return the arms, the one with the lowest sensitivity at 5 to 10 mm first. */
function figureSection({ rows }: EarlyVerdict): string {
  const names = Object.keys(EARLY_MEASURES)
  const lines = rows
    .toSorted(
      (a, b) => a.figures['sensitivity, 5 to 10 mm']!.mean - b.figures['sensitivity, 5 to 10 mm']!.mean,
    )
    .map(
      ({ arm, figures }) =>
        `<tr><th>${ARM_WORDS[arm]}</th>${names.map((name) => `<td>${shown(figures[name]!)}</td>`).join('')}</tr>`,
    )
  return table('Test cases, at the operating point unless stated', names, lines)
}

function frocSection({ rows }: EarlyVerdict): string {
  const rates = rows[0]?.froc.map(({ rate }) => `${rate}`) ?? []
  const lines = rows.map(
    ({ arm, froc }) =>
      `<tr><th>${ARM_WORDS[arm]}</th>${froc.map(({ sensitivity }) => `<td>${sensitivity.toFixed(3)}</td>`).join('')}</tr>`,
  )
  return table('FROC: lesion sensitivity at false positives per test case', rates, lines)
}

function seedSection({ seeds, rows }: EarlyVerdict): string {
  const lines = seeds.map(
    (seed, at) =>
      `<tr><th>${seed}</th>${rows.map(({ bySeed }) => `<td>${bySeed[at]!.toFixed(3)}</td>`).join('')}</tr>`,
  )
  return table(
    'Every seed: sensitivity at 5 to 10 mm',
    rows.map(({ arm }) => ARM_WORDS[arm]),
    lines,
  )
}

function table(title: string, names: readonly string[], lines: readonly string[]): string {
  return `<section><h2>${title}</h2><div class="scroll"><table><thead><tr><th></th>${names.map((name) => `<th>${name}</th>`).join('')}</tr></thead><tbody>${lines.join('')}</tbody></table></div></section>`
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
