import { join, resolve } from 'node:path'
import { wantedMeasures, wantsAlreadySeen } from '../../quality/policy.js'
import { threadsOf } from '../../usable-processors.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { makeFolder } from '../../whole-file.js'
import type { ServeSpec } from '../ports/serving.js'
import type { ServeSettings } from './settings.js'

/** Return the complete settings of a warm runtime, as Python receives them; create the folder of the textures. */
export async function serveSpec(settings: ServeSettings): Promise<ServeSpec> {
  const { config, generator, baseline, segmentPatchVoxels } = settings
  const { simulation, synthesize, evaluation, quality, networks, runtime } = config
  const textureDirectory = join(resolve(config.prepare.cache), 'textures')
  await makeFolder(textureDirectory)
  return {
    job: 'serve',
    region: config.region,
    organs: LABEL_SCHEMES[config.region].organs,
    windowHu: config.prepare.windowHu,
    spacingMm: config.prepare.spacingMm,
    patchVoxels: config.sampling.patchVoxels,
    generator: generator && {
      checkpoint: generator.path,
      channel: networks.generator!.channel,
      weights: networks.generator!.weights,
    },
    generatorWindows: { overlap: synthesize.overlap, windowBatch: synthesize.windowBatch },
    baseline: baseline && {
      checkpoint: baseline.path,
      patchMerging: networks.baseline?.patchMerging ?? null,
      weights: networks.baseline?.weights ?? null,
      plugin: null,
    },
    segmentPatchVoxels,
    segmentWindows: {
      overlap: evaluation.overlap,
      blend: evaluation.blend,
      windowBatch: evaluation.windowBatch,
    },
    judgeOverlap: evaluation.overlap,
    judgeWindowBatch: evaluation.windowBatch,
    measureAlreadySeen: wantsAlreadySeen(quality),
    measures: wantedMeasures(quality),
    textureSizeVoxels: simulation.texture.sizeVoxels,
    textureDirectory,
    textureSeed: config.seed,
    device: runtime.device,
    threadsPerProcess: threadsOf({ ...runtime, processesPerNode: 1 }).threads,
  }
}
