import { escapeHtml } from './escape-html.js'
import { type TumorPicture, tumorPng } from './pictures.js'
import { type TumorTally, tumorTable } from './tumor-tally.js'
import { percent } from './wording.js'

/** A picture with the verdict on its tumor; null if unknown or not judged. */
export type Example = TumorPicture & { readonly verdict: string | null }

/** Return the table of synthetic tumors and the example pictures. */
export function tumorSection(tumors: TumorTally | null, examples: readonly Example[]): string {
  const table =
    tumors === null
      ? '<p class="missing">There is no ledger, so tumors are not counted by organ and size.</p>'
      : tumorTable(tumors)
  return `${table}${pictures(examples)}`
}

function pictures(examples: readonly Example[]): string {
  if (examples.length === 0) return '<p class="missing">There are no example pictures.</p>'
  return `<h4>Examples <span class="quiet">left to right: host, synthetic, doubled difference, outline</span></h4>
<div class="pictures">${examples.map(figure).join('\n')}</div>`
}

function figure({ organ, size, where, shareSeen, verdict, planes }: Example): string {
  const what = `${size} tumor, ${organ}`
  const seen = shareSeen === null ? 'no baseline' : `baseline detects ${percent(shareSeen)}`
  const told = [where, seen, ...(verdict === null ? [] : [verdict])].join(' · ')
  const names = planes.map(({ name }) => name).join(', ')
  const alt = `${names} slices of a ${what}: host, synthetic, difference and outline; ${told}`
  const source = `data:image/png;base64,${tumorPng(planes).toString('base64')}`
  return `<figure><img loading="lazy" alt="${escapeHtml(alt)}" src="${source}"><figcaption>${escapeHtml(what)} <span class="quiet">${escapeHtml(told)}</span></figcaption></figure>`
}
