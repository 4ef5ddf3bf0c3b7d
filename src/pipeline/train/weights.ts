import { createHash } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { paintsTumors } from '../../config/jobs.js'
import { loadConfig, printConfig } from '../../config/load.js'
import { relativePaths } from '../../config/paths.js'
import type { RunConfig } from '../../config/schema.js'
import type { PluginSettings } from '../../config/sections/networks.js'
import { ConfigError, StoppedError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import { bestCheckpoint, latestCheckpoint } from '../../training/checkpoints.js'
import type { Run, TrainOptions } from '../../training/run.js'
import { holdsRun, readExit } from '../../training/run-directory.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import {
  type PaintingPlan,
  plannedOrgans,
  refuseBlindBaseline,
  refuseBlindTraining,
  refuseWrongGenerator,
} from '../checkpoint/coverage.js'
import { generatorFile } from '../checkpoint/generator-file.js'
import { licenceOfPlugin, licencesOf, licencesOfRun, unknownLicences } from '../checkpoint/licence.js'
import { type Prepared, usablePlugin } from '../checkpoint/plugin.js'
import type { StageContext } from '../context.js'
import type { EarlierWeights } from '../plan/spec.js'
import type { CheckpointFacts, WeightsLicence } from '../ports/checkpoint.js'
import type { PluginFacts } from '../ports/plugin.js'
import type { ModelRuntime } from '../ports/runtime.js'
import { trainingLabels } from '../training-labels.js'

/** Function that starts the training of earlier weights. */
export type StartTraining = (config: RunConfig, runtime: ModelRuntime, options: TrainOptions) => Run

/** Sources of the weights that a stage paints with. */
export interface WantedWeights extends PaintingPlan {
  /** File that the segmentor starts from; absent or null: it starts at random. */
  readonly initial?: Pick<WeightsSource, 'checkpoint' | 'weights'> | null
  /** Null if the stage uses none. */
  readonly baseline: WeightsSource | null
  readonly generator: WeightsSource | null
  /** The grid and intensity window of the stage. */
  readonly prepare: Prepared
}

/** A file, the configuration of the training that makes it, or a plug-in; with none, the network is not used. */
export interface WeightsSource {
  readonly checkpoint: string | null
  /** Name of one of several sets of weights in that file; null: the only one. */
  readonly weights: string | null
  readonly trainFrom: string | null
  readonly plugin: PluginSettings | null
}

/** Return the weights that a training builds on; none for a training without synthetic tumors. */
export function wantedWeights(config: RunConfig): WantedWeights {
  const { prepare } = config
  const { baseline, generator, segmentor } = config.networks
  const initial =
    config.job === 'synthesis'
      ? null
      : { checkpoint: segmentor.initialWeights, weights: segmentor.initialWeightsSet }
  if (!paintsTumors(config))
    return {
      ...{ initial, baseline: null, generator: null },
      ...{ organs: [], baselineMerging: null, generatorChannel: null, prepare },
    }
  return {
    initial,
    baseline,
    generator: generator && { ...generator, checkpoint: generatorFile(generator.checkpoint) },
    organs: plannedOrgans(trainingLabels(config).organs, config.simulation.organWeights),
    baselineMerging: baseline?.patchMerging ?? null,
    generatorChannel: generator?.channel ?? null,
    prepare,
  }
}

/**
 * Return the weights that a stage builds on: a named checkpoint, or those of a run of `trainFrom`, which is trained here if
 * necessary: its best checkpoint if it was validated, else its last. Trained weights are kept under `.freetumor/weights`
 * by the hash of their configuration, and reused.
 * @param accepted is called before a training that may take long
 */
export async function earlierWeights(
  wanted: WantedWeights,
  context: StageContext,
  start: StartTraining,
  accepted: (found: Pick<EarlierWeights, 'licences' | 'plugins'>) => void = () => {},
): Promise<EarlierWeights> {
  const { baseline, generator } = wanted
  const stated = await refuseUnusableWeights(wanted, context)
  const plugins = await usablePlugins(wanted, context)
  accepted({ licences: stated, plugins })
  const paths = {
    baseline: baseline && (await weightsOf('baseline', baseline, context, start)),
    generator: generator && (await weightsOf('generator', generator, context, start)),
    ...(Object.keys(plugins).length > 0 ? { plugins } : {}),
  }
  const trained = ([paths.baseline, paths.generator] as const).filter(
    (path, at) => path !== null && [baseline, generator][at]?.checkpoint === null,
  )
  const inherited = await Promise.all(trained.map((path) => licencesOfRun(path!)))
  const ofPlugins = (['baseline', 'generator'] as const).flatMap((network) => {
    const facts = plugins[network]
    return facts === undefined ? [] : [licenceOfPlugin(network, facts)]
  })
  return { ...paths, licences: [...stated, ...inherited.flat(), ...ofPlugins] }
}

