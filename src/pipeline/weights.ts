import { createHash } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { loadConfig, printConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import { ConfigError, StoppedError } from '../errors.js'
import { latestCheckpoint, readExit } from '../training/run-directory.js'
import type { StageContext } from './context.js'
import type { ModelRuntime } from './ports.js'
import type { EarlierWeights } from './specs.js'
import type { Run, TrainOptions } from './train.js'

type StartTraining = (config: RunConfig, runtime: ModelRuntime, options: TrainOptions) => Run

/**
 * The weights a run builds on: a checkpoint that is named, or made here by the run of `trainFrom` when it is missing. Made
 * weights are kept under `.freetumor/weights` by the hash of their configuration, and used again.
 */
export async function earlierWeights(
  config: RunConfig,
  context: StageContext,
  start: StartTraining,
): Promise<EarlierWeights> {
  const paints = config.job === 'synthesis' || config.training.task === 'freesyn'
  const { baseline, generator } = config.networks
  return {
    baseline: paints && baseline ? await weightsOf('baseline', baseline, context, start) : null,
    generator: paints && generator ? await weightsOf('generator', generator, context, start) : null,
  }
}

async function weightsOf(
  network: string,
  source: { readonly checkpoint: string | null; readonly trainFrom: string | null },
  context: StageContext,
  start: StartTraining,
): Promise<string | null> {
  if (source.checkpoint !== null) {
    const path = resolve(source.checkpoint)
    await access(path).catch((error: unknown) => {
      throw new ConfigError(`networks.${network}.checkpoint: ${path} does not exist`, {
        hint: 'name the model.pt of a finished run',
        cause: error,
      })
    })
    return path
  }
  if (source.trainFrom === null) return null
  const config = await loadConfig(source.trainFrom)
  const hash = createHash('sha256').update(printConfig(config)).digest('hex').slice(0, 12)
  const directory = resolve('.freetumor', 'weights', `${config.name}-${hash}`)
  const finished = await readExit(directory)
  if (finished?.outcome !== 'completed') {
    context.note(`networks.${network}: no weights yet, training ${source.trainFrom} first`)
    const resume = (await latestCheckpoint(directory)) ? directory : undefined
    const run = start(config, context.runtime, {
      ...(resume ? { resume } : { out: directory }),
      signal: context.signal,
    })
    const { outcome, reason } = await run.result
    if (outcome !== 'completed') throw new StoppedError(`stopped while making networks.${network}: ${reason}`)
  }
  const checkpoint = await latestCheckpoint(directory)
  if (checkpoint === null)
    throw new ConfigError(`${directory} holds no checkpoint; remove it and start again`)
  return join(checkpoint, 'model.pt')
}
