import { rm } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { curate, ownDatasets } from '../../curation/datasets/curate.js'
import { type Collected, importCases, type TakenSource } from '../../curation/datasets/import.js'
import { type ManifestCase, makeManifest, writeManifest } from '../../curation/datasets/manifest.js'
import type { RefusedCase } from '../../curation/datasets/merged-labels.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import { withFileFacts, withMeasures } from '../../curation/file-facts.js'
import { DataError, UsageError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'
import { makingParents, refuseUnwritable, sweepUnfinished } from '../../whole-file.js'
import { defaultWorkers } from './check.js'
import {
  configNamed,
  labelFolderOf,
  noteNotTaken,
  noteRefused,
  type SourceOptions,
  type WorkOptions,
} from './collect.js'

export interface ImportDataOptions extends Omit<SourceOptions, 'labels'>, WorkOptions {
  /** Lists, folders of lists, data sets of any layout, or a whole nnUNet_raw. */
  readonly lists?: readonly string[] | undefined
  /** Include the data sets of this configuration: a file, or the name of a shipped one. */
  readonly config?: string | undefined
  /** Manifest to write. */
  readonly out: string
  /** Write nothing. Default: false. */
  readonly dryRun?: boolean | undefined
  /** Measure every file: volumes of the label classes, SHA-256. Default: false. */
  readonly measure?: boolean | undefined
  /** Accept that cases are left out because they cannot be read or measured. Default: false. */
  readonly skipUnreadable?: boolean | undefined
  /** Receives the sources and what their cases were taken as, before anything is written. */
  readonly onTaken?: ((taken: readonly TakenSource[]) => void) | undefined
}

export interface DataImport extends Pick<Collected, 'taken' | 'missing' | 'leftOut' | 'notes'> {
  /** The manifest; null after a dry run. */
  readonly out: string | null
  readonly numCases: number
  /** Cases that the manifest lacks: their files cannot be read, merged or measured. */
  readonly refused: readonly { readonly id: string; readonly message: string }[]
  /** False if a scan was not taken; `skipUnreadable` accepts those that cannot be read or measured. */
  readonly complete: boolean
}

/**
 * Read data sets of any layout into one manifest. An interrupted import is resumed.
 * A case that cannot be read or measured is refused, and the manifest lacks it.
 * @throws UsageError without lists and configuration; DataError for a path without a scan, duplicate ids, or no case left
 */
export async function importData(options: ImportDataOptions): Promise<DataImport> {
  const {
    lists,
    cwd = process.cwd(),
    dryRun,
    measure,
    workers = defaultWorkers(),
    signal,
    onCase,
    onNote,
  } = options
  if (lists === undefined && options.config === undefined)
    throw new UsageError('data import: nothing to read (expected data sets or --config)', {
      hint: 'pass --lists with data sets, or --config with a configuration',
    })
  const onConfigNote = (text: string): void => onNote?.(text, 'info')
  const config =
    options.config === undefined
      ? null
      : await loadConfig(configNamed(options.config, cwd) ?? resolve(cwd, options.config), {
          onNote: onConfigNote,
        })
  const out = resolve(cwd, options.out)
  const planned = await collect(options, cwd, config, null)
  makeManifest(planned.cases)
  options.onTaken?.(planned.taken)
  const isMerged = planned.taken.some(({ merged }) => merged > 0)
  // measuring may take hours
  if (!dryRun) {
    await sweepUnfinished(dirname(out), [`${basename(out)}.`])
    await sweepUnfinished(labelFolderOf(out))
    await refuseUnwritable(out)
  }
  const work = async () => {
    const found = isMerged && !dryRun ? await collect(options, cwd, config, labelFolderOf(out)) : planned
    const probed = await withFileFacts(makeManifest(found.cases).cases)
    const journal = `${out}.measures.jsonl`
    const threads = { workers, signal, onCase }
    const measured = measure && !dryRun ? await withMeasures(probed, threads, journal) : probed
    refuseAll(found.cases, measured.refused)
    if (!dryRun) {
      await writeManifest(out, makeManifest(measured.cases))
      await rm(journal, { force: true })
    }
    return { found, measured }
  }
  const { found, measured } = dryRun ? await work() : await makingParents(out, work)
  const isTaken = noteNotTaken(found, onNote)
  noteRefused(measured.refused, onNote)
  if (dryRun && isMerged)
    onNote?.('masks of organs: not read by --dry-run; their values and overlaps are unchecked', 'info')
  return {
    out: dryRun ? null : options.out,
    numCases: measured.cases.length,
    taken: found.taken,
    missing: found.missing,
    leftOut: found.leftOut,
    refused: [...found.refused, ...measured.refused].map(({ id, error }) => ({ id, message: error.message })),
    notes: found.notes,
    complete: isTaken && (options.skipUnreadable === true || measured.refused.length === 0),
  }
}

/** @throws DataError if no case is left: a manifest without a case serves nothing */
function refuseAll(cases: readonly ManifestCase[], refused: readonly RefusedCase[]): void {
  const [first] = refused
  if (first === undefined || refused.length < cases.length) return
  const { message, commandHint } = first.error
  throw new DataError(
    `data import: no case can be read (expected at least 1, found 0 of ${cases.length}); first ${message}`,
    commandHint === undefined ? {} : { hint: commandHint },
  )
}

/** Collect the cases of the lists, then those of the data sets of the configuration that the lists lack. */
async function collect(
  { lists = [], root, as, region, map, allowOutside }: ImportDataOptions,
  cwd: string,
  config: Pick<RunConfig, 'data' | 'region'> | null,
  labelFolder: string | null,
): Promise<Collected> {
  const listed = await importCases(
    lists.map((path) => resolve(cwd, path)),
    {
      root: resolve(cwd, root ?? config?.data.root ?? '.'),
      own: config ? ownDatasets(config.data) : [],
      as,
      region,
      allowOutside,
      labelFolder,
      ...labelMapOption(map, region ?? null),
    },
  )
  if (config === null) return listed
  const names = new Set(listed.taken.map(({ dataset }) => dataset))
  const datasets = config.data.datasets.filter(({ name }) => !names.has(name))
  const data = { ...config.data, datasets, allowOutside: allowOutside ?? config.data.allowOutside }
  const found = await curate(data, config.region, labelFolder)
  const cases = found.cases.map(({ repeat: _, ...item }) => item)
  return {
    ...listed,
    cases: [...listed.cases, ...cases],
    taken: [...listed.taken, ...datasets.map(({ name }) => takenOf(name, config.region, cases))],
    missing: [...listed.missing, ...found.missing],
    leftOut: [...listed.leftOut, ...found.leftOut],
    notes: [...listed.notes, ...found.notes],
  }
}

function takenOf(dataset: string, region: Region, all: readonly ManifestCase[]): TakenSource {
  const cases = all.filter((item) => item.dataset === dataset)
  const of = (split: ManifestCase['split']) => cases.filter((item) => item.split === split).length
  const { role, labelMap = null } = cases[0] ?? {}
  return {
    source: dataset,
    layout: 'configuration',
    dataset,
    recognized: false,
    region,
    role: role?.kind ?? 'host',
    labelMap,
    merged: 0,
    training: of('training'),
    validation: of('validation'),
    test: of('test'),
  }
}
