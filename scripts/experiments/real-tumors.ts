import { findComponents } from '../../dist/volume/components.js'
import { readNifti } from '../../dist/volume/nifti.js'

const LIVER_TUMOR = 2

/** Return the volumes of all lesions of some label maps, millilitres: synthetic tumors get the sizes that the labelled ones have. */
export async function tumorVolumesMl(labels: readonly string[]): Promise<number[]> {
  const volumes: number[] = []
  for (const file of labels) {
    const label = await readNifti(file)
    const voxelMl = voxelVolumeMl(label.affine)
    for (const voxels of findComponents(label, LIVER_TUMOR).voxels) volumes.push(voxels * voxelMl)
  }
  // a speck that the rough surface separated is no tumor
  return volumes.filter((ml) => ml >= SMALLEST_ML)
}

const SMALLEST_ML = 0.05

function voxelVolumeMl(affine: readonly number[]): number {
  const column = (axis: number): number => Math.hypot(affine[axis]!, affine[4 + axis]!, affine[8 + axis]!)
  return (column(0) * column(1) * column(2)) / 1000
}

/** Appearance of a tumor in its scan. */
export interface TumorLook {
  /** Mean HU of the tumor less that of the organ 2 to 6 voxels around it. */
  readonly contrastHu: number
  /** Standard deviation of its HU. */
  readonly textureHu: number
  readonly volumeMl: number
  readonly tumors: number
}

const LIVER = 1
const RING_VOXELS = [2, 6] as const

/** Measure every lesion of some scans, real and synthetic alike. */
export async function tumorLooks(
  files: readonly { readonly image: string; readonly label: string }[],
): Promise<TumorLook[]> {
  const looks: TumorLook[] = []
  for (const file of files) {
    const [image, label] = [await readNifti(file.image), await readNifti(file.label)]
    const voxelMl = voxelVolumeMl(label.affine)
    const { runs, voxels } = findComponents(label, LIVER_TUMOR)
    for (const [component, count] of voxels.entries()) {
      if (count * voxelMl < SMALLEST_ML) continue
      const [, ny, nz] = label.shape
      const inside: number[] = []
      for (const run of runs)
        if (run.component === component)
          for (let z = run.start; z < run.end; z++) inside.push(run.row * nz + z)
      const ring = ringAround(inside, label.data, [label.shape[0], ny, nz])
      if (ring.length === 0) continue
      const [own, around] = [inside, ring].map((places) => places.map((v) => image.data[v]!))
      const meanHu = mean(own!)
      looks.push({
        contrastHu: meanHu - mean(around!),
        textureHu: Math.sqrt(mean(own!.map((hu) => (hu - meanHu) ** 2))),
        volumeMl: count * voxelMl,
        tumors: 1,
      })
    }
  }
  return looks
}

/** Return the mean over tumors; null without any. */
export function meanLook(looks: readonly TumorLook[]): TumorLook | null {
  if (looks.length === 0) return null
  return {
    contrastHu: mean(looks.map(({ contrastHu }) => contrastHu)),
    textureHu: mean(looks.map(({ textureHu }) => textureHu)),
    volumeMl: mean(looks.map(({ volumeMl }) => volumeMl)),
    tumors: looks.length,
  }
}

/** Return the voxels of the organ whose city-block distance to a tumor lies beyond 2 and up to 6 voxels. */
function ringAround(
  inside: readonly number[],
  label: ArrayLike<number>,
  [nx, ny, nz]: readonly [number, number, number],
): number[] {
  const distance = new Map<number, number>(inside.map((v) => [v, 0]))
  const ring: number[] = []
  let front = [...inside]
  for (let step = 1; step <= RING_VOXELS[1]; step++) {
    const next: number[] = []
    for (const v of front) {
      const [x, y, z] = [Math.floor(v / (ny * nz)), Math.floor(v / nz) % ny, v % nz]
      const neighbours = [
        x > 0 && v - ny * nz,
        x < nx - 1 && v + ny * nz,
        y > 0 && v - nz,
        y < ny - 1 && v + nz,
        z > 0 && v - 1,
        z < nz - 1 && v + 1,
      ]
      for (const neighbour of neighbours) {
        if (neighbour === false || distance.has(neighbour)) continue
        distance.set(neighbour, step)
        next.push(neighbour)
        if (step > RING_VOXELS[0] && label[neighbour] === LIVER) ring.push(neighbour)
      }
    }
    front = next
  }
  return ring
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}
