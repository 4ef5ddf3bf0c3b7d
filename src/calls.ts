import { rm } from 'node:fs/promises'
import type { CheckReport } from './curation/check/run.js'
import type { StageContext } from './pipeline/context.js'
import { type AuditDataOptions, auditDataAt, type DataAudit } from './pipeline/data/audit.js'
import { type CheckDataOptions, checkDataAt } from './pipeline/data/check.js'
import {
  type CalibrateOptions,
  calibrateMasks,
  type WrittenCalibration,
} from './pipeline/evaluate/calibrate.js'
import { type Merged, mergeShardsAt } from './pipeline/flows/merge.js'
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

/** Measure a baseline on held-out real tumors, and write the file that `quality.calibration` names. */
export function calibrate(
  options: CalibrateOptions,
  settings: CallSettings = {},
): Promise<WrittenCalibration> {
  return withContext(settings, (context) => calibrateMasks(options, context))
}

/**
 * Join the results of all shards of a command: its files and its result are those of the command without shards.
 * @param path output folder of the command; for `prepare`, `prepare.cache` or the configuration
 * @throws UsageError without shards, and while one is being written; DataError that names each shard to run again
 */
export function mergeShards(path: string, settings: CallSettings = {}): Promise<Merged> {
  return withContext(settings, (context) => mergeShardsAt(path, context))
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
