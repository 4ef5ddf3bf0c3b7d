import { access, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Pseudonyms, pseudonymsOf } from '../../curation/dicom/pseudonyms.js'
import { labelsOfSegments } from '../../curation/dicom/segments.js'
import { labelObjectsOf, type ScannedSeries } from '../../curation/dicom/series.js'
import { DataError, StoppedError, UsageError } from '../../errors.js'
import { openJsonLog } from '../../jsonl.js'
import { counted } from '../../plain-text.js'
import { isAbort } from '../../stop-signals.js'
import { cannotBeRead } from '../../system-errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makingParents, refuseUnwritableFolder, temporaryName, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import type { DicomOutcome, DicomReader, DicomScan } from '../ports/dicom.js'
import { defaultKeyFile, readKey } from './dicom-key.js'
import {
  CONVERSIONS,
  type ConversionLine,
  conversionsIn,
  imageOf,
  jobOf,
  labelOf,
  makeCaseFolders,
  sweepConversion,
  writeDatasetList,
} from './dicom-output.js'
import { type DicomSeries, listedSeries, reportTable } from './dicom-report.js'
import { type ChoiceOptions, chooseTasks, type DicomChoice, type DicomTask } from './dicom-tasks.js'

/** Table of the series, in the output folder. */
const REPORT = 'report.csv'

/**
 * `series`: numbers or UIDs; default: one CT series of each study, by rule. `all`: every usable CT series. `map`: the label
 * id of ROIs and segments by name, `#number` or `SCHEME:CODE`. `region`: default: that of the organs that they name.
 */
export interface ConvertDicomOptions extends ChoiceOptions {
  /** Folder to write; with `list`, nothing is written. */
  readonly out?: string | undefined
  /** Only list the series. Default: false. */
  readonly list?: boolean | undefined
  /** File of the key of the pseudonyms, created if missing. Default: `freetumor/dicom.key` in the user's state folder. */
  readonly key?: string | undefined
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Called every second of the scan with the number of files that were looked at. */
  readonly onFiles?: ((files: number) => void) | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

export interface DicomConversion {
  /** Output folder; null after a list. */
  readonly out: string | null
  /** File of the key of the pseudonyms. */
  readonly key: string
  /** Region of the label ids; null if nothing is labelled. */
  readonly region: Region | null
  readonly series: readonly DicomSeries[]
  /** DICOM files that were read. */
  readonly files: number
  /** Files of other formats. */
  readonly others: number
  /** Symbolic links to folders, which are not followed. */
  readonly links: number
  /** Damaged DICOM files, by their place in the order of paths. */
  readonly unreadable: readonly { readonly file: number; readonly reason: string }[]
  /** Cases in the output folder. */
  readonly numCases: number
  /** False if a study has no usable CT series, a chosen series or its label object failed, or a file is damaged. */
  readonly complete: boolean
}

/** Result of a task. */
interface TaskResult {
  readonly task: DicomTask
  readonly outcome: 'converted' | 'reused' | 'refused'
  readonly code: string | null
  readonly reason: string | null
  readonly line: ConversionLine | null
  /** Why the label object gave no label map. */
  readonly labelRefusal: { readonly code: string; readonly reason: string } | null
}

interface Source {
  readonly scan: DicomScan
  readonly names: Pseudonyms
  readonly keyFile: string
}

/**
 * Convert DICOM series to NIfTI, with label maps from RTSTRUCT and SEG; an interrupted conversion is resumed.
 * @throws UsageError for wrong options; DataError for a folder without DICOM, or a named series that is refused;
 *   EnvironmentError without the packages; StoppedError if stopped
 */
export async function convertDicomSeries(
  folder: string,
  options: ConvertDicomOptions,
  context: StageContext,
  reader: DicomReader,
): Promise<DicomConversion> {
  const { cwd = process.cwd(), env = process.env, list = false } = options
  refuseContradictions(options)
  const source = resolve(cwd, folder)
  await access(source).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(cannotBeRead(source, error.code, 'folder'), { hint: 'correct the path' })
  })
  const out = list ? null : resolve(cwd, options.out!)
  const keyFile = resolve(cwd, options.key ?? defaultKeyFile(env))
  const names = pseudonymsOf(await readKey(keyFile, out === null ? [source] : [source, out]))
  const scanned = async (): Promise<Source> => {
    const calling = { signal: context.signal, onFiles: options.onFiles }
    const scan = await reader.scan({ folder: source, without: out }, calling)
    if (scan.files + scan.unreadable.length > 0) return { scan, names, keyFile }
    const links =
      scan.links === 0 ? '' : ` and ${counted(scan.links, 'link')} to folders, which are not followed`
    throw new DataError(
      `${source}: no DICOM file found (found ${counted(scan.others, 'other file')}${links})`,
      { hint: 'pass the folder of a DICOM export' },
    )
  }
  try {
    if (out === null) return listOf(await scanned(), options)
    await refuseUnwritableFolder(out)
    return await makingParents(join(out, REPORT), async () => {
      await using _ = await context.runtime.lock(out, WRITING)
      return await convertChosen(await scanned(), out, options, context, reader)
    })
  } catch (error) {
    if (!isAbort(error) && !context.signal?.aborted) throw error
    throw new StoppedError('data convert was stopped; complete cases are kept', {
      hint: 'run the same command again to resume',
      cause: error,
    })
  }
}

