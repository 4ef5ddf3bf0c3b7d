import type { AimedSettings } from '../simulation/curriculum.js'
import { openStream, type RandomStream } from '../simulation/random.js'
import {
  drawShrunk,
  planShrunk,
  type ShrunkOptions,
  type ShrunkOutcome,
  type SourceTumor,
} from '../simulation/shrunk.js'
import { simulateTumor, type TumorOutcome, type TumorPlan } from '../simulation/tumor.js'
import { IGNORED_LABEL } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import { openLabel } from './cached-array.js'
import type { OpenGroup } from './case-group.js'
import { centresWithin } from './positions.js'
import type { TumorSampling, WeightedOrgan } from './sampling-plan.js'
import { drawOrgansAndSize, type TumorKind, type WantedCentre } from './tumors.js'

/** The subvolume of a prepared case that offline synthesis uses (docs/method.md#6-painting). */
export interface Subvolume {
  /** First voxel in the prepared case. `shape` holds the sides in voxels. */
  readonly start: Vec3
  readonly shape: Vec3
  /** Ids of the region's label scheme, C order. */
  readonly label: Uint8Array
}

/**
 * Return the bounding box of all labels of a case, without ignored voxels. An axis shorter than `widenTo` is widened to it within the
 * case. The start equals that of the published scripts, which lose the last slice of a long axis and of a
 * short axis of even length. Null if the case has no label.
 */
export function readSubvolume(group: OpenGroup, widenTo: Vec3): Subvolume | null {
  const array = openLabel(group)
  try {
    const { shape } = array
    const bounds = boundsOf(array.read([0, 0, 0], shape), shape)
    if (bounds === null) return null
    const start: number[] = []
    const stop: number[] = []
    for (const axis of [0, 1, 2] as const) {
      const [low, high] = bounds[axis]!
      // half of the missing voxels at either end; an odd voxel comes first, because the published scripts
      // count last - first
      const missing = Math.max(0, widenTo[axis] - (high - low))
      start.push(Math.max(0, low - Math.ceil(missing / 2)))
      stop.push(Math.min(shape[axis], high + Math.floor(missing / 2)))
    }
    const label = array.read(start, stop)
    const side = stop.map((end, axis) => end - start[axis]!)
    return { start: start as unknown as Vec3, shape: side as unknown as Vec3, label }
  } finally {
    array.close()
  }
}

/** Identifies a tumor of a variant. With the seed, it decides the plan. */
export interface AttemptKey {
  readonly seed: number
  readonly caseId: string
  readonly variant: number
  readonly tumor: number
}

/** Draw the kind of a tumor, which all its attempts share: its size, and organs in the order of use. */
export function drawTumorKind(
  { seed, caseId, variant, tumor }: AttemptKey,
  organs: readonly WeightedOrgan[],
  sizes: AimedSettings,
): TumorKind {
  return drawOrgansAndSize(sizes, organs, openStream([seed, 'synthesize', caseId, variant, tumor, 'kind']))
}

/** Return the key of the random numbers of an attempt; the ledger records it. */
export function attemptStreamKey(key: AttemptKey, attempt: number): readonly (string | number)[] {
  return [key.seed, 'synthesize', key.caseId, key.variant, key.tumor, attempt]
}

/**
 * Plan one attempt in a subvolume. `earlier` tumors of the variant keep their voxels. If the case has listed
 * positions (voxels of the prepared case), the tumor lies on one of this organ, or has no room.
 */
export function planAttempt(
  subvolume: Subvolume,
  streamKey: readonly (string | number)[],
  organ: WeightedOrgan,
  kind: Omit<TumorKind, 'organs'>,
  settings: Pick<TumorSampling, 'textureSizeVoxels' | 'textureCount'>,
  earlier: readonly TumorPlan[],
  positions: readonly WantedCentre[] | null = null,
): TumorOutcome {
  const { label, shape } = subvolume
  const stream = openStream(streamKey)
  const centre = centreOf(subvolume, organ, positions, stream)
  if (centre === 'noRoom') return { outcome: 'noRoom' }
  return simulateTumor(
    { label, shape, organLabel: organ.label, tumorLabel: organ.tumorLabel },
    {
      size: kind.size,
      radiusVoxels: kind.radiusVoxels,
      ...(kind.voxels ? { voxels: kind.voxels } : {}),
      ...(kind.depth ? { depth: kind.depth } : {}),
      ...(kind.contrast ? { contrast: kind.contrast } : {}),
      ...(centre ? { centre } : {}),
      textureSizeVoxels: texturesFor(shape, settings.textureSizeVoxels),
      textureCount: settings.textureCount,
      earlier,
    },
    stream,
  )
}

