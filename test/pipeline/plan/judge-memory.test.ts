import { join } from 'node:path'
import { expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import { judgeBytes } from '../../../src/pipeline/plan/judge-memory.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const STAGES = 5
const each = <T>(value: T): T[] => Array.from({ length: STAGES }, () => value)

function model(folds: number): string {
  const folder = join(temporaryFolder(), 'model')
  const keywords = {
    features_per_stage: [16, 32, 64, 128, 256],
    n_blocks_per_stage: [1, 3, 4, 6, 6],
    kernel_sizes: each([3, 3, 3]),
    strides: [[1, 1, 1], ...each([2, 2, 2]).slice(1)],
  }
  const name = 'dynamic_network_architectures.architectures.unet.ResidualEncoderUNet'
  const configuration = {
    spacing: [1.5, 1.5, 1.5],
    architecture: { network_class_name: name, arch_kwargs: keywords },
  }
  writeFiles(folder, {
    'plans.json': { configurations: { '3d_fullres': configuration } },
    'dataset.json': { labels: { background: 0, liver: 1, 'liver tumor': 2 } },
    ...Object.fromEntries(
      Array.from({ length: folds }, (_, fold) => [`fold_${fold}/checkpoint_final.pth`, '']),
    ),
  })
  return folder
}

const bytesOf = (job: 'segmentation' | 'synthesis', checkpoint: string, patch = 64) =>
  judgeBytes(
    resolveConfig({
      job,
      data: { datasets: [{ name: 'Dataset003_Liver' }] },
      networks: { baseline: { checkpoint }, generator: null },
      prepare: { spacingMm: [1.5, 1.5, 1.5] },
      sampling: { patchVoxels: [patch, patch, patch] },
      ...(job === 'synthesis' ? { networks: { baseline: { checkpoint } } } : {}),
    }),
  )

it('estimates the memory of an nnU-Net judge below its measured peak, and above half of it', async () => {
  const folder = model(1)
  // peak of PyTorch on a CPU over that of the loaded network, with one thread: a ResEnc of 16 channels at 64^3
  const measured = { segmentation: 172.5e6, synthesis: 489.8e6 }
  const weights = 4 * 28e6
  for (const job of ['segmentation', 'synthesis'] as const) {
    const bytes = (await bytesOf(job, folder))!
    expect(bytes).toBeLessThan(measured[job] + weights)
    expect(bytes).toBeGreaterThan(0.5 * measured[job])
  }
})

it('adds the weights of each fold, and grows with the crop', async () => {
  const [one, five] = [await bytesOf('segmentation', model(1)), await bytesOf('segmentation', model(5))]
  expect(five! - one!).toBeGreaterThan(4 * 4 * 6_000_000)
  expect((await bytesOf('synthesis', model(1), 96))!).toBeGreaterThan(
    2 * (await bytesOf('synthesis', model(1)))!,
  )
})

it('is not known for a file of weights, and for plans of another form', async () => {
  expect(await bytesOf('segmentation', 'weights.pt')).toBeNull()
  const folder = join(temporaryFolder(), 'model')
  writeFiles(folder, { 'plans.json': { configurations: {} }, 'dataset.json': {} })
  expect(await bytesOf('segmentation', folder)).toBeNull()
})
