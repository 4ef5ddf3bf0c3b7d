import { counted } from '../plain-text.js'
import type { PartScore, ReaderScore, StudyScore } from '../readers/score.js'
import type { Interval } from '../readers/statistics.js'
import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { STYLE } from './style.js'
import { short } from './wording.js'

export interface ReaderStudyPage {
  readonly score: StudyScore
  readonly cases: number
  readonly repeats: number
  readonly timeLimitSeconds: number | null
  /** Time of writing and version, as displayed. */
  readonly made: string
}

const RULES: readonly (readonly [term: string, text: string])[] = [
  [
    'accuracy',
    'Fraction of right answers. Second showings of a case count for the agreement of a reader with themselves only.',
  ],
  [
    'sensitivity, specificity',
    'Fraction of synthetic cases called synthetic, and of real cases called real.',
  ],
  [
    'intervals',
    '95 %, exact (Clopper-Pearson). An interval by case resamples cases, because readers share them.',
  ],
  [
    'AUC',
    'Area under the ROC curve of answer and confidence, from -5 (surely real) to 5 (surely synthetic), with the interval of DeLong.',
  ],
  ['p', 'Exact two-sided binomial test. Tests of all readers together treat answers as independent.'],
  ['kappa', "Cohen's kappa of two readers, Fleiss' kappa of more; intervals by bootstrap over cases."],
  ['learning', 'Point-biserial correlation of a right answer with its place in the order.'],
  ['localisation', 'Fraction of cases with a click at most 5 mm from the tumor.'],
]

/** Render the figures of a reader study as HTML without external resources. */
export function renderReaderStudy({
  score,
  cases,
  repeats,
  timeLimitSeconds,
  made,
}: ReaderStudyPage): string {
  const limit = timeLimitSeconds === null ? 'no time limit' : `${timeLimitSeconds} s for each case`
  const facts = `${counted(cases, 'case')}, ${repeats} of them shown twice, ${limit}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reader study</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>Reader study</h1><p class="quiet">${escapeHtml(made)}</p><p>${escapeHtml(facts)}</p></header>
<main>
${warnings(score)}
${overall(score)}
${readers(score)}
${details(score)}
${partTable('Organs', 'organ', score.organs)}
${partTable('Sizes', 'diameter', score.sizes)}
${robot(score)}
<section><h2>Definitions</h2><dl>${RULES.map(([term, text]) => `<div><dt>${term}</dt><dd>${text}</dd></div>`).join('')}</dl></section>
</main>
</body>
</html>
`
}

function warnings({ incomplete, notes }: StudyScore): string {
  const texts = [
    ...incomplete.map(
      ({ id, answered, of }) =>
        `Reader ${id} has answered ${answered} of ${of} cases, and takes no part in the figures of all readers.`,
    ),
    ...notes,
  ]
  if (texts.length === 0) return ''
  return `<ul class="warnings">${texts.map((text) => `<li class="warning">${escapeHtml(text)}</li>`).join('')}</ul>`
}

function overall({ all, agreement, paperAccuracy }: StudyScore): string {
  if (all === null)
    return '<section><h2>All readers</h2><p class="missing">No reader has answered every case yet.</p></section>'
  const { accuracy, learning } = all
  const rows: [string, string, string][] = [
    ['accuracy', share(accuracy.rate), span(accuracy.ci)],
    ['accuracy, interval by case', share(accuracy.rate), span(all.accuracyCiByCase)],
    ['sensitivity', share(all.sensitivity.rate), span(all.sensitivity.ci)],
    ['specificity', share(all.specificity.rate), span(all.specificity.ci)],
    ['AUC of the mean rating', share(all.panelAuc), span(all.panelAucCi)],
    [
      agreement === null
        ? 'kappa'
        : `${agreement.method === 'Cohen' ? "Cohen's" : "Fleiss'"} kappa of ${agreement.readers} readers`,
      share(agreement?.kappa ?? null),
      span(agreement?.ci ?? null),
    ],
    ['lesions found by click', share(all.localisation.rate), span(all.localisation.ci)],
    ['accuracy, first half of the order', share(learning.firstHalf.rate), span(learning.firstHalf.ci)],
    ['accuracy, second half of the order', share(learning.secondHalf.rate), span(learning.secondHalf.ci)],
  ]
  const words = `${counted(all.readers, 'reader')}: ${accuracy.count} of ${accuracy.of} answers are right. p = ${value(all.pChance)} against 50 %, p = ${value(all.pPaper)} against the ${(100 * paperAccuracy).toFixed(1)} % of the paper.`
  return `<section><h2>All readers</h2><p>${escapeHtml(words)}</p>${table(
    'Figures of all complete readers',
    ['figure', 'value', '95 % interval'],
    rows,
  )}</section>`
}