/**
 * Plan one attempt of a smaller copy of a real tumor of the organ. Diameter and source are those of all attempts of the tumor.
 * @param tumors real tumors of the organ in the subvolume
 */
export function planShrunkAttempt(
  subvolume: Subvolume,
  key: AttemptKey,
  attempt: number,
  organ: WeightedOrgan,
  tumors: readonly SourceTumor[],
  options: Omit<ShrunkOptions, 'centre'>,
  positions: readonly WantedCentre[] | null = null,
): ShrunkOutcome {
  if (tumors.length === 0) return { outcome: 'noTumor' }
  const { label, shape } = subvolume
  const { seed, caseId, variant, tumor } = key
  const ofSource = openStream([seed, 'synthesize', caseId, variant, tumor, 'source', organ.name])
  const source = drawShrunk(tumors, options.diameterMm, ofSource)
  const stream = openStream(attemptStreamKey(key, attempt))
  const centre = centreOf(subvolume, organ, positions, stream)
  if (centre === 'noRoom') return { outcome: 'noRoom' }
  const site = { label, shape, organLabel: organ.label }
  return planShrunk(site, source, { ...options, ...(centre ? { centre } : {}) }, stream)
}

/** Draw one of the listed positions of a case in an organ; null if none are listed. */
function centreOf(
  subvolume: Subvolume,
  organ: WeightedOrgan,
  positions: readonly WantedCentre[] | null,
  stream: RandomStream,
): Vec3 | null | 'noRoom' {
  if (positions === null) return null
  const { start, shape } = subvolume
  const wanted = centresWithin(positions, start, shape).filter((one) => isOf(one, organ, subvolume))
  return wanted.length === 0 ? 'noRoom' : wanted[stream.integer(0, wanted.length - 1)]!.voxel
}

function isOf(
  { voxel, organ: wanted }: WantedCentre,
  organ: WeightedOrgan,
  { label, shape }: Subvolume,
): boolean {
  const at = (voxel[0] * shape[1] + voxel[1]) * shape[2] + voxel[2]
  return (wanted === null || wanted === organ.name) && label[at] === organ.label
}

/**
 * Return the sides of the textures of a subvolume: a larger subvolume has its own, larger textures. The
 * runtime uses the same rule.
 */
export function texturesFor(shape: Vec3, textureSizeVoxels: Vec3): Vec3 {
  return textureSizeVoxels.map((side, axis) => Math.max(side, shape[axis]! + 16)) as unknown as Vec3
}

function isLabelled(id: number): boolean {
  return id > 0 && id !== IGNORED_LABEL
}

function boundsOf(label: Uint8Array, shape: Vec3): readonly (readonly [number, number])[] | null {
  const low = [...shape]
  const high = [0, 0, 0]
  let at = 0
  for (let x = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++, at += shape[2]) {
      const row = label.subarray(at, at + shape[2])
      // plain loops: a callback for each voxel of a scan takes a tenth of a second
      let first = 0
      while (first < row.length && !isLabelled(row[first]!)) first++
      if (first === row.length) continue
      const place = [x, y, first]
      const end = [x + 1, y + 1, row.findLastIndex(isLabelled) + 1]
      for (const axis of [0, 1, 2]) {
        low[axis] = Math.min(low[axis]!, place[axis]!)
        high[axis] = Math.max(high[axis]!, end[axis]!)
      }
    }
  return high[0] === 0 ? null : low.map((from, axis) => [from, high[axis]!] as const)
}
