import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { percent } from './wording.js'

/** Use of review decisions, with the agreement between reviewers. */
export interface ReviewTable {
  readonly kept: number
  readonly dropped: number
  readonly confirmed: number
  readonly undecided: number
  readonly unused: number
  readonly stale: number
  readonly firstStale: readonly string[]
  readonly agreement: {
    readonly pairs: readonly (Figure & { readonly reviewers: readonly string[] })[]
    readonly overall: Figure
  }
}

interface Figure {
  readonly kappa: number | null
  readonly ci: readonly [number, number] | null
  readonly observed: number | null
  readonly n: number
}

const USES = [
  ['kept', 'kept against the rule'],
  ['dropped', 'dropped against the rule'],
  ['confirmed', 'rule and reviewers agree'],
  ['undecided', 'undecided: the rule stands'],
  ['unused', 'unused: not part of these data'],
  ['stale', 'stale: another version of the file'],
] as const

/** Return the tables of the reviews; empty without reviews. */
export function reviewSection(reviews: ReviewTable | null | undefined): string {
  if (!reviews) return ''
  const rows = USES.map(
    ([use, name]) => `<tr><th scope="row">${name}</th><td>${reviews[use].toLocaleString('en-US')}</td></tr>`,
  )
  const { stale, firstStale } = reviews
  const warning =
    stale === 0
      ? ''
      : `<p class="warning">${counted(stale, 'review')} of other file versions did not apply: ${escapeHtml(firstStale.join(', '))}${stale > firstStale.length ? ' ...' : ''}</p>`
  return `<h3>Reviews</h3><div class="scroll"><table><caption>Reviewed tumors</caption><thead><tr><th scope="col">joint decision</th><th scope="col">tumors</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>${warning}${agreementTable(reviews.agreement)}`
}

function agreementTable({ pairs, overall }: ReviewTable['agreement']): string {
  // of many reviewers, there are no pairs
  if (pairs.length === 0 && overall.n === 0) return ''
  const row = (name: string, { kappa, ci, observed, n }: Figure): string =>
    `<tr><th scope="row">${escapeHtml(name)}</th><td>${kappa === null ? '–' : kappa.toFixed(2)}</td><td>${ci === null ? '–' : ci.map((end) => end.toFixed(2)).join(' to ')}</td><td>${observed === null ? '–' : percent(observed)}</td><td>${n.toLocaleString('en-US')}</td></tr>`
  const rows = [
    ...pairs.map((pair) => row(`Cohen's kappa, ${pair.reviewers.join(' and ')}`, pair)),
    ...(pairs.length !== 1 ? [row("Fleiss' kappa, all reviewers", overall)] : []),
  ]
  return `<div class="scroll"><table><caption>Agreement between reviewers</caption><thead><tr><th scope="col">measure</th><th scope="col">kappa</th><th scope="col">95 % interval</th><th scope="col">equal decisions</th><th scope="col">tumors</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}
