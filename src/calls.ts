import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { loadConfig } from './config/load.js'
import { RECORD } from './config/paths.js'
import { resolveConfig } from './config/resolve.js'
import type { ConfigInput, RunConfig } from './config/schema.js'
import type { CheckReport } from './curation/check/run.js'
import type { Shard } from './curation/datasets/shard.js'
import { UsageError } from './errors.js'
import { checkpointFile } from './pipeline/checkpoint/checkpoint-file.js'
import type { StageContext } from './pipeline/context.js'
import { type AuditDataOptions, auditDataAt, type DataAudit } from './pipeline/data/audit.js'
import { type CheckDataOptions, checkDataAt } from './pipeline/data/check.js'
import {
  type ConvertDicomOptions,
  convertDicomSeries,
  type DicomConversion,
} from './pipeline/data/convert.js'
import {
  type CalibrateOptions,
  calibrateMasks,
  type WrittenCalibration,
} from './pipeline/evaluate/calibrate.js'
import {
  type HardNegativeOptions,
  type HardNegatives,
  hardNegativesOfMasks,
} from './pipeline/evaluate/hard-negatives.js'
import {
  calibrateOperatingPoint,
  type OperatingPointOptions,
  type WrittenOperatingPoint,
} from './pipeline/evaluate/operating-point.js'
import { type DatasetExport, type ExportDatasetOptions, exportDatasetOf } from './pipeline/export/dataset.js'
import { type ExportModelOptions, exportModelOf, type ModelExport } from './pipeline/export/model.js'
import {
  type DicomSegOptions,
  type PredictionWithSegs,
  predictWithSegs,
  type SynthesisWithSegs,
  synthesizeWithSegs,
} from './pipeline/flows/dicom-seg.js'
import { type Merged, mergeShardsAt } from './pipeline/flows/merge.js'
import { labelOrgansAt, type OrganLabels } from './pipeline/organs/run.js'
import type { LabelOrgansOptions } from './pipeline/organs/settings.js'
import type { MergingOrder } from './pipeline/ports/checkpoint.js'
import type { PredictOptions } from './pipeline/predict/run.js'
import { compareRealism, type Realism } from './pipeline/realism/run.js'
import type { RealismOptions } from './pipeline/realism/settings.js'
import { findRun } from './pipeline/runs/list.js'
import type { SynthesisProgress } from './pipeline/synthesize/run.js'
import { synthesisSettings } from './pipeline/synthesize/settings.js'
import { sendRun } from './pipeline/train/tracking.js'
import { type CheckpointFormat, type Converted, convertFile } from './runtime/checkpoint.js'
import { dicomReader } from './runtime/dicom.js'
import { segWriter } from './runtime/dicom-seg.js'
import { toolRunner } from './runtime/tool.js'
import { torchRuntime } from './runtime/torch-runtime.js'
import type { Sent } from './tracking/feed.js'
import { makeTemporaryFolder } from './whole-file.js'

/** Options of every call: the Python to use, how to stop, and where notes go. */
export interface CallSettings {
  readonly python?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}

/**
 * Check every voxel of every case at paths: data sets of any layout, lists, manifests, configurations or scans.
 * @returns findings with rule, severity, cause and remedy
 * @throws DataError for a path without a scan
 */
export function checkData(paths: readonly string[], options: CheckDataOptions = {}): Promise<CheckReport> {
  return checkDataAt(paths, options, shardContext(options))
}

/**
 * Find copies of one scan, patients in two folds and known overlaps among the cases at paths.
 * @throws DataError for a path without a scan
 */
export function auditData(paths: readonly string[], options: AuditDataOptions = {}): Promise<DataAudit> {
  return auditDataAt(paths, options, shardContext(options))
}

/** Measure a baseline on held-out real tumors, and write the file that `quality.calibration` names. */
export function calibrate(
  options: CalibrateOptions,
  settings: CallSettings = {},
): Promise<WrittenCalibration> {
  return withContext(settings, (context) => calibrateMasks(options, context))
}

/** Fit a rule that removes predicted lesions, and write the file that `predict` and `evaluate` read. */
export function calibrateLesions(
  options: OperatingPointOptions,
  settings: CallSettings = {},
): Promise<WrittenOperatingPoint> {
  return withContext(settings, (context) => calibrateOperatingPoint(options, context))
}

