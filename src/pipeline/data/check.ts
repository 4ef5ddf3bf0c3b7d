import { availableParallelism } from 'node:os'
import { type CheckReport, checkCases } from '../../curation/check/run.js'
import { casesAt, type SourceOptions, type WorkOptions } from './collect.js'

export interface CheckDataOptions extends SourceOptions, WorkOptions {
  /** Largest decoded size of a file in bytes. Default: the limit of the reader. */
  readonly maxBytes?: number | undefined
}

/**
 * Check every voxel of every case at paths: data sets of any layout, lists, manifests, configurations or scans.
 * @returns findings with rule, severity, cause and remedy; nothing is written
 * @throws DataError for a path without a scan
 */
export async function checkData(
  paths: readonly string[],
  { maxBytes, workers = defaultWorkers(), signal, onCase, ...sources }: CheckDataOptions = {},
): Promise<CheckReport> {
  const { cases, missing, refused, leftOut, notes, config } = await casesAt(paths, sources)
  for (const note of notes) sources.onNote?.(note, 'info')
  const prepared = config && {
    spacingMm: config.prepare.spacingMm,
    lowerHu: config.prepare.windowHu[0],
    patchVoxels: config.sampling.patchVoxels,
  }
  const files = { prepared, refused, leftOut, maxBytes: maxBytes ?? null }
  return await checkCases(cases, missing, { ...files, workers, signal, onCase })
}

/** Return the default number of threads that read cases. */
export function defaultWorkers(): number {
  return Math.min(8, availableParallelism())
}
