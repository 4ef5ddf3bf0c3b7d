import { chmod, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { labelNamesOf } from '../../curation/datasets/lists.js'
import { DataError, StoppedError, UsageError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import { counted } from '../../plain-text.js'
import { isAbort } from '../../stop-signals.js'
import { typedSystemError } from '../../system-errors.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { makeFolder, sweepUnfinished } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { CaseError } from '../ports/common.js'
import type { SegJob, SegSegment, SegWriter, WrittenSeg } from '../ports/dicom-seg.js'
import { scansOf } from '../predict/cases.js'
import { type Prediction, type PredictOptions, predictMasks } from '../predict/run.js'
import type { Synthesis } from '../synthesize/dataset.js'
import { type SynthesizeOptions, synthesizeCases } from '../synthesize/run.js'
import { joinedMeaning, type Meaning, meaningsByNames, statedMeanings } from './segment-meanings.js'

export interface DicomSegOptions {
  /** Folder of the CT series that the scans were converted from. */
  readonly series: string
  /** Meaning of the ids, if the checkpoint does not name its outputs: `1:liver,2:liver-tumor`. */
  readonly labels?: string | undefined
}

/** SEG files of label maps. They carry the identity of the patients. */
export interface DicomSegmentations {
  /** Folder of the files; only its owner can open it. */
  readonly directory: string
  readonly cases: readonly DicomSegCase[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
}

export interface DicomSegCase extends Omit<WrittenSeg, 'job'> {
  readonly caseId: string
  /** Path of the SEG; null if the label map is empty. */
  readonly file: string | null
}

/** Name of the folder in the output folder of a command. */
const DICOM_SEG = 'dicom-seg'
/** Synthetic tumors get ids beyond those of a label map (uint8). */
const SYNTHETIC = 1000

/** The result of a prediction, with its SEG files if they were asked for. */
export type PredictionWithSegs = Prediction & { readonly segmentations?: DicomSegmentations }

/**
 * Predict as `predictMasks` does; then write the SEG of every mask.
 * @param seg null: no SEG is written
 */
export async function predictWithSegs(
  options: PredictOptions,
  seg: DicomSegOptions | null,
  context: StageContext,
  writer: SegWriter,
): Promise<PredictionWithSegs> {
  if (seg === null) return await predictMasks(options, context)
  await refuseMissingSeries(seg.series)
  refuseShard(options.shard)
  if (options.grid === 'prepared')
    throw new UsageError('--dicom-seg: needs masks on the grid of the scans', {
      hint: 'omit --grid prepared',
    })
  const prediction = await predictMasks(options, context)
  const { scans } = await scansOf(options.images, options.split, { allowOutside: options.allowOutside })
  const images = new Map(scans.map(({ id, image }) => [id, image]))
  const segmentations = await writePredictionSegs(prediction, seg, images, context, writer)
  return { ...prediction, segmentations }
}

/** The result of a synthesis, with its SEG files if they were asked for. */
export type SynthesisWithSegs = Synthesis & { readonly segmentations?: DicomSegmentations }

/**
 * Synthesize as `synthesizeCases` does; then write the SEG of every synthetic scan.
 * @param seg null: no SEG is written
 */
export async function synthesizeWithSegs(
  options: SynthesizeOptions,
  seg: DicomSegOptions | null,
  context: StageContext,
  writer: SegWriter,
): Promise<SynthesisWithSegs> {
  if (seg === null) return await synthesizeCases(options, context)
  await refuseMissingSeries(seg.series)
  refuseShard(options.shard)
  const synthesis = await synthesizeCases(options, context)
  return { ...synthesis, segmentations: await writeSynthesisSegs(synthesis, seg, context, writer) }
}

function refuseShard(shard: unknown): void {
  if (shard === undefined) return
  throw new UsageError('--dicom-seg: cannot be used with --shard', {
    hint: 'after `freetumor merge`, run the command again without --shard',
  })
}

/**
 * Write the SEG of every mask of a prediction, in the frame of reference of its series.
 * @throws UsageError if the meaning of the ids of the masks is not known, and as `SegWriter`
 */
async function writePredictionSegs(
  { directory, cases }: Pick<Prediction, 'directory' | 'cases'>,
  options: DicomSegOptions,
  images: ReadonlyMap<string, string>,
  context: StageContext,
  writer: SegWriter,
): Promise<DicomSegmentations> {
  const meanings =
    options.labels === undefined ? await meaningsOfPrediction(directory) : statedMeanings(options.labels)
  const present = new Set(
    cases.flatMap(({ labelVoxels }) => labelVoxels.flatMap((voxels, id) => (voxels > 0 ? [id] : []))),
  )
  noteUnnamed(present, meanings, context)
  const segments = [...meanings].map(([id, one]) => ({ ...one, id, synthetic: null }))
  const scans = cases.map(({ caseId, output }) => ({
    caseId,
    mask: output,
    image: images.get(caseId) ?? null,
    change: null,
    segments,
  }))
  return await writeSegs(directory, scans, options, context, writer)
}

/**
 * Write the SEG of every synthetic scan on the series of its host. A painted tumor is named SYNTHETIC: the series does not
 * show it.
 */
async function writeSynthesisSegs(
  { directory }: Pick<Synthesis, 'directory'>,
  options: DicomSegOptions,
  context: StageContext,
  writer: SegWriter,
): Promise<DicomSegmentations> {
  const source = join(directory, 'dataset.json')
  const content = asRecord(await readForeignJson(source)) ?? {}
  const names = labelNamesOf(content, source).labelNames ?? {}
  const meanings =
    options.labels === undefined
      ? meaningsByNames(
          Object.fromEntries(Object.entries(names).map(([id, name]) => [id, [name].flat()[0]!])),
        )
      : statedMeanings(options.labels)
  const segments = [...meanings].map(([id, one]) => ({
    ...one,
    id,
    synthetic: one.kind === 'organ' ? null : SYNTHETIC + id,
  }))
  const scans = (await syntheticFiles(directory)).map(({ file, image }) => ({
    caseId: file.replace(/\.nii\.gz$/, ''),
    mask: join(directory, 'labelsTr', file),
    image,
    change: join(directory, 'changeTr', file),
    segments,
  }))
  return await writeSegs(directory, scans, options, context, writer)
}

/** Return the label file of each synthetic scan, and the image of its host. */
async function syntheticFiles(
  directory: string,
): Promise<{ readonly file: string; readonly image: string }[]> {
  const hosts = (await readForeignJson(join(directory, 'hosts.json'))) as readonly {
    readonly case: string
    readonly image: string
  }[]
  const images = new Map(hosts.map((host) => [host.case, host.image]))
  const files = new Map<string, string>()
  for await (const line of readJsonLog<{ case: string; file?: string }>(join(directory, 'ledger.jsonl')))
    if (line.file !== undefined)
      files.set(line.file.replace(/_0000\.nii\.gz$/, '.nii.gz'), images.get(line.case)!)
  return [...files].map(([file, image]) => ({ file, image }))
}

/** Return the meaning of the ids of masks, as `prediction.json` records outputs and ids. */
async function meaningsOfPrediction(directory: string): Promise<ReadonlyMap<number, Meaning>> {
  const record = asRecord(await readForeignJson(join(directory, 'prediction.json'))) ?? {}
  const maskIds = Array.isArray(record.maskIds) ? record.maskIds.map(Number) : []
  const abdomen = LABEL_SCHEMES.abdomen.names
  const names = Array.isArray(record.labels)
    ? record.labels.map(String)
    : maskIds.length === abdomen.length
      ? abdomen
      : null
  if (names === null)
    throw new UsageError(`--dicom-seg: the checkpoint does not name its ${maskIds.length} outputs`, {
      hint: 'pass the meaning of the ids with --dicom-seg-labels 1:liver,2:liver-tumor',
    })
  const ofOutputs = meaningsByNames(Object.fromEntries(names.map((name, output) => [String(output), name])))
  const byId = new Map<number, Meaning[]>()
  for (const [output, meaning] of ofOutputs) {
    const id = maskIds[output] ?? 0
    if (id !== 0) byId.set(id, [...(byId.get(id) ?? []), meaning])
  }
  const joined = [...byId].flatMap(([id, meanings]) => {
    const meaning = joinedMeaning(meanings)
    return meaning === undefined ? [] : [[id, meaning] as const]
  })
  return new Map(joined.sort(([a], [b]) => a - b))
}

function noteUnnamed(
  present: ReadonlySet<number>,
  meanings: ReadonlyMap<number, Meaning>,
  context: StageContext,
): void {
  const without = [...present].filter((id) => id !== 0 && !meanings.has(id)).sort((a, b) => a - b)
  if (without.length === 0) return
  const ids = without.join(', ')
  context.note(`--dicom-seg: no SNOMED CT code for the ids ${ids}; they are not in the SEG`, 'warning')
}

interface Labelled extends Omit<SegJob, 'job' | 'target' | 'segments'> {
  readonly caseId: string
  readonly segments: readonly SegSegment[]
}

async function writeSegs(
  out: string,
  scans: readonly Labelled[],
  { series }: DicomSegOptions,
  context: StageContext,
  writer: SegWriter,
): Promise<DicomSegmentations> {
  const directory = join(out, DICOM_SEG)
  await makePrivateFolder(directory)
  await sweepUnfinished(directory)
  context.note(
    `${directory} carries the identity of the patients (name, id, study): do not pass it on`,
    'warning',
  )
  const jobs = scans.map(({ caseId, ...scan }, job) => ({
    ...scan,
    job,
    target: join(directory, `${caseId}.dcm`),
  }))
  const cases: DicomSegCase[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  const { signal } = context
  try {
    for await (const outcome of writer.segment({ folder: resolve(series), jobs }, { signal })) {
      const { caseId } = scans[outcome.job]!
      const { target } = jobs[outcome.job]!
      if ('refusal' in outcome) failed.push({ caseId, error: errorOf(caseId, outcome.refusal) })
      else cases.push(caseOf(caseId, target, outcome))
      context.note(lineOf(cases.length + failed.length, scans.length, caseId, cases.at(-1), failed.at(-1)))
    }
  } catch (error) {
    if (!isAbort(error)) throw error
    throw new StoppedError('the writing of DICOM SEG was stopped', {
      hint: 'start it again: finished cases are kept',
      cause: error,
    })
  }
  return { directory, cases, failed }
}

function caseOf(caseId: string, target: string, written: WrittenSeg): DicomSegCase {
  const { seconds, slices, frames, segments, compared, reused } = written
  return {
    caseId,
    file: segments.length === 0 ? null : target,
    ...{ seconds, slices, frames, segments, compared, reused },
  }
}

function errorOf(caseId: string, { reason, hint }: { reason: string; hint: string }): CaseError {
  const fix = hint === '' ? 'name the folder of the series that the scan was converted from' : hint
  return { kind: 'data', message: `case ${caseId}: ${reason}`, hint: fix }
}

function lineOf(
  done: number,
  total: number,
  caseId: string,
  written: DicomSegCase | undefined,
  failure: { readonly caseId: string; readonly error: CaseError } | undefined,
): string {
  const start = `SEG ${done}/${total}  ${caseId}`
  if (failure?.caseId === caseId) return `${start}  failed: ${failure.error.message}`
  const what =
    written!.segments.length === 0 ? 'empty mask, no file' : counted(written!.segments.length, 'segment')
  return `${start}  ${what}  ${written!.seconds.toFixed(1)} s`
}

/** Create a folder that only its owner can open; an existing one becomes so. */
async function makePrivateFolder(directory: string): Promise<void> {
  try {
    await makeFolder(directory, 0o700)
    await chmod(directory, 0o700)
  } catch (error) {
    throw typedSystemError(error, directory)
  }
}

/** @throws DataError if the folder is missing */
async function refuseMissingSeries(series: string): Promise<void> {
  const found = await stat(series).catch(() => null)
  if (found?.isDirectory()) return
  throw new DataError(`--dicom-seg: ${series}: folder not found`, {
    hint: 'name the folder of the CT series',
  })
}
