import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { CheckReport } from './curation/check/run.js'
import { checkpointFile } from './pipeline/checkpoint/checkpoint-file.js'
import type { StageContext } from './pipeline/context.js'
import { type AuditDataOptions, auditDataAt, type DataAudit } from './pipeline/data/audit.js'
import { type CheckDataOptions, checkDataAt } from './pipeline/data/check.js'
import { type DatasetExport, type ExportDatasetOptions, exportDatasetOf } from './pipeline/export/dataset.js'
import { type ExportModelOptions, exportModelOf, type ModelExport } from './pipeline/export/model.js'
import { type Merged, mergeShardsAt } from './pipeline/flows/merge.js'
import type { MergingOrder } from './pipeline/ports/checkpoint.js'
import { type CheckpointFormat, type Converted, convertFile } from './runtime/checkpoint.js'
import { torchRuntime } from './runtime/torch-runtime.js'
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