function readers({ readers: all }: StudyScore): string {
  const rows = all.map((one) => [
    one.id,
    String(one.cases),
    withSpan(one.accuracy, one.ci),
    withSpan(one.sensitivity, one.sensitivityCi),
    withSpan(one.specificity, one.specificityCi),
    withSpan(one.auc, one.aucCi),
    value(one.pChance),
    value(one.pPaper),
  ])
  const heads = ['reader', 'cases', 'accuracy', 'sensitivity', 'specificity', 'AUC', 'p, 50 %', 'p, paper']
  return `<section><h2>Readers</h2>${table('Figures of each reader', heads, rows)}</section>`
}

function details({ readers: all }: StudyScore): string {
  const row = (one: ReaderScore): string[] => [
    one.id,
    one.intra.n === 0 ? '–' : `${share(one.intra.kappa)} (${one.intra.n} repeats)`,
    `${share(one.learning.firstHalf.rate)} – ${share(one.learning.secondHalf.rate)}`,
    one.learning.trend === null ? '–' : `${share(one.learning.trend.r)} (p = ${value(one.learning.trend.p)})`,
    withSpan(one.localisation.rate, one.localisation.ci),
    one.medianSeconds === null ? '–' : `${one.medianSeconds.toFixed(1)} s`,
    String(one.overTime),
  ]
  const heads = [
    'reader',
    'kappa with themselves',
    'accuracy, first and second half',
    'learning, r',
    'lesions found',
    'median time',
    'after the limit',
  ]
  return `<section><h2>Repeats, order and clicks</h2>${table('Further figures of each reader', heads, all.map(row))}</section>`
}

function partTable(title: string, head: string, rows: readonly PartScore[]): string {
  if (rows.length === 0) return ''
  const lines = rows.map(({ name, count, of, rate, ci }) => [
    name,
    `${count} of ${of}`,
    share(rate),
    span(ci),
  ])
  return `<section><h2>${title}</h2>${table(`Answers of complete readers by ${head}`, [head, 'right answers', 'accuracy', '95 % interval'], lines)}</section>`
}

function robot({ robot: { cues, threshold, separating, attainable } }: StudyScore): string {
  const rows = cues.map(({ cue, unit, real, synthetic, p }) => [
    cue,
    `${short(real)} ${unit}`,
    `${short(synthetic)} ${unit}`,
    value(p),
  ])
  const power =
    attainable < threshold ? '' : ' So few cases cannot give such a p: the robot reader could refuse nothing.'
  const verdict =
    separating.length === 0
      ? `No cue outside the tumors separates the sides (every p is at least ${value(threshold)}).${power}`
      : `These cues separate the sides: ${separating.join('; ')}.`
  return `<section><h2>Robot reader</h2><p>${escapeHtml(verdict)}</p>${table(
    'Cues outside the tumors: medians of both sides',
    ['cue', 'real', 'synthetic', 'p'],
    rows,
  )}</section>`
}

function table(caption: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = rows.map(
    ([first, ...rest]) =>
      `<tr><th scope="row">${escapeHtml(first!)}</th>${rest.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`,
  )
  return `${openScroll(caption)}<table><caption>${escapeHtml(caption)}</caption>
<thead><tr>${heads.map((head) => `<th scope="col">${escapeHtml(head)}</th>`).join('')}</tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div>`
}

function share(rate: number | null): string {
  return rate === null ? '–' : rate.toFixed(3)
}

function span(ci: Interval | null): string {
  return ci === null ? '–' : `${ci[0].toFixed(3)} – ${ci[1].toFixed(3)}`
}

function withSpan(rate: number | null, ci: Interval | null): string {
  return rate === null ? '–' : ci === null ? share(rate) : `${share(rate)} (${span(ci)})`
}

function value(p: number | null): string {
  return p === null ? '–' : short(p)
}