function refuseContradictions({ list, out, all, series }: ConvertDicomOptions): void {
  if (!list && out === undefined)
    throw new UsageError('data convert: no output (expected --out or --list)', {
      hint: 'pass --out with a folder, or --list',
    })
  if (all && series !== undefined)
    throw new UsageError('--series: cannot be used with --all', { hint: 'remove one of the options' })
}

function listOf({ scan, names, keyFile }: Source, options: ChoiceOptions): DicomConversion {
  const { files, others, links, unreadable } = scan
  const series = scan.series.map((one, at) =>
    listedSeries(one, at + 1, names.patient(one), namesOfSegments(one, options)),
  )
  const complete = unreadable.length === 0
  const found = { files, others, links, unreadable }
  return { out: null, key: keyFile, region: null, series, ...found, numCases: 0, complete }
}

/** Return the label names that the segments of a series would get, by their numbers. */
function namesOfSegments(
  { labels }: ScannedSeries,
  { region, map = [] }: ChoiceOptions,
): ReadonlyMap<number, string> {
  for (const one of region === undefined ? (['abdomen', 'chest'] as const) : [region]) {
    const ids = labelsOfSegments(labels?.segments ?? [], one, map)
    if (ids.size > 0) return new Map([...ids].map(([number, id]) => [number, LABEL_SCHEMES[one].names[id]!]))
  }
  return new Map()
}

async function convertChosen(
  source: Source,
  out: string,
  options: ConvertDicomOptions,
  context: StageContext,
  reader: DicomReader,
): Promise<DicomConversion> {
  const { scan, names } = source
  const choice = chooseTasks(scan.series, options, names)
  await sweepConversion(out)
  const results = await convertTasks(choice, out, options, context, reader)
  await sweepConversion(out)
  const listed = listOf(source, options)
  const series = listed.series.map((one, at) => ({
    ...one,
    ...fateOf(scan.series[at]!, scan.series, results, choice.region),
  }))
  await writeWhole(
    join(out, REPORT),
    reportTable(series, (uid) => `s${names.digest(uid).slice(0, 8)}`),
  )
  const numCases = await writeDatasetList(out, choice.region)
  const complete = listed.complete && isComplete(scan.series, results, options.series !== undefined)
  return { ...listed, out, region: choice.region, series, numCases, complete }
}

