import { rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { checkCase } from '../../curation/check/case.js'
import type { RuleFinding } from '../../curation/check/finding.js'
import { sideFindings } from '../../curation/check/label-rules.js'
import { ignoredIdsBeside } from '../../curation/datasets/ignored-ids.js'
import { mergeOrgans } from '../../curation/datasets/organ-merge.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { remapLabels } from '../../curation/datasets/remap.js'
import { DataError } from '../../errors.js'
import { asRecord } from '../../foreign-text.js'
import { alignTo, type Grid } from '../../volume/geometry.js'
import { IGNORED_LABEL, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { readNifti, readNiftiHeader } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import type { LabelMap, Volume } from '../../volume/volume.js'
import { syncFolder } from '../../whole-file.js'
import type { ScanCase } from '../predict/cases.js'
import { hashOf, maskOf } from '../predict/record.js'
import type { RawLabel } from './labeller.js'
import type { OrganLine } from './record.js'
import { ownIds, type ToolIds } from './settings.js'

interface Finishing {
  readonly scan: ScanCase
  readonly raw: RawLabel
  /** Name of the tool in messages. */
  readonly tool: string
  readonly ids: ToolIds
  /** Map of the given labels; null: they have the ids of the region. */
  readonly labelsMap: LabelIdMap | null
  readonly region: Region
  readonly out: string
}

/**
 * Turn the label map of a tool into one of the region, merge the given label, fill holes, check the result, and write it.
 * @throws DataError for another grid, ids outside the map, or an error of the check; nothing is written then
 */
export async function finishCase(work: Finishing): Promise<Omit<OrganLine, 'case' | 'image' | 'input'>> {
  const { scan, raw, tool, ids, region, out } = work
  const started = performance.now()
  const named = `the label map of ${tool}`
  const { shape, affine } = await readNiftiHeader(scan.image)
  const aligned = alignTo(await readFrom(raw.file, named), { shape, affine }, named)
  const { label: organs, before } = remapLabels(aligned, ids.map, named, region)
  const given = scan.label === null ? null : await givenLabel(scan.label, { shape, affine }, work)
  const merged = mergeOrgans(organs, given, region)
  const aside = `${raw.file}.merged.nii.gz`
  await writeNifti(aside, merged.label)
  const wrote = performance.now()
  const sides = ids.kidneySides === undefined ? [] : sideFindings(aligned, ids.kidneySides)
  const findings = [...sides, ...(await checkWritten(aside, work, given !== null))]
  const sha256 = await hashOf(aside)
  const name = maskOf(scan)
  await rename(aside, join(out, name))
  await syncFolder(out)
  return {
    files: { [name]: sha256! },
    holes: merged.holes,
    sources: before,
    findings: findings.map(({ rule, severity, message }) => ({ rule, severity, message })),
    seconds: {
      ...raw.seconds,
      merge: (wrote - started) / 1000,
      check: (performance.now() - wrote) / 1000,
    },
    report: plainReport(raw.report),
  }
}

/** Read the file of a tool; errors name the tool, not the temporary file. */
async function readFrom(file: string, named: string): Promise<Volume> {
  return await readNifti(file).catch((error: unknown) => {
    if (!(error instanceof DataError)) throw error
    const message = error.message.replaceAll(file, named)
    throw new DataError(message, { hint: error.commandHint ?? 'run the tool again', cause: error })
  })
}

async function givenLabel(file: string, scan: Grid, { labelsMap, region }: Finishing): Promise<LabelMap> {
  const label = alignTo(await readNifti(file), scan, file)
  const map = labelsMap ?? {
    ...ownIds(region).map,
    ...Object.fromEntries(
      [IGNORED_LABEL, ...(await ignoredIdsBeside(dirname(file))).ids].map((id) => [id, IGNORED_LABEL]),
    ),
  }
  return remapLabels(label, map, file, region).label
}

/**
 * Check a written label as `data check` does.
 * @throws DataError for the first error
 */
async function checkWritten(
  label: string,
  { scan, region }: Finishing,
  hasTumors: boolean,
): Promise<RuleFinding[]> {
  const map = { ...ownIds(region).map, [IGNORED_LABEL]: IGNORED_LABEL }
  const { organs } = LABEL_SCHEMES[region]
  const findings = await checkCase(
    {
      id: scan.id,
      dataset: 'organs',
      patient: scan.id,
      region,
      role: hasTumors ? { kind: 'labelled', organs: organs.map(({ name }) => name) } : { kind: 'host' },
      image: scan.image,
      label,
      fold: null,
      split: 'training',
      labelMap: map,
    },
    { prepared: null, maxBytes: null },
  )
  const wrong = findings.find(({ severity }) => severity === 'error')
  if (wrong === undefined) return findings
  const where = wrong.file === label ? `case ${scan.id}` : wrong.file
  throw new DataError(`${where}: ${wrong.message}`, { hint: wrong.fix })
}

/** Return the short values of a report of a tool, without paths. */
function plainReport(report: unknown): Record<string, string | number | boolean> | null {
  const entries = Object.entries(asRecord(report) ?? {}).filter(
    (entry): entry is [string, string | number | boolean] =>
      !/^(input|output)$/.test(entry[0]) &&
      (['number', 'boolean'].includes(typeof entry[1]) ||
        (typeof entry[1] === 'string' && entry[1].length <= 100)),
  )
  return entries.length === 0 ? null : Object.fromEntries(entries.slice(0, 40))
}
