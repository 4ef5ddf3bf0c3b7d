/** Values along the three axes. */
type Vec3 = readonly [number, number, number]

/** One resolution of a `resenc` or `unet` segmentor. */
export interface NetworkStage {
  /** Channels. */
  readonly features: number
  /** Side of the convolution kernels along each axis. */
  readonly kernel: Vec3
  /** Step of its first convolution: by how much it divides each side of the resolution before it. */
  readonly stride: Vec3
  /** Residual blocks of a `resenc`, convolutions of a `unet`. */
  readonly blocks: number
}

const MOST_FEATURES = 320
const SMALLEST_SIDE = 4
/** Residual blocks of the first resolutions; all further ones have the last number. */
const RESIDUAL_BLOCKS = [1, 3, 4, 6]
const CONVOLUTIONS = 2

/**
 * Plan the resolutions of a network with the rules of nnU-Net's experiment planner, for a given patch and spacing.
 *
 * An axis is halved while its spacing is below twice the smallest one, and at least 4 voxels remain. Its kernels have
 * side 3 as soon as its spacing is below twice the smallest one. The channels double, up to 320.
 */
export function networkStages(
  kind: 'resenc' | 'unet',
  firstFeatures: number,
  patchVoxels: Vec3,
  spacingMm: Vec3,
): NetworkStage[] {
  const strides = stridesOf(patchVoxels, spacingMm)
  const most = Math.max(MOST_FEATURES, firstFeatures)
  return strides.map(({ stride, kernel }, at) => ({
    features: Math.min(most, firstFeatures * 2 ** at),
    kernel,
    stride,
    blocks: kind === 'unet' ? CONVOLUTIONS : RESIDUAL_BLOCKS[Math.min(at, RESIDUAL_BLOCKS.length - 1)]!,
  }))
}

/** Return the numbers that the sides of a patch must be multiples of. */
export function sideMultiples(stages: readonly NetworkStage[]): Vec3 {
  const along = (axis: 0 | 1 | 2): number => stages.reduce((all, { stride }) => all * stride[axis], 1)
  return [along(0), along(1), along(2)]
}

function stridesOf(patchVoxels: Vec3, spacingMm: Vec3): Pick<NetworkStage, 'stride' | 'kernel'>[] {
  const size = [...patchVoxels] as [number, number, number]
  const spacing = [...spacingMm] as [number, number, number]
  const kernel: [number, number, number] = [1, 1, 1]
  const found: Pick<NetworkStage, 'stride' | 'kernel'>[] = []
  let stride: Vec3 = [1, 1, 1]
  for (;;) {
    const halved = axesToHalve(size, spacing)
    if (halved.length === 0) break
    const finest = Math.min(...spacing)
    for (const axis of AXES) if (spacing[axis] / finest < 2) kernel[axis] = 3
    found.push({ stride, kernel: [...kernel] })
    for (const axis of halved) {
      spacing[axis] *= 2
      size[axis] = Math.ceil(size[axis] / 2)
    }
    stride = [halved.includes(0) ? 2 : 1, halved.includes(1) ? 2 : 1, halved.includes(2) ? 2 : 1]
  }
  return [...found, { stride, kernel: [3, 3, 3] }]
}

const AXES = [0, 1, 2] as const

function axesToHalve(size: Vec3, spacing: Vec3): (0 | 1 | 2)[] {
  const large = AXES.filter((axis) => size[axis] >= 2 * SMALLEST_SIDE)
  const finest = Math.min(...large.map((axis) => spacing[axis]))
  const halved = large.filter((axis) => spacing[axis] / finest < 2)
  const only = halved.length === 1 ? halved[0] : undefined
  return only !== undefined && size[only] < 3 * SMALLEST_SIDE ? [] : halved
}