/** List the false positives in masks of healthy scans, and write the file that `sampling.hardNegatives` names. */
export function mineHardNegatives(
  options: HardNegativeOptions,
  settings: CallSettings = {},
): Promise<HardNegatives> {
  return withContext(settings, (context) => hardNegativesOfMasks(options, context))
}

/**
 * Convert the DICOM series below a folder to NIfTI, with label maps from RTSTRUCT and SEG; an interrupted conversion is
 * resumed. The runtime needs its part `dicom`.
 * @returns every series and what became of it
 * @throws DataError for a folder without DICOM, or a named series that is refused; StoppedError if stopped
 */
export function convertDicom(
  folder: string,
  options: ConvertDicomOptions & CallSettings,
): Promise<DicomConversion> {
  const reader = dicomReader({ python: options.python })
  return withContext(options, (context) => convertDicomSeries(folder, options, context, reader))
}

/**
 * Join the results of all shards of a command: its files and its result are those of the command without shards.
 * @param path output folder of the command; for `prepare`, `prepare.cache` or the configuration
 * @throws UsageError without shards, and while one is being written; DataError that names each shard to run again
 */
export function mergeShards(path: string, settings: CallSettings = {}): Promise<Merged> {
  return withContext(settings, (context) => mergeShardsAt(path, context))
}

