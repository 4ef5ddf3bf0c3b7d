import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import type { Affine, Vec3 } from '../../src/volume/volume.js'

const PROGRAM = join(packageRoot, 'test/fixtures/tools/segmentor.py')

/**
 * Make an environment of its own in a folder, with a stand-in for TotalSegmentator and lungmask (test/fixtures/tools/).
 * @returns its Python
 */
export function standInTools(folder: string, version = '2.18.0'): string {
  const base = realpathSync(resolvePython())
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  const python = join(bin, 'python')
  symlinkSync(base, python)
  writeFileSync(join(folder, 'pyvenv.cfg'), `home = ${dirname(base)}\n`)
  const tag = execFileSync(base, ['-c', 'import sys; print("python%d.%d" % sys.version_info[:2])'], {
    encoding: 'utf8',
  }).trim()
  for (const [name, stated] of [
    ['TotalSegmentator', version],
    ['lungmask', '0.2.20'],
  ] as const) {
    const facts = join(folder, 'lib', tag, 'site-packages', `${name}-${stated}.dist-info`)
    mkdirSync(facts, { recursive: true })
    writeFileSync(join(facts, 'METADATA'), `Metadata-Version: 2.1\nName: ${name}\nVersion: ${stated}\n`)
    const preset = `import os\nos.environ["STAND_IN_VERSION"] = ${JSON.stringify(stated)}\n`
    const text = `#!${python}\n${name === 'lungmask' ? '' : preset}${readFileSync(PROGRAM, 'utf8')}`
    writeFileSync(join(bin, name), text, { mode: 0o755 })
  }
  return python
}

/** HU of the structures of the stand-in, by name. */
const STRUCTURES =
  'background liver pancreas kidney_right kidney_left spleen aorta lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right kidney_cyst_left vertebrae_S1 vertebrae_L6'.split(
    ' ',
  )

/** Lungs hold air: a check compares a label with the HU below it. */
function huOf(structure: string): number {
  return (structure.startsWith('lung') ? -900 : 100) + STRUCTURES.indexOf(structure)
}

/** First voxel of a scan that the stand-in fails on. */
export const FAULTS = {
  licence: 3001,
  weights: 3002,
  crash: 3003,
  kill: 3004,
  hang: 3005,
  grid: 3006,
  ids: 3007,
  nothing: 3008,
  torn: 3009,
  memory: 3010,
} as const

export interface Box {
  readonly structure: string
  readonly from: Vec3
  readonly to: Vec3
}

/** LPS-like axes with a spacing of 2 mm: the first voxel axis points to the left. */
export const STAND_IN_AFFINE: Affine = [-2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]

/** Write a scan in which the stand-in finds boxes of structures; later boxes lie on earlier ones. */
export async function writeStandInScan(
  file: string,
  boxes: readonly Box[],
  fault?: keyof typeof FAULTS,
): Promise<void> {
  const shape: Vec3 = [20, 18, 16]
  const data = new Int16Array(shape[0] * shape[1] * shape[2])
  // air around a body, as a check of HU expects
  for (let n = 0; n < data.length; n++)
    data[n] = n < data.length / 20 ? -1000 + ((n * 31) % 50) : 30 + ((n * 7919) % 61)
  for (let n = 0; n < 20; n++) data[n] = 300 + 40 * n
  fillBoxes(data, shape, boxes, huOf)
  if (fault !== undefined) data[0] = FAULTS[fault]
  mkdirSync(dirname(file), { recursive: true })
  await writeNifti(file, { data, shape, affine: STAND_IN_AFFINE })
}

/** Write a label map on the grid of the scans, with ids as structures. */
export async function writeGivenLabel(file: string, boxes: readonly Box[]): Promise<void> {
  const shape: Vec3 = [20, 18, 16]
  const data = new Uint8Array(shape[0] * shape[1] * shape[2])
  fillBoxes(data, shape, boxes, Number)
  mkdirSync(dirname(file), { recursive: true })
  await writeNifti(file, { data, shape, affine: STAND_IN_AFFINE })
}

function fillBoxes(
  data: Int16Array | Uint8Array,
  shape: Vec3,
  boxes: readonly Box[],
  valueIn: (structure: string) => number,
): void {
  for (const { structure, from, to } of boxes)
    for (let i = from[0]; i < to[0]; i++)
      for (let j = from[1]; j < to[1]; j++)
        data.fill(
          valueIn(structure),
          (i * shape[1] + j) * shape[2] + from[2],
          (i * shape[1] + j) * shape[2] + to[2],
        )
}

/** An abdomen: the liver on the patient's right with a hole of 2 x 2 x 2, two kidneys, pancreas, spleen, aorta. */
export const ABDOMEN: readonly Box[] = [
  { structure: 'liver', from: [1, 2, 2], to: [9, 12, 12] },
  { structure: 'background', from: [4, 5, 5], to: [6, 7, 7] },
  { structure: 'pancreas', from: [11, 4, 4], to: [14, 6, 8] },
  { structure: 'kidney_right', from: [4, 13, 4], to: [7, 16, 8] },
  { structure: 'kidney_left', from: [14, 13, 4], to: [17, 16, 8] },
  { structure: 'kidney_cyst_left', from: [15, 14, 5], to: [16, 15, 6] },
  { structure: 'spleen', from: [16, 4, 6], to: [19, 8, 10] },
  { structure: 'aorta', from: [9, 13, 1], to: [11, 15, 14] },
]
