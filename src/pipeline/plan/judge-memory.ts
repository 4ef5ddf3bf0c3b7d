import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { NetworkStage } from '../../config/network-stages.js'
import type { RunConfig } from '../../config/schema.js'
import { DataError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { keptForBackward, type NnUNetKind, weightCount } from './segmentor-memory.js'

const KINDS = { ResidualEncoderUNet: 'resenc', PlainConvUNet: 'unet' } as const
/** Maps of the first resolution that the last step of a decoder holds: skip, upsampled, both joined, two results. */
const HELD_MAPS = 6
const MOST_NUMBER = 1024

/** The network of an nnU-Net model folder, as far as its memory needs it. Axes are those of its plans. */
export interface JudgeNetwork {
  readonly kind: NnUNetKind
  readonly stages: readonly NetworkStage[]
  readonly outputs: number
  readonly folds: number
  readonly spacingMm: readonly number[]
}

/**
 * Estimate the memory that a rank needs at least for a baseline that is an nnU-Net model: the weights of its folds, and the
 * maps of one crop; in job `synthesis` those that the gradient of the crop needs. Workspace comes on top.
 * @returns bytes; null for other baselines, and for a folder that is not readable, which the training refuses
 */
export async function judgeBytes(config: RunConfig): Promise<number | null> {
  const checkpoint = config.networks.baseline?.checkpoint ?? null
  if (checkpoint === null || config.job === 'baseline') return null
  const network = await readJudge(checkpoint).catch(() => null)
  return network === null ? null : bytesOfJudge(network, config)
}

export function bytesOfJudge(
  network: JudgeNetwork,
  config: Pick<RunConfig, 'job' | 'sampling' | 'prepare' | 'runtime'>,
): number {
  const { kind, stages, outputs, folds, spacingMm } = network
  const { patchVoxels } = config.sampling
  // the crop is resampled to the spacing of the plans
  const scale = product(config.prepare.spacingMm) / product(spacingMm)
  const voxels = product(patchVoxels) * scale
  const bytes = config.runtime.precision === 'fp32' ? 4 : 2
  const weights = 4 * folds * weightCount(kind, stages, outputs)
  const maps =
    config.job === 'synthesis'
      ? keptForBackward(kind, stages, outputs, voxels)
      : HELD_MAPS * stages[0]!.features * voxels
  return weights + bytes * maps
}

/** @throws DataError, or another error for plans of another form */
async function readJudge(folder: string): Promise<JudgeNetwork> {
  const read = (name: string): Promise<unknown> => {
    const file = join(folder, name)
    const unreadable = (code: string) =>
      new DataError(cannotBeRead(file, code), { hint: 'name a model folder' })
    return readForeignJson(file, { unreadable, bytes: 50e6, values: 2_000_000 })
  }
  const [plans, dataset] = await Promise.all([read('plans.json'), read('dataset.json')])
  const every = asRecord(asRecord(plans)?.configurations)
  const own = asRecord(every?.['3d_fullres'] ?? every?.['3d_lowres'])
  const architecture = asRecord(own?.architecture)
  const name = String(architecture?.network_class_name).split('.').at(-1) as keyof typeof KINDS
  const keywords = asRecord(architecture?.arch_kwargs)
  const features = wholes(keywords?.features_per_stage)
  const blocks = wholes(keywords?.n_blocks_per_stage ?? keywords?.n_conv_per_stage)
  const [kernels, strides] = [keywords?.kernel_sizes, keywords?.strides].map((sides) =>
    (sides as unknown[]).map(vec3),
  )
  const stages = features.map((count, at) => {
    return { features: count, kernel: kernels![at]!, stride: strides![at]!, blocks: blocks[at]! }
  })
  const labels = Object.keys(asRecord(asRecord(dataset)?.labels) ?? {}).filter((label) => label !== 'ignore')
  const folds = (await readdir(folder)).filter((one) => one.startsWith('fold_')).length
  const kind = KINDS[name]
  const spacing = own?.spacing
  const spacingMm = Array.isArray(spacing) ? spacing.map(Number) : []
  if (kind === undefined || stages.length < 2 || labels.length < 2 || spacingMm.length !== 3)
    throw new DataError(`${folder}: plans of another form`, { hint: 'run `freetumor checkpoint inspect`' })
  return { kind, stages, outputs: labels.length, folds, spacingMm }
}

function wholes(value: unknown): number[] {
  const numbers = value as number[]
  if (
    !Array.isArray(numbers) ||
    !numbers.every((one) => Number.isInteger(one) && one > 0 && one <= MOST_NUMBER)
  )
    throw new DataError('plans.json: wrong numbers', { hint: 'run `freetumor checkpoint inspect`' })
  return numbers
}

function vec3(value: unknown): readonly [number, number, number] {
  const [x, y, z] = wholes(value)
  return [x!, y!, z!]
}

function product(sides: readonly number[]): number {
  return sides.reduce((all, side) => all * side, 1)
}
