// Campaign: 10,000 items made again in another order and by another number of threads are the same in every bit.
//   node scripts/faults/items.mjs [ITEMS] [THREADS]
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFeeder } from '../../dist/sampling/feeder.js'
import { permuteIndex } from '../../dist/simulation/random.js'

const items = Number(process.argv[2] ?? 10_000)
const threads = Number(process.argv[3] ?? 4)
const SIDE = 40
const folder = mkdtempSync(join(tmpdir(), 'freetumor-items-'))

/** A prepared case of made voxels in the layout of the cache. */
function writeCase(name, radius) {
  const path = join(folder, `${name}.zarr`)
  const voxels = SIDE ** 3
  const image = new Int16Array(voxels)
  const label = new Uint8Array(voxels)
  const blocks = Math.ceil(SIDE / 16)
  const index = new Uint16Array(7 * blocks ** 3)
  for (let at = 0; at < voxels; at++) {
    const place = [Math.floor(at / SIDE ** 2), Math.floor(at / SIDE) % SIDE, at % SIDE]
    image[at] = ((at * 31) % 397) - 150
    label[at] = place.reduce((sum, i) => sum + (i - SIDE / 2) ** 2, 0) < radius ** 2 ? 1 : 0
    const [x, y, z] = place.map((i) => Math.floor(i / 16))
    if (label[at] > 0 || image[at] > -175) index[((label[at] * blocks + x) * blocks + y) * blocks + z]++
  }
  const array = (key, data, shape, type) => {
    mkdirSync(join(path, key, 'c', ...shape.slice(1).map(() => '0')), { recursive: true })
    writeFileSync(join(path, key, 'c', ...shape.map(() => '0')), data)
    const codec =
      type === 'uint8' ? { name: 'bytes' } : { name: 'bytes', configuration: { endian: 'little' } }
    const grid = { name: 'regular', configuration: { chunk_shape: shape } }
    const keys = { name: 'default', configuration: { separator: '/' } }
    const document = { zarr_format: 3, node_type: 'array', shape, data_type: type, chunk_grid: grid }
    const more = { chunk_key_encoding: keys, fill_value: 0, codecs: [codec], attributes: {} }
    writeFileSync(join(path, key, 'zarr.json'), JSON.stringify({ ...document, ...more }))
  }
  array('image', image, [SIDE, SIDE, SIDE], 'int16')
  array('label', label, [SIDE, SIDE, SIDE], 'uint8')
  array('index', index, [7, blocks, blocks, blocks], 'uint16')
  const attributes = { freetumor: { version: 1, windowHu: [-175, 250] } }
  writeFileSync(join(path, 'zarr.json'), JSON.stringify({ zarr_format: 3, node_type: 'group', attributes }))
  return { id: name, path, repeat: 1 + (radius % 3), kind: 'host' }
}

const odds = { flipProbability: 0.2, rotateProbability: 0.2, scaleProbability: 0.1, shiftProbability: 0.1 }
const plan = {
  seed: 11,
  job: 'segmentation',
  cases: [9, 12, 14, 17].map((radius) => writeCase(`case ${radius}`, radius)),
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

/** SHA-256 of every number and voxel of an item. */
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
