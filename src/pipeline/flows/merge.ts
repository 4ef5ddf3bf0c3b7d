import { resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import type { CheckReport } from '../../curation/check/run.js'
import { UsageError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'
import type { StageContext } from '../context.js'
import { type DataAudit, mergeAudit } from '../data/audit.js'
import { mergeCheck } from '../data/check.js'
import { configNamed } from '../data/collect.js'
import { type Evaluation, mergeEvaluation } from '../evaluate/run.js'
import { WRITING } from '../locks.js'
import { mergeOrganLabels, type OrganLabels } from '../organs/run.js'
import { mergePrediction, type Prediction } from '../predict/run.js'
import { mergePreparation, PREPARATION, type PrepareReport, preparationDirectory } from '../prepare/run.js'
import { commandOfShards, readShards, shardsBelow } from '../shards.js'
import type { Synthesis } from '../synthesize/dataset.js'
import { mergeSynthesis } from '../synthesize/run.js'

/** The result of all shards: that of the command without shards. */
export type MergedResult =
  | { readonly command: 'prepare'; readonly result: PrepareReport }
  | { readonly command: 'data check'; readonly result: CheckReport }
  | { readonly command: 'data audit'; readonly result: DataAudit }
  | { readonly command: 'synthesize'; readonly result: Synthesis }
  | { readonly command: 'predict'; readonly result: Prediction }
  | { readonly command: 'organs'; readonly result: OrganLabels }
  | {
      readonly command: 'evaluate'
      readonly result: Evaluation
      /** Region whose label ids are measured; null if the options list the ids. */
      readonly region: Region | null
    }

export type Merged = MergedResult & {
  /** Folder with the records of the shards. */
  readonly directory: string
  readonly shards: number
}

/**
 * Join the results of all shards of a command: its files and its result are those of the command without shards.
 * @param path output folder of the command; for `prepare`, `prepare.cache` or the configuration
 * @throws UsageError without shards, and while one is being written; DataError that names each shard to run again
 */
export async function mergeShardsAt(
  path: string,
  context: StageContext,
  cwd: string = process.cwd(),
): Promise<Merged> {
  const directory = await directoryOf(path, cwd)
  const command = await commandOfShards(directory)
  if (command === null) {
    const hint = 'name the output folder of a command with --shard, or the configuration of `prepare`'
    throw new UsageError(`${directory}: holds no shards`, { hint })
  }
  await using _lock = await context.runtime.lock(directory, WRITING)
  const shards = await readShards(directory)
  const merged = await resultOf(command, directory, shards as never, context)
  return { ...merged, directory, shards: shards.plan.count }
}

async function directoryOf(path: string, cwd: string): Promise<string> {
  const configuration = configNamed(path, cwd)
  if (configuration !== null) return preparationDirectory(await loadConfig(configuration))
  return await shardsBelow(resolve(cwd, path), PREPARATION)
}

/** @param shards those of the command, whose plan states it */
async function resultOf(
  command: MergedResult['command'],
  directory: string,
  shards: never,
  context: StageContext,
): Promise<MergedResult> {
  const { signal, note } = context
  switch (command) {
    case 'prepare':
      return { command, result: mergePreparation(shards) }
    case 'data check':
      return { command, result: await mergeCheck(directory, shards) }
    case 'data audit':
      return { command, result: await mergeAudit(directory, shards, { signal, onNote: note }) }
    case 'synthesize':
      return { command, result: await mergeSynthesis(directory, shards, context) }
    case 'predict':
      return { command, result: await mergePrediction(directory, shards) }
    case 'organs':
      return { command, result: await mergeOrganLabels(directory, shards) }
    case 'evaluate':
      return { command, ...(await mergeEvaluation(directory, shards, context)) }
  }
}