/** Convert what the output folder lacks; record each case when its files are complete. */
async function convertTasks(
  { tasks, region }: DicomChoice,
  out: string,
  { onCase }: ConvertDicomOptions,
  { signal, note }: StageContext,
  reader: DicomReader,
): Promise<TaskResult[]> {
  const lines = await conversionsIn(out, region)
  await makeCaseFolders(out, tasks)
  const jobs = await Promise.all(tasks.map((task, at) => jobOf(task, at, out, region, lines.get(task.id))))
  const results = new Map<number, TaskResult>()
  const left = jobs.filter(({ image, labels }) => image !== null || labels !== null)
  for (const { job } of jobs.filter((one) => !left.includes(one)))
    results.set(job, { ...DONE, task: tasks[job]!, outcome: 'reused', line: lines.get(tasks[job]!.id)! })
  if (results.size > 0) note(`${results.size} of ${counted(tasks.length, 'case')} already converted`)
  if (left.length > 0) {
    await using log = await openJsonLog<ConversionLine>(join(out, CONVERSIONS))
    const work = temporaryName(join(out, 'work'))
    try {
      for await (const outcome of reader.convert({ work, jobs: left }, { signal })) {
        const result = resultOf(tasks[outcome.job]!, outcome, region)
        if (result.line !== null) log.write(result.line)
        await log.flush()
        results.set(outcome.job, result)
        onCase?.(results.size, tasks.length, result.task.id)
      }
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }
  return tasks.map((_, at) => results.get(at)!)
}

const DONE = { code: null, reason: null, labelRefusal: null } as const

function resultOf(task: DicomTask, outcome: DicomOutcome, region: Region | null): TaskResult {
  if ('refusal' in outcome) {
    const { code, reason, hint } = outcome.refusal
    const words = hint === '' ? reason : `${reason}; ${hint}`
    return { task, outcome: 'refused', code, reason: words, line: null, labelRefusal: null }
  }
  const { voxels, notes, labelRefusal } = outcome
  const { image, label } = task.digests
  const line = { case: task.id, image, label: labelRefusal === null ? label : null, region, voxels, notes }
  return { ...DONE, task, outcome: 'converted', line, labelRefusal }
}

/** Return what became of a series, as far as it differs from the list. */
function fateOf(
  one: ScannedSeries,
  all: readonly ScannedSeries[],
  results: readonly TaskResult[],
  region: Region | null,
): Partial<DicomSeries> {
  if (one.refusal !== null) return {}
  const numberOf = (other: ScannedSeries): number => all.indexOf(other) + 1
  if (one.volume !== null) {
    const result = results.find(({ task }) => task.ct === one)
    if (result !== undefined) return imageFate(result)
    const chosen = results.find(({ task }) => task.ct.study === one.study)
    return notChosen(
      'other-series',
      chosen === undefined ? 'another series was named' : `series ${numberOf(chosen.task.ct)} was chosen`,
    )
  }
  const ct = all.find((other) => other.volume !== null && labelObjectsOf(other, all).includes(one))
  if (ct === undefined) return notChosen('no-series', 'its CT series is missing or refused')
  const result = results.find(({ task }) => task.ct === ct)
  if (result === undefined) return notChosen('other-series', `its CT, series ${numberOf(ct)}, was not chosen`)
  if (result.task.object !== one)
    return notChosen('other-object', `series ${numberOf(result.task.object!)} labels the same CT`)
  return labelFate(result, one, region)
}

function notChosen(code: string, reason: string): Partial<DicomSeries> {
  return { outcome: 'notChosen', code, reason }
}

function imageFate({ task, outcome, code, reason, line }: TaskResult): Partial<DicomSeries> {
  if (line === null) return { outcome, code, reason }
  return {
    outcome,
    case: task.id,
    image: imageOf(task.id),
    label: line.label === null ? null : labelOf(task.id),
  }
}

function labelFate(
  { task, outcome, line, labelRefusal }: TaskResult,
  one: ScannedSeries,
  region: Region | null,
): Partial<DicomSeries> {
  const segments = one.labels!.segments.map(({ number, code }) => {
    const id = task.ids.get(number)
    return {
      number,
      code: code || null,
      label: id === undefined ? null : LABEL_SCHEMES[region!].names[id]!,
      voxels: line?.label == null ? null : (line.voxels[number] ?? null),
    }
  })
  if (labelRefusal !== null) return { segments, outcome: 'refused', ...labelRefusal }
  if (line === null) return { segments, ...notChosen('no-series', 'the conversion of its CT series failed') }
  if (line.label === null)
    return {
      segments,
      ...notChosen('unmapped', `none of its ${counted(segments.length, 'segment')} has a label; pass --map`),
    }
  return { segments, outcome, case: task.id, label: labelOf(task.id), notes: line.notes }
}

/** Reasons for which a series is no volume by its nature, so that a study may lack nothing without it. */
const NO_VOLUMES = ['localizer', 'secondary-capture', 'single-image', 'not-ct']

/** Return false if a conversion failed, a label object cannot be read, or a study has CT images and no case. */
function isComplete(
  series: readonly ScannedSeries[],
  results: readonly TaskResult[],
  named: boolean,
): boolean {
  if (results.length === 0) return false
  if (results.some(({ outcome, labelRefusal }) => outcome === 'refused' || labelRefusal !== null))
    return false
  const studies = new Set(results.map(({ task }) => task.ct.study))
  const lost = series.filter(
    ({ kind, study, refusal }) =>
      refusal !== null && (kind !== 'image' || (!NO_VOLUMES.includes(refusal.code) && !studies.has(study))),
  )
  return named || lost.length === 0
}
