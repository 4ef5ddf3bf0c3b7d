import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makePhantom } from '../../src/phantom/make.js'
import { openStream } from '../../src/simulation/random.js'
import { LABEL_SCHEMES } from '../../src/volume/labels.js'
import { writeNifti } from '../../src/volume/nifti-write.js'

export interface ReaderSets {
  readonly real: string
  readonly synthetic: string
}

const SIZE = 40

/** Change the HU of a synthetic scan outside its tumor, to plant a cue. */
export type PlantCue = (hu: number, random: () => number) => number

/**
 * Write a data set of phantoms with liver tumors, and one of tumor-free phantoms with a painted ball in each liver, in the layout
 * of a synthesis.
 */
export async function writeReaderSets(
  folder: string,
  perSide: number,
  plant: PlantCue = (hu) => hu,
): Promise<ReaderSets> {
  const sets = { real: join(folder, 'real'), synthetic: join(folder, 'synthetic') }
  for (const [side, place] of Object.entries(sets)) {
    for (const one of ['imagesTr', 'labelsTr', 'tumorsTr'])
      if (one !== 'tumorsTr' || side === 'synthetic') mkdirSync(join(place, one), { recursive: true })
    const [ledger, training] = [[] as unknown[], [] as unknown[]]
    for (let at = 0; at < perSide; at++) {
      const index = at + (side === 'real' ? 0 : perSide)
      const random = openStream([7, 'reader sets', index])
      const options = { region: 'abdomen', index, seed: 7, sizeVoxels: SIZE, tumorOrgans: ['liver'] } as const
      const { image, label } = makePhantom({ ...options, tumors: side === 'real' })
      const file = `p_${index}.nii.gz`
      const host = `host_${index}`
      if (side === 'synthetic') {
        image.data.forEach((hu, voxel) => {
          image.data[voxel] = plant(hu, random.normal)
        })
        const tumors = paintBall(image.data, label.data, random.uniform)
        await writeNifti(join(place, 'tumorsTr', file), { ...label, data: tumors })
        const sha256 = createHash('sha256').update(host).digest('hex')
        ledger.push({ case: host, host: sha256, tumor: 0, variant: 0, verdict: 'accepted', file })
      }
      await writeNifti(join(place, 'imagesTr', file), image)
      await writeNifti(join(place, 'labelsTr', file), label)
      training.push({
        image: `./imagesTr/${file}`,
        label: `./labelsTr/${file}`,
        ...(side === 'real' ? {} : { host, patient: host }),
      })
    }
    const labels = Object.fromEntries(LABEL_SCHEMES.abdomen.names.map((name, id) => [String(id), name]))
    writeFileSync(
      join(place, 'dataset.json'),
      JSON.stringify({ name: side, labels, training, validation: [], test: [] }),
    )
    if (side === 'synthetic')
      writeFileSync(join(place, 'ledger.jsonl'), ledger.map((line) => `${JSON.stringify(line)}\n`).join(''))
  }
  return sets
}

/** Paint a ball at a random voxel of the liver; return its mask. */
function paintBall(data: Int16Array, label: Uint8Array, uniform: () => number): Uint8Array {
  const liver = [...label.keys()].filter((at) => label[at] === 1)
  const placeOf = (at: number) =>
    [Math.floor(at / SIZE ** 2), Math.floor(at / SIZE) % SIZE, at % SIZE] as const
  const centre = placeOf(liver[Math.floor(uniform() * liver.length)]!)
  const radius = (0.07 + 0.05 * uniform()) * SIZE
  const mask = new Uint8Array(data.length)
  for (const at of liver) {
    if (Math.hypot(...placeOf(at).map((one, axis) => one - centre[axis]!)) > radius) continue
    data[at]! -= 60
    label[at] = 2
    mask[at] = 1
  }
  return mask
}
