import { resolve } from 'node:path'
import { makeManifest, readManifest, writeManifest } from '../../curation/datasets/manifest.js'
import { assignFolds, type FoldPlan } from '../../curation/split/run.js'
import { strataOf } from '../../curation/split/strata.js'
import { makingParents, refuseUnwritable } from '../../whole-file.js'
import { casesAt, labelFolderOf, noteNotTaken, type SourceOptions, type WorkOptions } from './collect.js'

export interface SplitDataOptions extends SourceOptions, Omit<WorkOptions, 'workers'> {
  readonly folds: number
  /** Seed of the folds. Default: 0. */
  readonly seed?: number | undefined
  /** Manifest to write. Default: nothing is written. */
  readonly out?: string | undefined
  /** Balance new patients by data set, tumor presence and tumor size. Default: false. */
  readonly even?: boolean | undefined
  /** Manifest of an earlier split, whose patients keep their folds. */
  readonly keep?: string | undefined
  /** Ignore the folds and validation cases of published lists. Default: false. */
  readonly ignorePublished?: boolean | undefined
}

export interface DataSplit extends FoldPlan {
  /** False if a scan at the paths was not taken. */
  readonly complete: boolean
}

/**
 * Assign every patient of the cases at paths to a fold; new patients do not move the others.
 * @throws DataError for a path without a scan, or duplicate ids
 */
export async function splitData(
  paths: readonly string[],
  { folds, seed = 0, out, even, keep, ignorePublished = false, signal, onCase, ...sources }: SplitDataOptions,
): Promise<DataSplit> {
  const { cwd = process.cwd(), onNote } = sources
  const target = out === undefined ? undefined : resolve(cwd, out)
  const labelFolder = target === undefined ? undefined : labelFolderOf(target)
  if (target !== undefined) await refuseUnwritable(target)
  const found = await casesAt(paths, { ...sources, labelFolder, unknown: 'refuse' })
  const complete = noteNotTaken(found, onNote)
  const manifest = makeManifest(found.cases)
  const earlier = keep === undefined ? undefined : await readManifest(resolve(cwd, keep))
  const strata = await strataOf(manifest.cases, { signal, onCase })
  const method = even ? 'even' : 'hash'
  const plan = assignFolds(manifest, strata, { folds, seed, keep: earlier, method, ignorePublished })
  if (target !== undefined) await makingParents(target, () => writeManifest(target, plan.manifest))
  for (const warning of plan.warnings) onNote?.(warning, 'warning')
  return { ...plan, complete }
}
