/**
 * Fill in the defaults that follow from other keys, in place. A value that the user gives stays. The schema refuses keys of a
 * wrong type later.
 */
export function fillDerived(config: Tree): void {
  const { job, region, simulation, sampling, networks, training, runtime, quality } = config
  const { texture } = (simulation ?? {}) as Tree
  const { segmentor, generator } = (networks ?? {}) as Tree
  if (isTree(texture) && texture.count === null)
    texture.count = region === 'abdomen' && isTree(generator) && generator.channel === 'shared' ? 1 : 10
  // without weights to start from there is no other order to follow
  if (isTree(segmentor) && segmentor.patchMerging === null && segmentor.initialWeights === null)
    segmentor.patchMerging = 'corrected'
  if (isTree(segmentor) && segmentor.featureSize === null)
    segmentor.featureSize = segmentor.kind === 'resenc' || segmentor.kind === 'unet' ? 32 : 48
  if (isTree(quality) && quality.attempts === null) quality.attempts = quality.policy === 'calibrated' ? 3 : 1
  if (!isTree(training)) return
  const sgd = training.optimizer === 'sgd'
  training.learningRate ??= sgd ? 0.01 : job === 'synthesis' ? 1e-4 : 3e-4
  training.weightDecay ??= sgd ? 3e-5 : job === 'synthesis' ? 0 : 0.01
  training.accumulation ??= job === 'synthesis' ? publishedAccumulation(sampling, runtime) : 1
}

type Tree = Record<string, unknown>

/** Volumes that share the batch norm of the generator: of one GPU in the published synthesis training. */
const VOLUMES_A_PART = 4

/** The fewest parts of a rank's volumes that have at most the published size. */
function publishedAccumulation(sampling: unknown, runtime: unknown): number {
  const { itemsPerStep } = (sampling ?? {}) as Tree
  const { nodes, processesPerNode } = (runtime ?? {}) as Tree
  const volumes = Number(itemsPerStep) / (Number(nodes) * Number(processesPerNode))
  if (!Number.isInteger(volumes) || volumes < 1) return 1
  let parts = Math.ceil(volumes / VOLUMES_A_PART)
  while (volumes % parts !== 0) parts++
  return parts
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
