import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { STYLE } from '../../dist/report/style.js'
import { points, signed } from './judgement.js'
import { ARM_WORDS } from './plan.js'
import type { PolicyCell } from './policy-cell.js'
import type { FrozenPlan } from './policy-plan.js'
import type { ArmVerdict, PointMeasure, PolicyVerdict } from './policy-verdict.js'
import type { Estimate } from './statistics.js'

const WORDS: Readonly<Record<PointMeasure, string>> = {
  dice: 'tumor Dice',
  sensitivity: 'lesion sensitivity',
  falsePositives: 'false positives per healthy scan',
  lesionFree: 'lesion-free healthy scans',
}

/** Write `results.json` and `index.html`: what did not work comes first. */
export async function writePolicyPage(
  out: string,
  frozen: FrozenPlan,
  cells: readonly PolicyCell[],
  verdict: PolicyVerdict,
): Promise<string> {
  const cpuSeconds = cells
    .flatMap((cell) => Object.values(cell.cpuSeconds))
    .reduce((sum, one) => sum + one, 0)
  const results = { ...frozen, cellsDone: cells.length, cpuSeconds, verdict, cells: cells.map(withoutCases) }
  await writeFile(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  const page = join(out, 'index.html')
  const title = 'Does a calibrated quality policy cost Dice?'
  const body = [
    verdictSection(frozen, cells, verdict, cpuSeconds),
    ...[null, ...frozen.plan.labelled].map((labelled) => tableSection(labelled, verdict)),
    seedSection(verdict),
    tumorSection(cells),
  ]
  await writeFile(
    page,
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>` +
      `<main><header><h1>${title}</h1></header>${body.join('\n')}</main></html>\n`,
  )
  return page
}

function withoutCases({ arms, ...cell }: PolicyCell) {
  const figures = Object.entries(arms).map(([arm, { test, unfiltered }]) => [arm, { test, unfiltered }])
  return { ...cell, arms: Object.fromEntries(figures) }
}

function verdictSection(
  { plan, commit, seeds }: FrozenPlan,
  cells: readonly PolicyCell[],
  { primary, secondary, seeds: whole }: PolicyVerdict,
  cpuSeconds: number,
): string {
  const wanted = seeds.length * plan.labelled.length
  const word = primary === null ? 'no verdict' : primary.notWorse ? 'not worse' : 'not shown to be not worse'
  const heading =
    cells.length < wanted ? `Not complete; so far: ${word}` : word[0]!.toUpperCase() + word.slice(1)
  const lines = [
    primary === null
      ? 'Primary: fewer than two complete seeds.'
      : `Primary: calibrated less all kept, ${withPoints(primary.estimate)} of Dice; the lower end must exceed ${points(-plan.margin)}.`,
    secondary === null
      ? ''
      : `Secondary: false positives per healthy scan, calibrated less published, without operating point: ${signed(secondary.mean)} (${signed(secondary.ci[0])} to ${signed(secondary.ci[1])}).`,
  ]
  return `<section><h2>${heading}</h2><p>${cells.length} of ${wanted} cells, ${whole.length} of ${seeds.length} seeds complete;
${Math.round(cpuSeconds)} processor seconds. Plan of commit ${commit}; its seeds derive from it.
Operating points: at most ${plan.falsePositivesPerScan} false positives per healthy scan of ${plan.validation.healthy} validation scans.
Intervals: 95 %, t over seed means.</p><ul>${lines.map((line) => (line === '' ? '' : `<li>${line}</li>`)).join('')}</ul></section>`
}

/** Return the arms, the one with the largest loss against all kept first. */
function tableSection(labelled: number | null, { arms }: PolicyVerdict): string {
  const own = arms
    .filter((one) => one.labelled === labelled)
    .toSorted((a, b) => (a.diceToAllKept?.mean ?? 0) - (b.diceToAllKept?.mean ?? 0))
  if (own.length === 0) return ''
  const names = Object.keys(WORDS) as PointMeasure[]
  const row = ({ arm, figures, unfiltered, diceToAllKept }: ArmVerdict): string =>
    `<tr><th>${ARM_WORDS[arm]}</th>${names.map((name) => `<td>${shown(figures[name])}</td>`).join('')}<td>${diceToAllKept === null ? '' : withPoints(diceToAllKept)}</td><td>${shown(unfiltered.dice)}</td><td>${shown(unfiltered.falsePositives)}</td></tr>`
  const head = [
    ...names.map((name) => WORDS[name]),
    'Dice less all kept',
    'Dice, all lesions',
    'false positives, all lesions',
  ]
  return `<section><h2>${labelled === null ? 'Mean over the numbers of labelled cases' : `${labelled} labelled cases`}</h2>
<div class="scroll"><table><thead><tr><th></th>${head.map((text) => `<th>${text}</th>`).join('')}</tr></thead><tbody>${own.map(row).join('')}</tbody></table></div></section>`
}

function seedSection({ seeds, arms }: PolicyVerdict): string {
  const own = arms.filter(({ labelled, diceToAllKept }) => labelled === null && diceToAllKept !== null)
  if (own.length === 0) return ''
  const rows = seeds.map(
    (seed, at) =>
      `<tr><th>${seed}</th>${own.map(({ bySeed }) => `<td>${points(bySeed[at])}</td>`).join('')}</tr>`,
  )
  return `<section><h2>Every seed: Dice less all kept</h2><div class="scroll"><table><thead><tr><th>seed</th>${own.map(({ arm }) => `<th>${ARM_WORDS[arm]}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function tumorSection(cells: readonly PolicyCell[]): string {
  const rows = cells.flatMap(({ seed, labelled, tumors }) =>
    Object.entries(tumors).map(
      ([arm, { accepted, attempts, crops }]) =>
        `<tr><th>${seed}, ${labelled}, ${ARM_WORDS[arm as keyof typeof ARM_WORDS]}</th><td>${attempts}</td><td>${accepted}</td><td>${crops}</td><td>${((100 * accepted) / Math.max(1, crops)).toFixed(0)} %</td></tr>`,
    ),
  )
  return `<section><h2>Tumors of the trainings</h2><div class="scroll"><table><thead><tr><th>seed, labelled cases, arm</th><th>attempts</th><th>accepted</th><th>crops</th><th>crops with a tumor</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function shown({ mean, ci }: Estimate): string {
  return `${mean.toFixed(3)} <span class="quiet">${ci[0].toFixed(2)} to ${ci[1].toFixed(2)}</span>`
}

function withPoints({ mean, ci }: Estimate): string {
  return `${points(mean)} (${points(ci[0])} to ${points(ci[1])})`
}
