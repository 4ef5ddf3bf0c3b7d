import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lineChart, type Point } from '../../dist/report/chart.js'
import { parseTumorPicture } from '../../dist/report/pictures.js'
import { sliceRow } from '../../dist/report/slice-view.js'
import { STYLE } from '../../dist/report/style.js'
import { tumorViews } from '../../dist/report/tumor-section.js'
import type { CellResult } from './cell.js'
import { type Checks, linesOf, readChecks } from './checks.js'
import { explain } from './explanation.js'
import { type Comparison, type Conclusion, judgedOf, points } from './judgement.js'
import { ARM_WORDS, type Arm, cellName, type Plan } from './plan.js'
import { MEASURE_WORDS, type MeasureName } from './results.js'
import type { Estimate } from './statistics.js'
import type { OracleScore } from './threshold-oracle.js'

/** Content of `results.json`. */
export interface Results {
  readonly plan: Plan
  readonly cellsDone: number
  readonly cells: number
  readonly cpuSeconds: number
  readonly oracle: OracleScore
  readonly comparisons: readonly Comparison[]
  readonly conclusion: Conclusion | null
}

/** Write `index.html`, which needs no other file. */
export async function writePage(
  out: string,
  plan: Plan,
  cells: readonly CellResult[],
  results: Results,
): Promise<string> {
  const checks = await readChecks(out)
  const first = cells[0] === undefined ? null : join(out, 'cells', cellName(cells[0]))
  const page = join(out, 'index.html')
  const body = [
    verdictSection(results),
    meaningSection(results, checks),
    ...results.comparisons.toReversed().map(comparisonSection),
    oracleSection(results),
    checks === null ? '' : checksSection(checks),
    first === null ? '' : await curvesSection(first, plan),
    first === null ? '' : await picturesSection(first, plan),
  ]
  const title = 'Do synthetic tumors help where labels are few?'
  await writeFile(
    page,
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>` +
      `<main><header><h1>${title}</h1></header>${body.join('\n')}</main></html>\n`,
  )
  return page
}

function verdictSection({ conclusion, plan, cellsDone, cells, cpuSeconds, comparisons }: Results): string {
  const conditions = (conclusion?.conditions ?? [])
    .map(({ text, met }) => `<li>${met ? 'yes' : '<strong>no</strong>'}: ${text}</li>`)
    .join('')
  const { sick, healthy } = plan.test
  return `<section><h2>${verdictWords(conclusion, judgedOf(comparisons), cellsDone === cells)}</h2>
<p>${cellsDone} of ${cells} cells are done: seeds ${plan.seeds.join(', ')}, ${plan.labelled.join(' and ')} labelled cases,
${plan.hosts} hosts, ${sick} held-out phantoms with tumors and ${healthy} healthy ones, the same for all.
${plan.steps.start} steps to the common start, which is also the baseline that judges, ${plan.steps.generator} of the generator,
${plan.steps.arm} of each arm, all from the common start. ${Math.round(cpuSeconds)} processor seconds.</p>
<ul>${conditions}</ul></section>`
}

/** A run that is not done has no verdict, whatever its figures are so far. */
function verdictWords(conclusion: Conclusion | null, judged: Comparison | null, done: boolean): string {
  if (conclusion === null || judged === null) return 'No verdict'
  const word = conclusion.gain ? 'gain' : 'no gain'
  if (done) return word === 'gain' ? 'Gain' : 'No gain'
  const of = judged.labelled === null ? 'all numbers of labelled cases' : `${judged.labelled} labelled cases`
  const seeds = `${judged.seeds.length === 1 ? 'seed' : 'seeds'} ${judged.seeds.join(', ')}`
  return `Not done, so no verdict; so far, of ${of} and ${seeds}: ${word}`
}

function meaningSection({ comparisons }: Results, checks: Checks | null): string {
  const judged = judgedOf(comparisons)
  if (judged === null) return ''
  const sentences = explain(judged, checks).map((sentence) => `<li>${sentence}</li>`)
  return `<section><h2>Results of the ablations</h2><ul>${sentences.join('')}</ul></section>`
}

const SHOWN: readonly MeasureName[] = [
  'tumorDice',
  'sensitivity',
  'falsePositivesHealthy',
  'falsePositiveMlHealthy',
  'sensitivityBelow10Mm',
  'sensitivity10To15Mm',
  'sensitivityFrom15Mm',
]

function comparisonSection({ labelled, seeds, arms, trainedToHandCrafted }: Comparison): string {
  const title = labelled === null ? 'Mean over the numbers of labelled cases' : `${labelled} labelled cases`
  const head = ['', ...SHOWN.map((name) => MEASURE_WORDS[name]), 'Dice less real only'].map(
    (text) => `<th>${text}</th>`,
  )
  const rows = arms.map(({ arm, figures, diceToRealOnly }) => {
    const cells = SHOWN.map((name) => `<td>${withInterval(figures[name])}</td>`)
    return `<tr><th>${ARM_WORDS[arm]}</th>${cells.join('')}<td>${pointsWithInterval(diceToRealOnly)}</td></tr>`
  })
  const beside = trainedToHandCrafted
    ? `<p>Trained generator less hand-crafted: ${pointsWithInterval(trainedToHandCrafted)}.</p>`
    : ''
  return `<section><h2>${title}</h2><div class="scroll"><table>
<caption>${seeds.length === 1 ? 'One seed: the intervals hold no scatter between seeds' : `${seeds.length} seeds`}; 95 % intervals over seeds and cases, both drawn with replacement; differences are paired</caption>
<thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>${beside}</section>`
}

function oracleSection({ oracle, comparisons }: Results): string {
  const rows = comparisons.map(({ labelled, arms }) => {
    const mean = (arm: string): number | undefined =>
      arms.find((one) => one.arm === arm)?.figures.tumorDice?.mean
    const start = mean('start')
    const below = start !== undefined && start <= oracle.tumorDice ? ', <strong>below it</strong>' : ''
    const best = Math.max(...arms.map(({ figures }) => figures.tumorDice?.mean ?? 0))
    const of = labelled === null ? 'on average' : `with ${labelled} labelled cases`
    return `<li>${of}: ${start?.toFixed(3) ?? 'unknown'} at the common start${below}; ${best.toFixed(3)} of the best arm</li>`
  })
  return `<section><h2>Is a threshold enough?</h2><p>The best pair of limits on smoothed values inside the true organ, chosen on
the held-out cases themselves, reaches tumor Dice ${oracle.tumorDice.toFixed(3)}. The segmentors, which get no organ:</p>
<ul>${rows.join('')}</ul></section>`
}

function checksSection({ cell, shareSeen, discriminatorLoss, looks, judged }: Checks): string {
  const rising = shareSeen
    .map(
      (one) => `<tr><th>${one.cell}</th><td>${one.first.toFixed(2)}</td><td>${one.last.toFixed(2)}</td></tr>`,
    )
    .join('')
  const look = Object.entries(looks)
    .map(([name, one]) =>
      one === null
        ? `<tr><th>${name}</th><td colspan="4">none</td></tr>`
        : `<tr><th>${name === 'real' ? 'real' : ARM_WORDS[name as Arm]}</th><td>${one.tumors}</td><td>${one.contrastHu.toFixed(0)}</td><td>${one.textureHu.toFixed(1)}</td><td>${one.volumeMl.toFixed(2)}</td></tr>`,
    )
    .join('')
  const verdicts = judged
    .filter(({ arm }) => arm !== 'plainHosts')
    .map(({ cell: name, arm, kept, rejected, measures }) => {
      const pair = (key: string): string =>
        `<td>${short(measures[key]?.kept)}</td><td>${short(measures[key]?.rejected)}</td>`
      const share = kept + rejected === 0 ? '' : ((100 * kept) / (kept + rejected)).toFixed(0)
      return `<tr><th>${name}, ${ARM_WORDS[arm as Arm]}</th><td>${kept}</td><td>${rejected}</td><td>${share}</td>${pair('contrastHu')}${pair('volumeMl')}${pair('shareSeen')}</tr>`
    })
    .join('')
  return `<section><h2>Does the GAN learn?</h2>
<table><caption>Share of synthetic voxels that the baseline sees while the generator trains</caption>
<thead><tr><th></th><th>first tenth of the steps</th><th>last tenth</th></tr></thead><tbody>${rising}</tbody></table>
<p>A new discriminator, trained against a generator that does not learn (seed ${cell.seed}, ${cell.labelled} labelled cases): its loss is
${discriminatorLoss.untrainedGenerator.toFixed(3)} where the generator is untrained and ${discriminatorLoss.trainedGenerator.toFixed(3)}
where it is trained; 0 is perfect, about 0.67 carries no information.</p>
<table><caption>Real tumors of the labelled cases and kept synthetic ones</caption>
<thead><tr><th></th><th>tumors</th><th>contrast, HU</th><th>texture (SD), HU</th><th>volume, ml</th></tr></thead><tbody>${look}</tbody></table>
<div class="scroll"><table><caption>What quality control kept and rejected</caption>
<thead><tr><th></th><th>kept</th><th>rejected</th><th>% kept</th><th>contrast, kept</th><th>rejected</th><th>ml, kept</th><th>rejected</th><th>seen, kept</th><th>rejected</th></tr></thead><tbody>${verdicts}</tbody></table></div></section>`
}

interface StepLine {
  readonly type: string
  readonly step: number
  readonly losses?: Readonly<Record<string, number>>
  readonly shareSeen?: number | null
}

async function curvesSection(folder: string, plan: Plan): Promise<string> {
  const curves = async (
    run: string,
    take: (line: StepLine) => number | null | undefined,
  ): Promise<Point[]> => {
    const found: Point[] = []
    for await (const line of linesOf<StepLine>(join(folder, run, 'events.jsonl'))) {
      const value = take(line)
      if (typeof value === 'number') found.push([line.step + 1, value])
    }
    return found
  }
  const arms = await Promise.all(
    plan.arms.slice(0, 4).map(async (arm) => ({
      name: ARM_WORDS[arm],
      points: await curves(arm, ({ losses }) => losses?.total),
    })),
  )
  const charts = [lineChart(arms, { title: 'Loss of the arms', x: 'step', y: 'loss', spread: false })]
  if (plan.arms.includes('trained')) {
    const names = ['generator', 'adversarial', 'segmentation', 'discriminator']
    const losses = await Promise.all(
      names.map(async (name) => ({
        name,
        points: await curves('generator', ({ losses: all }) => all?.[name]),
      })),
    )
    const seen = {
      name: 'detected fraction',
      points: await curves('generator', ({ shareSeen }) => shareSeen),
    }
    charts.push(
      lineChart(losses, {
        title: 'Losses of generator and discriminator',
        x: 'step',
        y: 'loss',
        spread: false,
      }),
      lineChart([seen], {
        title: 'What the baseline sees of the generator’s tumors',
        x: 'step',
        y: 'share',
        range: [0, 1],
      }),
    )
  }
  return `<section><h2>Curves of the first cell</h2><div class="columns">${charts.join('')}</div></section>`
}

async function picturesSection(folder: string, plan: Plan): Promise<string> {
  const sections: string[] = []
  for (const arm of plan.arms.filter((one) => one === 'handCrafted' || one === 'trained')) {
    const verdicts = new Map<string, string>()
    for await (const line of linesOf<{ step: number; item: number; crop: number; verdict: string }>(
      join(folder, arm, 'ledger.jsonl'),
    ))
      verdicts.set(`${line.step}/${line.item}/${line.crop}`, line.verdict)
    const all = await readdir(join(folder, arm, 'pictures')).catch(() => [] as string[])
    // the others are the first of each organ and size, not spread over the training
    const names = all.filter((name) => name.startsWith('step_')).sort()
    const figures = await Promise.all(
      names.map(async (name) => {
        const file = join(folder, arm, 'pictures', name)
        const picture = parseTumorPicture(file, JSON.parse(await readFile(file, 'utf8')))
        if (picture.kind === 'real') return ''
        const views = tumorViews(picture.planes[0]!, `${picture.size} ${picture.organ} tumor`, true)
        const verdict = verdicts.get(picture.attempt) ?? 'unknown'
        return `<figure>${sliceRow(views)}<figcaption>${verdict === 'accepted' ? 'kept' : verdict}, ${picture.where}<span class="quiet">seen ${short(picture.shareSeen ?? undefined)}</span></figcaption></figure>`
      }),
    )
    sections.push(`<h3>${ARM_WORDS[arm]}</h3><div class="pictures">${figures.join('')}</div>`)
  }
  return `<section><h2>Examples of the first cell</h2>${sections.join('')}</section>`
}

function withInterval(estimate: Estimate | undefined): string {
  if (estimate === undefined) return '–'
  const [low, high] = estimate.ci
  return `${estimate.mean.toFixed(3)} <span class="quiet">${low.toFixed(2)} to ${high.toFixed(2)}</span>`
}

function pointsWithInterval(estimate: Estimate | null): string {
  if (estimate === null) return '–'
  return `${points(estimate.mean)} <span class="quiet">${points(estimate.ci[0])} to ${points(estimate.ci[1])}</span>`
}

function short(value: number | null | undefined): string {
  return value === null || value === undefined
    ? '–'
    : Math.abs(value) >= 10
      ? value.toFixed(0)
      : value.toFixed(2)
}
