import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { paintsTumors } from '../../config/jobs.js'
import type { RunConfig } from '../../config/schema.js'
import { curate, curationWarnings } from '../../curation/datasets/curate.js'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { FreetumorError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { readNiftiHeader } from '../../volume/nifti.js'
import { generatorFile } from '../checkpoint/generator-file.js'
import { commandLine, pluginSpec } from '../checkpoint/plugin.js'
import type { TrainingSpec } from '../ports/training.js'
import type { TrainingCase } from '../prepare/run.js'
import { unaimedSizes } from '../tumor-sizes.js'
import { judgeBytes } from './judge-memory.js'
import { itemsPerEpoch, sampledCases, totalSteps } from './sampling.js'
import { segmentorBytes } from './segmentor-memory.js'
import { trainingSpec } from './spec.js'

/** Plan of a training. Planning creates, prepares and starts nothing. */
export interface TrainingPlan {
  readonly job: RunConfig['job']
  readonly name: string
  readonly cases: {
    readonly labelled: number
    readonly hosts: number
    readonly heldOut: number
    readonly missing: number
  }
  readonly steps: number
  readonly epochs: number
  readonly itemsPerEpoch: number
  readonly itemsPerStep: number
  readonly cropsPerStepAndRank: number
  readonly validations: number
  readonly checkpoints: number
  readonly estimates: {
    /** Prepared cases: 3 bytes per voxel of the prepared grid, before the crop to the foreground. */
    readonly cacheBytes: number
    readonly textureBytes: number
    /** int16 image and uint8 label of the crops of a step, over all ranks. */
    readonly bytesPerStep: number
    /** Memory that a rank needs at least to train a `resenc` or `unet`; null for other segmentors. */
    readonly segmentorBytes: number | null
    /** Memory that a rank needs at least for a baseline that is an nnU-Net model; null for other baselines. */
    readonly judgeBytes: number | null
  }
  readonly weights: Readonly<Record<'baseline' | 'generator', string | null>>
  readonly warnings: readonly string[]
}

export async function planTraining(config: RunConfig): Promise<TrainingPlan> {
  const warnings = unaimedSizes(config.simulation, config.prepare)
  const listed = await listCases(config, warnings)
  const sampled = sampledCases(config, listed.cases.map(asPrepared))
  const { sampling, training, runtime } = config
  const perEpoch = itemsPerEpoch(sampled)
  const steps = perEpoch === 0 ? 0 : totalSteps(config, sampled)
  if (perEpoch === 0) warnings.push('no case would be trained on')
  const crops = sampling.itemsPerStep * sampling.cropsPerVolume
  return {
    job: config.job,
    name: config.name,
    cases: countCases(listed),
    steps,
    epochs: perEpoch === 0 ? 0 : (steps * sampling.itemsPerStep) / perEpoch,
    itemsPerEpoch: perEpoch,
    itemsPerStep: sampling.itemsPerStep,
    cropsPerStepAndRank: crops / (runtime.nodes * runtime.processesPerNode),
    validations: training.validateEverySteps === null ? 0 : Math.floor(steps / training.validateEverySteps),
    checkpoints:
      1 +
      (training.checkpointEverySteps === null ? 0 : Math.floor((steps - 1) / training.checkpointEverySteps)),
    estimates: {
      cacheBytes: await cacheBytes(config, listed.cases, warnings),
      textureBytes: paintsTumors(config)
        ? product(config.simulation.texture.sizeVoxels) * config.simulation.texture.count
        : 0,
      bytesPerStep: crops * product(sampling.patchVoxels) * 3,
      segmentorBytes: segmentorBytes(config),
      judgeBytes: await judgeBytes(config),
    },
    weights: {
      baseline: await weightsInWords(config, 'baseline', warnings),
      generator: await weightsInWords(config, 'generator', warnings),
    },
    warnings,
  }
}

/** Return a listed case as if it were prepared. */
function asPrepared({ id, role, repeat, split }: Listed['cases'][number]): TrainingCase {
  return { id, path: '', kind: role.kind, repeat, heldOut: split === 'validation', content: '' }
}

function countCases({ cases, missing }: Listed): TrainingPlan['cases'] {
  const kinds = cases.filter(({ split }) => split === 'training').map(({ role }) => role.kind)
  return {
    labelled: kinds.filter((kind) => kind === 'labelled').length,
    hosts: kinds.filter((kind) => kind === 'host').length,
    heldOut: cases.filter(({ split }) => split === 'validation').length,
    missing,
  }
}

function product(sides: readonly number[]): number {
  return sides.reduce((voxels, side) => voxels * side, 1)
}

/** Return the networks and sizes of a training to measure: without cases, weights or a run to resume. */
export function specOfPlan(config: RunConfig, run: string): TrainingSpec {
  return trainingSpec(
    {
      ...withoutPlugins(config),
      training: { ...config.training, steps: 1, epochs: null },
    },
    {
      runId: 'plan',
      runDirectory: run,
      ownerNumber: 0,
      textureDirectory: '',
      resumeFrom: null,
      fingerprint: { config: '', data: '' },
      cases: [],
      weights: { baseline: null, generator: null, licences: [] },
      initialWeights: null,
    },
  )
}

/** Return a configuration without its plug-ins: a plan starts none. */
function withoutPlugins(config: RunConfig): RunConfig {
  const { baseline, generator } = config.networks
  const networks = {
    ...config.networks,
    baseline: baseline && { ...baseline, plugin: null },
    generator: generator && { ...generator, plugin: null },
  }
  return { ...config, networks }
}

interface Listed {
  readonly cases: readonly (ManifestCase & { readonly repeat: number })[]
  readonly missing: number
}

async function listCases(config: RunConfig, warnings: string[]): Promise<Listed> {
  try {
    const { cases, missing, ...rest } = await curate(config.data, config.region)
    warnings.push(...curationWarnings({ missing, ...rest }))
    return {
      cases: cases.filter(({ split }) => split !== 'test'),
      missing: missing.reduce((sum, { count }) => sum + count, 0),
    }
  } catch (error) {
    if (!(error instanceof FreetumorError) || config.data.phantoms === null) throw error
    warnings.push(
      `phantom CTs would be made in ${config.data.root} first; until then there is nothing to count`,
    )
    return { cases: [], missing: 0 }
  }
}

async function cacheBytes(
  config: RunConfig,
  cases: readonly ManifestCase[],
  warnings: string[],
): Promise<number> {
  let bytes = 0
  let unread = 0
  for (const { image } of cases) {
    try {
      const { shape, affine } = await readNiftiHeader(image)
      const voxels = shape.reduce(
        (product, side, axis) =>
          product * Math.ceil((side * spacing(affine, axis)) / config.prepare.spacingMm[axis]!),
        1,
      )
      bytes += voxels * 3
    } catch {
      unread++
    }
  }
  if (unread > 0)
    warnings.push(`${counted(unread, 'scan')} cannot be read: \`freetumor data check\` lists the reasons`)
  return bytes
}

function spacing(affine: readonly number[], axis: number): number {
  return Math.hypot(affine[axis]!, affine[4 + axis]!, affine[8 + axis]!)
}

async function weightsInWords(
  config: RunConfig,
  network: 'baseline' | 'generator',
  warnings: string[],
): Promise<string | null> {
  const source = config.networks[network]
  if (source === null) return null
  const plugin = pluginSpec(source.plugin)
  if (plugin !== null) return `plug-in: ${commandLine(plugin)}`
  const checkpoint = generatorFile(source.checkpoint)
  if (checkpoint !== null) {
    const path = resolve(checkpoint)
    await access(path).catch(() =>
      warnings.push(`networks.${network}.checkpoint: ${cannotBeRead(path, 'ENOENT')}`),
    )
    return path
  }
  return source.trainFrom === null ? null : `trained first from ${source.trainFrom}, unless it already exists`
}