export interface ConvertSettings extends CallSettings {
  readonly to: CheckpointFormat
  /** File to write. */
  readonly out: string
  /** Patch-merging order of a file that does not state it. */
  readonly merging?: MergingOrder | undefined
  /** Set of weights of a file that holds several: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
}

/**
 * Write a checkpoint in another format, with its metadata.
 * @throws CheckpointError as `inspectCheckpoint`; UsageError if the order contradicts the file
 */
export async function convertCheckpoint(
  file: string,
  { to, out, merging, weights, python, signal }: ConvertSettings,
): Promise<Converted> {
  const path = await checkpointFile(resolve(file))
  return await convertFile(path, to, out, merging ?? null, { python, signal, weights })
}

/**
 * Write the weights of a run or file in the format of another project.
 * @param file also a run directory or one of its checkpoints
 * @throws CheckpointError for a network that the format cannot hold; UsageError if the folder has content
 */
export function exportModel(
  file: string,
  options: ExportModelOptions,
  settings: CallSettings = {},
): Promise<ModelExport> {
  return withContext(settings, (context) => exportModelOf(resolve(file), options, context))
}

/**
 * Write data sets as one data set of nnU-Net, or as decathlon lists; synthetic cases stay with their hosts in every fold.
 * @throws DataError for a path without a labelled scan, or label ids without a meaning
 */
export function exportDataset(
  paths: readonly string[],
  options: ExportDatasetOptions,
): Promise<DatasetExport> {
  return exportDatasetOf(paths, options)
}

/**
 * Write one label map of organs per scan, by a tool in an environment of its own, merged with given tumor labels. An
 * interrupted call is resumed.
 * @throws UsageError, EnvironmentError, CheckpointError, DataError before the first case; a case that fails is in the result
 */
export function labelOrgans(options: LabelOrgansOptions, settings: CallSettings = {}): Promise<OrganLabels> {
  return withContext(settings, (context) => labelOrgansAt(options, context, toolRunner))
}

/**
 * Compare the tumors of a synthetic data set with real ones, and search for copies of real tumors. A stopped call resumes.
 * @throws DataError for a side without a labelled case, or label ids without a meaning; CheckpointError for a checkpoint
 *   without a complete segmentor; a case that fails is in the result
 */
export function realism(options: RealismOptions, settings: CallSettings = {}): Promise<Realism> {
  return withContext(settings, (context) => compareRealism(options, context))
}

export interface PredictionSettings extends PredictOptions {
  /** Write DICOM SEG for the CT series that the scans were converted from, into `OUT/dicom-seg`. */
  readonly dicomSeg?: DicomSegOptions | undefined
}

/** Segment the scans of a folder and write label maps. */
export function predict(
  { dicomSeg, ...options }: PredictionSettings,
  settings: CallSettings = {},
): Promise<PredictionWithSegs> {
  const writer = segWriter({ python: settings.python })
  return withContext(settings, (context) => predictWithSegs(options, dicomSeg ?? null, context, writer))
}

export interface SynthesizeSettings {
  /** `synthesize`, `simulation` and `quality` describe the tumors; `data` names the host CTs without `images`. */
  readonly config: ConfigInput | RunConfig
  /** Folder of the synthetic data set; an interrupted synthesis is resumed. */
  readonly out: string
  /** Folder of scans, or a data set of any layout. */
  readonly images?: string | undefined
  /** Labels with the names of the scans. Default: those of the data set at `images`. */
  readonly labels?: string | undefined
  /** Ids of those labels -> ids of the region. Default: the ids are those of the region. */
  readonly labelMap?: Readonly<Record<string, number>> | undefined
  /** Licence of the host CTs. Default: that of a registered data set. */
  readonly licence?: string | undefined
  readonly onProgress?: ((progress: SynthesisProgress) => void) | undefined
  /** Paint into the hosts of one shard only. */
  readonly shard?: Shard | undefined
  /** Write DICOM SEG of the labels for the CT series of the hosts, into `OUT/dicom-seg`. */
  readonly dicomSeg?: DicomSegOptions | undefined
}

/** Paint tumors into whole scans, write the accepted ones as a data set, and record every attempt in a ledger. */
export async function synthesize(
  { config, images, labels, labelMap, dicomSeg, ...rest }: SynthesizeSettings,
  settings: CallSettings = {},
): Promise<SynthesisWithSegs> {
  const resolved = resolveConfig(config)
  if (images === undefined && labels !== undefined)
    throw new UsageError('synthesize: labels without images (expected both, or images alone)', {
      hint: 'pass images, too',
    })
  const hosts = images === undefined ? resolved.data : { images, labels, labelMap }
  const python = settings.python ?? resolved.runtime.python ?? undefined
  return await withContext({ ...settings, python }, (context) =>
    synthesizeWithSegs(
      { settings: synthesisSettings(resolved), hosts, ...rest },
      dicomSeg ?? null,
      context,
      segWriter({ python }),
    ),
  )
}

export interface SyncSettings extends CallSettings {
  /** `key=value` pairs that replace values of the configuration, for instance `tracking.mlflow=http://127.0.0.1:5000`. */
  readonly set?: readonly string[] | undefined
}

/** The values that a call sent. `failure` of a tracker: why it lacks values; null if it has all. */
export interface RunSync {
  readonly directory: string
  readonly trackers: readonly Sent[]
}

/**
 * Send the figures of an ended run that its trackers lack. A tracker that fails is in the result.
 * @param run run directory, or the last part of one below `runs`
 * @throws UsageError if there is no such run, if it is being trained, or if its configuration names no tracker
 */
export async function syncRun(run: string, { set, ...settings }: SyncSettings = {}): Promise<RunSync> {
  const directory = await findRun(run, process.cwd())
  const config = await loadConfig(join(directory, RECORD), {
    set: set ?? [],
    onNote: (text) => settings.onNote?.(text, 'info'),
  })
  const python = settings.python ?? config.runtime.python ?? undefined
  const trackers = await withContext({ ...settings, python }, (context) =>
    sendRun(directory, config, context),
  )
  return { directory, trackers }
}

/** Run a stage outside a run: its logs are in a temporary folder. */
export async function withContext<T>(
  settings: CallSettings,
  work: (context: StageContext) => Promise<T>,
): Promise<T> {
  const logDirectory = await makeTemporaryFolder('freetumor-')
  try {
    return await work({
      runtime: torchRuntime({ python: settings.python }),
      signal: settings.signal,
      logDirectory,
      note: (text, level = 'info') => settings.onNote?.(text, level),
    })
  } finally {
    await rm(logDirectory, { recursive: true, force: true })
  }
}

function shardContext({ onNote }: Pick<CallSettings, 'onNote'>) {
  const note = (text: string, level: 'info' | 'warning' = 'info') => onNote?.(text, level)
  return { runtime: torchRuntime(), note }
}