/** Start each plug-in once, before any other work. @throws PluginError, ConfigError for one that the stage cannot use */
async function usablePlugins(
  wanted: WantedWeights,
  context: StageContext,
): Promise<NonNullable<EarlierWeights['plugins']>> {
  const found: Partial<Record<Network, PluginFacts>> = {}
  for (const network of ['baseline', 'generator'] as const) {
    const plugin = wanted[network]?.plugin ?? null
    if (plugin === null) continue
    const facts = await usablePlugin(network, plugin, wanted, wanted.prepare, context)
    context.note(`networks.${network}: plug-in ${facts.name} ${facts.version} (licence: ${facts.licence})`)
    found[network] = facts
  }
  return found
}

/**
 * Inspect the files that a stage builds on, and the configuration that would train its baseline.
 * @returns the licences of the files, with a warning for each that is not stated
 * @throws CheckpointError, ConfigError for a file or configuration that the stage cannot use
 */
export async function refuseUnusableWeights(
  wanted: WantedWeights,
  context: StageContext,
): Promise<readonly WeightsLicence[]> {
  const { baseline, generator } = wanted
  const checks = {
    baseline: (facts: CheckpointFacts) => refuseBlindBaseline(wanted, facts),
    generator: (facts: CheckpointFacts) => {
      const warning = refuseWrongGenerator(wanted, facts)
      if (warning !== null) context.note(warning, 'warning')
    },
  }
  const [named, initial] = await Promise.all([
    inspectNamed({ baseline, generator }, checks, context),
    licencesOfInitial(wanted, context),
  ])
  const licences = [...initial, ...named]
  const paths = [wanted.initial, baseline, generator].flatMap((source) => source?.checkpoint ?? [])
  for (const text of unknownLicences(licences, paths)) context.note(text, 'warning')
  if (baseline?.trainFrom && baseline.checkpoint === null) {
    const training = await loadConfig(baseline.trainFrom)
    refuseBlindTraining(wanted, trainingLabels(training).organs, baseline.trainFrom)
  }
  return licences
}

/** Return the licences of the file that the segmentor starts from. The training refuses a file that cannot be read. */
async function licencesOfInitial(
  { initial }: WantedWeights,
  { runtime, signal }: StageContext,
): Promise<readonly WeightsLicence[]> {
  if (!initial?.checkpoint) return []
  try {
    const path = await checkpointFile(initial.checkpoint)
    return await licencesOf('segmentor', await runtime.inspect(path, { signal, weights: initial.weights }))
  } catch {
    signal?.throwIfAborted()
    return []
  }
}

type Network = 'baseline' | 'generator'

/** Inspect the named files before any earlier training starts, so that an unusable file is found at once. */
async function inspectNamed(
  sources: Readonly<Record<Network, WeightsSource | null>>,
  checks: Readonly<Record<Network, (facts: CheckpointFacts) => void>>,
  context: StageContext,
): Promise<WeightsLicence[]> {
  const named = (['baseline', 'generator'] as const).flatMap((network) => {
    const checkpoint = sources[network]?.checkpoint ?? null
    return checkpoint === null ? [] : [{ network, checkpoint }]
  })
  const paths = await Promise.all(named.map(({ network, checkpoint }) => existing(network, checkpoint)))
  // in parallel: together they take the time of one
  const { signal } = context
  const facts = await Promise.all(
    paths.map((path, at) => {
      const weights = sources[named[at]!.network]!.weights
      return context.runtime.inspect(path, { signal, weights })
    }),
  )
  for (const [at, { network }] of named.entries()) checks[network](facts[at]!)
  return (await Promise.all(named.map(({ network }, at) => licencesOf(network, facts[at]!)))).flat()
}

async function weightsOf(
  network: Network,
  source: WeightsSource,
  context: StageContext,
  start: StartTraining,
): Promise<string | null> {
  if (source.checkpoint !== null) return await existing(network, source.checkpoint)
  if (source.trainFrom === null) return null
  const config = await loadConfig(source.trainFrom)
  const hash = createHash('sha256')
    .update(printConfig(relativePaths(config)))
    .digest('hex')
    .slice(0, 12)
  const directory = resolve('.freetumor', 'weights', `${config.name}-${hash}`)
  const finished = await readExit(directory)
  if (finished?.outcome !== 'completed') {
    context.note(`networks.${network}: no weights yet, training ${source.trainFrom} first`)
    // the directory is never removed: another process may train in it, and a run without a checkpoint restarts from step 0
    const begun = await holdsRun(directory)
    const run = start(config, context.runtime, {
      ...(begun ? { resume: directory } : { out: directory }),
      signal: context.signal,
    })
    const { outcome, reason } = await run.result
    if (outcome !== 'completed')
      throw new StoppedError(`stopped during the training for networks.${network}: ${reason}`, {
        hint: 'start the run again: it resumes this training',
      })
  }
  const checkpoint = (await bestCheckpoint(directory)) ?? (await latestCheckpoint(directory))
  if (checkpoint === null)
    throw new ConfigError(`${directory}: holds no checkpoint`, { hint: 'remove it and start the run again' })
  return join(checkpoint, 'model.pt')
}

async function existing(network: Network, checkpoint: string): Promise<string> {
  const path = await checkpointFile(checkpoint)
  await access(path).catch((error: unknown) => {
    throw new ConfigError(`networks.${network}.checkpoint: ${cannotBeRead(path, 'ENOENT')}`, {
      hint: 'name the model.pt of a finished run',
      cause: error,
    })
  })
  return path
}
