// Campaign: 10,000 items, recomputed in another order and by another number of threads, are bit-identical.
//
//     node scripts/faults/items.mjs [ITEMS] [THREADS]
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openFeeder } from '../../dist/sampling/feeder.js'
import { permuteIndex } from '../../dist/simulation/random.js'

const items = Number(process.argv[2] ?? 10_000)
const threads = Number(process.argv[3] ?? 4)
const SIDE = 40
const folder = mkdtempSync(join(tmpdir(), 'freetumor-items-'))

/** Write prepared cases of computed voxels, by the writer of the cache. */
function writeCases(radii) {
  const program = `
import sys
import numpy as np
from freetumor_runtime.data.cache import case_path
from freetumor_runtime.data.cache_writer import write_prepared_case
side = ${SIDE}
at = np.arange(side**3).reshape(side, side, side)
squares = sum((axis - side / 2) ** 2 for axis in np.indices(at.shape))
for radius in sys.argv[2:]:
    label = (squares < int(radius) ** 2).astype(np.uint8)
    attributes = {"case": f"case {radius}", "windowHu": [-175, 250]}
    path = case_path(sys.argv[1], f"case {radius}")
    write_prepared_case(path, ((at * 31) % 397 - 150).astype(np.int16), label, 7, -175, attributes)
`
  const root = resolve(import.meta.dirname, '../..')
  const interpreter = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
  const env = { ...process.env, PYTHONPATH: join(root, 'python_runtime') }
  execFileSync(interpreter, ['-c', program, folder, ...radii.map(String)], { env })
  return radii.map((radius) => ({
    id: `case ${radius}`,
    path: join(folder, `case%20${radius}.zarr`),
    repeat: 1 + (radius % 3),
    kind: 'host',
  }))
}

const odds = { flipProbability: 0.2, rotateProbability: 0.2, scaleProbability: 0.1, shiftProbability: 0.1 }
const plan = {
  seed: 11,
  job: 'segmentation',
  cases: writeCases([9, 12, 14, 17]),
  itemsPerStep: 1,
  cropsPerVolume: 2,
  patchVoxels: [32, 32, 32],
  windowHu: [-175, 250],
  positiveOdds: 1,
  negativeOdds: 1,
  tumorOdds: 0,
  organs: [{ name: 'liver', label: 1, tumorLabel: 2, channel: 0, weight: 1 }],
  tumors: {
    draws: 2,
    condition: 'organ',
    perCrop: 2,
    sizeOdds: { tiny: 3, small: 2, medium: 1, large: 0 },
    radiusVoxels: { tiny: 4, small: 8, medium: 16, large: 32 },
    listedRadii: null,
    positions: null,
    textureSizeVoxels: [420, 300, 320],
    textureCount: 10,
  },
  augmentation: { ...odds, scaleRange: 0.1, shiftRange: 0.1 },
  mixing: true,
}

/** Return the SHA-256 of every number and voxel of an item. */
function digest(crops) {
  const hash = createHash('sha256')
  for (const { image, label, tumors, ...rest } of crops) {
    hash.update(image).update(label).update(JSON.stringify(rest))
    for (const { box, ...tumor } of tumors) hash.update(box).update(JSON.stringify(tumor))
  }
  return hash.digest('hex')
}

async function make(workers, order) {
  const feeder = await openFeeder(plan, { workers })
  const digests = new Array(items)
  let next = 0
  const pull = async () => {
    for (let at = next++; at < items; at = next++) {
      const item = order(at)
      digests[item] = digest(await feeder.step(item, 0, 1, 1))
    }
  }
  await Promise.all(Array.from({ length: 2 * Math.max(1, workers) }, pull))
  await feeder.close()
  return digests
}

try {
  const first = await make(0, (at) => at)
  const again = await make(threads, (at) => permuteIndex(at, items, ['campaign']))
  const differing = first.filter((one, at) => one !== again[at]).length
  const distinct = new Set(first).size
  const all = createHash('sha256').update(first.join()).digest('hex')
  console.log(JSON.stringify({ items, threads: [0, threads], distinct, differing, all }))
  process.exitCode = differing === 0 && distinct === items ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
