import { existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { childCase } from '../../curation/datasets/child.js'
import type { LeftOut } from '../../curation/datasets/file-names.js'
import { type ManifestCase, makeManifest, writeManifest } from '../../curation/datasets/manifest.js'
import { readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { IGNORED_LABEL, LABEL_SCHEMES } from '../../volume/labels.js'
import { writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { WeightsLicence } from '../ports/checkpoint.js'
import type { CaseError } from '../ports/common.js'
import type { CaseToPrepare } from '../prepare/run.js'
import { writeLedgerReport } from '../report/write.js'
import { type ReviewSummary, writeReviewSummary } from '../review-summary.js'
import { datasetMark, type ProvenanceFacts, recordProvenance } from './provenance.js'
import { refusedSources } from './refused-sources.js'
import type { SynthesisReviews } from './reviews.js'
import type { SynthesisSettings } from './settings.js'

export interface Synthesis {
  readonly directory: string
  readonly hosts: number
  /** Number of synthetic scans on the disk. */
  readonly scans: number
  readonly tumors: { readonly kept: number; readonly tried: number; readonly noRoom: number }
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
  /** Use of the decisions of reviewers; null without `quality.reviews`. */
  readonly reviews: ReviewSummary | null
  /** Files that look like scans and were not taken. */
  readonly leftOut: readonly LeftOut[]
}

type IdSettings = Pick<SynthesisSettings, 'region' | 'synthesize'>
type DatasetSettings = IdSettings & Pick<SynthesisSettings, 'name'>

export const LEDGER = 'ledger.jsonl'
const LICENCES = 'licences.json'

/** Write `licences.json`: the licences of weights of other projects that paint or judge; no file without one. */
export async function recordLicences(out: string, licences: readonly WeightsLicence[]): Promise<void> {
  if (licences.length > 0) await writeWhole(join(out, LICENCES), `${JSON.stringify(licences, null, 2)}\n`)
}

async function recordedLicences(out: string): Promise<{ readonly licencesOfWeights?: unknown }> {
  const path = join(out, LICENCES)
  return existsSync(path) ? { licencesOfWeights: await readForeignJson(path) } : {}
}

/** Write `hosts.json`: the files of each host CT, for a viewer of the synthetic scans. */
export async function recordHosts(out: string, hosts: readonly CaseToPrepare[]): Promise<void> {
  const lines = hosts.map(({ id, image, label }) => JSON.stringify({ case: id, image, label }))
  await writeWhole(join(out, 'hosts.json'), `[\n${lines.join(',\n')}\n]\n`)
}

/**
 * Complete the folder as a data set: sorted ledger, list, manifest, reviews, page, provenance.
 * @param ledgers files with the lines of all hosts. Default: that of the folder
 */
export async function concludeSynthesis(
  out: string,
  settings: DatasetSettings,
  hosts: readonly CaseToPrepare[],
  failed: Synthesis['failed'],
  { reviews, sources }: Pick<ProvenanceFacts, 'sources'> & { readonly reviews: SynthesisReviews | null },
  context: StageContext,
  ledgers: readonly string[] = [join(out, LEDGER)],
): Promise<Omit<Synthesis, 'leftOut'>> {
  const order = new Map(hosts.map(({ id }, at) => [id, at]))
  const lines = (await readLedgers(ledgers)).sort(
    (a, b) =>
      order.get(a.case)! - order.get(b.case)! ||
      a.variant - b.variant ||
      a.tumor - b.tumor ||
      a.attempt - b.attempt,
  )
  await writeWhole(join(out, LEDGER), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  for (const text of refusedSources(lines)) context.note(text, 'warning')
  const scans = syntheticScans(out, settings, hosts, lines)
  const list = {
    ...datasetList(settings, scans, namesOfIds(settings, hosts)),
    ...datasetMark({ sources, reviews }),
    ...(await recordedLicences(out)),
  }
  await writeWhole(join(out, 'dataset.json'), `${JSON.stringify(list, null, 2)}\n`)
  await writeManifest(join(out, 'manifest.json'), makeManifest(scans.map(({ child }) => child)))
  const summary = reviews?.summaryOf(lines) ?? null
  await writeReviewSummary(out, summary)
  await writeLedgerReport(out)
  await recordProvenance(out, settings.name, lines, { sources, reviews }, context)
  return { ...countsOf(out, hosts, lines, failed), reviews: summary }
}

/** Return the counts of a ledger. */
export async function countSynthesis(
  out: string,
  hosts: readonly CaseToPrepare[],
  ledger: string,
  failed: Synthesis['failed'],
): Promise<Omit<Synthesis, 'leftOut'>> {
  return { ...countsOf(out, hosts, await readLedgers([ledger]), failed), reviews: null }
}

function countsOf(
  out: string,
  hosts: readonly CaseToPrepare[],
  lines: readonly SynthesisLine[],
  failed: Synthesis['failed'],
): Omit<Synthesis, 'leftOut' | 'reviews'> {
  const count = (verdict: SynthesisLine['verdict']): number =>
    lines.filter((line) => line.verdict === verdict).length
  return {
    directory: out,
    hosts: hosts.length,
    scans: new Set(lines.flatMap(({ file }) => file ?? [])).size,
    tumors: {
      kept: count('accepted'),
      tried: count('accepted') + count('rejected'),
      noRoom: count('noRoom'),
    },
    failed,
  }
}

async function readLedgers(ledgers: readonly string[]): Promise<SynthesisLine[]> {
  const lines: SynthesisLine[] = []
  for (const ledger of ledgers) for await (const line of readJsonLog<SynthesisLine>(ledger)) lines.push(line)
  return lines
}

interface SyntheticScan {
  readonly file: string
  readonly label: string
  readonly child: ManifestCase
}

function syntheticScans(
  out: string,
  settings: DatasetSettings,
  hosts: readonly CaseToPrepare[],
  lines: readonly SynthesisLine[],
): SyntheticScan[] {
  const byId = new Map(hosts.map((host) => [host.id, host]))
  const files = new Map<string, SynthesisLine[]>()
  for (const line of lines)
    if (line.file !== undefined) files.set(line.file, [...(files.get(line.file) ?? []), line])
  // ids that a specialist's map omits are background
  const { map, ignoredId } = writtenLabels(settings)
  const ids = map.map((written, id): [string, number] => [String(written), id])
  const ignored = hasIgnored(hosts) ? { [String(ignoredId)]: IGNORED_LABEL } : {}
  const labelMap = { ...Object.fromEntries(ids), ...ignored, '0': 0 }
  return [...files].map(([file, made]) => {
    const label = file.replace(/_0000\.nii\.gz$/, '.nii.gz')
    const places = {
      id: `synthetic/${label.replace(/\.nii\.gz$/, '')}`,
      image: join(out, 'imagesTr', file),
      label: join(out, 'labelsTr', label),
    }
    const organs = [...new Set(made.map(({ organ }) => organ))]
    return { file, label, child: childCase(byId.get(made[0]!.case)!, places, organs, labelMap) }
  })
}

/** Return the list next to the images, in the decathlon or the nnU-Net form. */
function datasetList(
  settings: DatasetSettings,
  scans: readonly SyntheticScan[],
  names: readonly string[],
): Record<string, unknown> {
  const about = 'SYNTHETIC tumors painted into scans by freetumor; ledger.jsonl lists every tumor'
  if (settings.synthesize.layout === 'nnunet')
    return {
      name: settings.name,
      description: about,
      channel_names: { '0': 'CT' },
      labels: Object.fromEntries(names.map((name, id) => [name, id])),
      numTraining: scans.length,
      file_ending: '.nii.gz',
    }
  const entries = (split: ManifestCase['split']) =>
    scans
      .filter(({ child }) => child.split === split)
      .map(({ file, label, child }) => ({
        image: `./imagesTr/${file}`,
        label: `./labelsTr/${label}`,
        change: `./changeTr/${label}`,
        host: child.parent,
        patient: child.patient,
        ...(child.fold === null ? {} : { fold: child.fold }),
      }))
  return {
    name: settings.name,
    description: about,
    modality: { '0': 'CT' },
    labels: Object.fromEntries(names.map((name, id) => [String(id), name])),
    numTraining: entries('training').length,
    training: entries('training'),
    validation: entries('validation'),
    test: entries('test'),
  }
}

/** Return the names of the written ids; the last one is `ignore` if a host has ignored voxels, as nnU-Net requires. */
function namesOfIds(settings: IdSettings, hosts: readonly CaseToPrepare[]): readonly string[] {
  const { names } = writtenLabels(settings)
  return hasIgnored(hosts) ? [...names, 'ignore'] : names
}

function hasIgnored(hosts: readonly CaseToPrepare[]): boolean {
  return hosts.some(({ labelMap }) => Object.values(labelMap).includes(IGNORED_LABEL))
}

/** Return the ids of the written label maps: those of the region, or background, organ and tumor of a specialist. */
export function writtenLabels({ region, synthesize }: IdSettings): {
  /** Id of the region -> id in the file. */
  readonly map: readonly number[]
  readonly names: readonly string[]
  /** Id of ignored voxels in the file. */
  readonly ignoredId: number
} {
  const { names, organs } = LABEL_SCHEMES[region]
  const organ = organs.find(({ name }) => name === synthesize.specialist)
  if (organ === undefined) return { map: names.map((_, id) => id), names, ignoredId: names.length }
  const kept = [0, organ.label, organ.tumorLabel]
  return {
    map: names.map((_, id) => Math.max(0, kept.indexOf(id))),
    names: kept.map((id) => names[id]!),
    ignoredId: kept.length,
  }
}

export function variantKey({ case: caseId, variant }: Pick<SynthesisLine, 'case' | 'variant'>): string {
  return `${caseId}#${variant}`
}

export interface WholeVariants {
  /** Keys of the variants whose lines and files are complete. */
  readonly done: ReadonlySet<string>
  /** Lines of them with a kept rejected tumor. */
  readonly rejectedFiles: readonly SynthesisLine[]
}

/** Return the variants whose lines and files are complete. */
export async function wholeVariants(ledger: string, out: string): Promise<WholeVariants> {
  const ended = new Set<string>()
  const files = new Map<string, SynthesisLine>()
  const rejectedFiles: SynthesisLine[] = []
  try {
    for await (const line of readJsonLog<SynthesisLine>(ledger)) {
      if (line.last) ended.add(variantKey(line))
      if (line.file !== undefined) files.set(variantKey(line), line)
      if (line.rejectedFile !== undefined) rejectedFiles.push(line)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  for (const key of ended) {
    const { file: image, sha256 } = files.get(key) ?? {}
    if (image === undefined) continue
    const label = image.replace(/_0000\.nii\.gz$/, '.nii.gz')
    const places = [`imagesTr/${image}`, `labelsTr/${label}`, `changeTr/${label}`]
    // version 0.1 wrote neither hashes nor numbers of tumors
    if (sha256 !== undefined) places.push(`tumorsTr/${label}`)
    const there = await Promise.all(places.map((place) => exists(join(out, place))))
    if (there.includes(false)) ended.delete(key)
  }
  return { done: ended, rejectedFiles: rejectedFiles.filter((line) => ended.has(variantKey(line))) }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
