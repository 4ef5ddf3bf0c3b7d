import { citationsOf } from '../../curation/datasets/citations.js'
import { oneLine } from '../../plain-text.js'
import type { LicensedSource } from '../../provenance/licence.js'
import type { DatasetCardFacts } from './dataset-facts.js'

/** Return the data card of a synthetic data set in Markdown. */
export function dataCard(facts: DatasetCardFacts): string {
  const { head, manifest, attempts, acceptanceRate, groups, finished } = facts
  return document([
    `# Data card: ${inline(head.name)}`,
    'This data set holds **synthetic** tumors that freetumor painted into other CT scans. Every figure is computed from its files.',
    '## Content',
    table(
      ['item', 'value'],
      [
        ['synthetic scans', facts.scans],
        ['host CTs', facts.hosts],
        ['patients', facts.patients],
        ['files', facts.files],
        ['size', `${facts.megabytes.toFixed(1)} MB`],
        ['finished', finished ?? 'not stated'],
        ['provenance.json', `${manifest.signed ? 'signed' : 'not signed'} (${inline(manifest.reason)})`],
      ],
    ),
    'Host CTs are scans of real patients, unless the sources are phantoms. A synthetic tumor does not anonymise a scan.',
    '## Tumors',
    table(
      ['organ', 'size', 'accepted', 'rejected'],
      groups.map(({ organ, size, accepted, rejected }) => [organ, size, accepted, rejected]),
    ),
    table(
      ['item', 'value'],
      [
        ['accepted attempts', attempts.accepted],
        ['rejected attempts', attempts.rejected],
        ['attempts without room', attempts.noRoom],
        ['acceptance rate', acceptanceRate === null ? 'none' : `${(100 * acceptanceRate).toFixed(1)} %`],
        ['volume of accepted tumors (5th, 50th, 95th percentile)', spread(facts.volumeMl, 'ml')],
        ['contrast of accepted tumors (5th, 50th, 95th percentile)', spread(facts.contrastHu, 'HU')],
      ],
    ),
    '## Generation',
    table(
      ['item', 'value'],
      [
        ...Object.entries(head.versions).map(([name, version]) => [name, inline(version)]),
        ['seeds', facts.seeds.join(', ')],
        ['settings (SHA-256)', head.settings],
        ['checkpoints', inline(JSON.stringify(head.checkpoints))],
        ['reviewers', head.reviews === null ? 'none' : head.reviews.reviewers.length],
      ],
    ),
    'Plans, seeds, measures and verdicts of all attempts are in `ledger.jsonl`; the settings are in `synthesis.json`.',
    '## Sources and licence',
    sourceTable(head.sources),
    `Licence of the result: ${head.licence.name ?? 'not determined, see the terms of the sources'}.`,
  ])
}

/** Return the citations of the sources in Markdown. */
export function citationPage(sources: readonly LicensedSource[]): string {
  const lines = sources
    .filter(({ kind }) => kind === 'hosts' || kind === 'labelled')
    .flatMap(({ name }) => {
      const cited = citationsOf(name).map(({ text, url }) => `- ${inline(name)}: ${text}. <${url}>`)
      return cited.length > 0 ? cited : [`- ${inline(name)}: cite it as its publisher asks.`]
    })
  return document([
    '# Citations of the sources',
    'The publishers of the scans ask for these citations. Cite freetumor by its repository and version.',
    lines.length > 0 ? [...new Set(lines)].join('\n') : 'No source is stated.',
  ])
}

export function sourceTable(sources: readonly LicensedSource[]): string {
  return table(
    ['source', 'kind', 'licence'],
    sources.map(({ name, kind, licence }) => [inline(name), kind, inline(licence ?? 'not stated')]),
  )
}

export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  if (rows.length === 0) return 'None.'
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

export function document(blocks: readonly string[]): string {
  return `${blocks.join('\n\n')}\n`
}

/** Return foreign text for Markdown, without marks of Markdown or HTML. */
export function inline(text: string): string {
  return oneLine(text).replace(/[\\`*[\]<>|#]/g, (mark) => `\\${mark}`)
}

function spread(values: readonly [number, number, number] | null, unit: string): string {
  return values === null ? 'not measured' : `${values.map((value) => value.toFixed(2)).join(', ')} ${unit}`
}
