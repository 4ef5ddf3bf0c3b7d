// Campaign: prepared cases damaged in 100 ways, each from a seed. The feeder's reader and the check of `prepare` refuse
// each case by name, and no crop with a wrong voxel is returned.
//
//     FREETUMOR_PYTHON=.venv/bin/python node scripts/faults/cache.mjs [DAMAGES] [SEED]
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DataError } from '../../dist/errors.js'
import { closePreparedCase, openPreparedCase, readCrop } from '../../dist/sampling/cache-reader.js'
import { openStream } from '../../dist/simulation/random.js'

const count = Number(process.argv[2] ?? 100)
const seed = Number(process.argv[3] ?? 1)
const folder = mkdtempSync(join(tmpdir(), 'freetumor-cache-faults-'))
const SHAPE = [61, 50, 44]
const VOXELS = { image: 'image/c/0/0/0', label: 'label/c/0/0/0' }
const INDEX = 'index/c/0/0/0/0'
const FILES = [...Object.values(VOXELS), INDEX, 'checksums/c/0', 'zarr.json'].concat(
  ['image', 'label', 'index', 'checksums'].map((name) => `${name}/zarr.json`),
)

/** Write two cases, and the first one with the voxels before its scan was replaced, by the writer of the cache. */
function writeCases() {
  const program = `
import sys
import numpy as np
from freetumor_runtime.data.cache import case_path
from freetumor_runtime.data.cache_writer import write_prepared_case
for folder, name, seed in (("now", "set/one", 1), ("now", "set/two", 2), ("before", "set/one", 3)):
    draw = np.random.default_rng(seed)
    image = draw.integers(-300, 300, (${SHAPE})).astype(np.int16)
    label = draw.integers(0, 3, (${SHAPE})).astype(np.uint8)
    attributes = {"case": name, "windowHu": [-175, 250]}
    write_prepared_case(case_path(f"{sys.argv[1]}/{folder}", name), image, label, 3, -175, attributes)
`
  python(program, folder)
}

function python(program, ...more) {
  const root = resolve(import.meta.dirname, '../..')
  const env = { ...process.env, PYTHONPATH: join(root, 'python_runtime') }
  return execFileSync(
    process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python'),
    ['-c', program, ...more],
    {
      env,
      encoding: 'utf8',
    },
  )
}

const NAMES = { one: 'set%2Fone.zarr', two: 'set%2Ftwo.zarr' }
const change = (file, edit) => writeFileSync(file, edit(Buffer.from(readFileSync(file))))
const anyOf = (stream, values) => values[stream.integer(0, values.length - 1)]

/**
 * Damages by kind: each damages the case at `path` and returns a sentence. `other` is another case of the same shape.
 */
const DAMAGES = {
  zeroedQuarter(path, stream) {
    const file = anyOf(stream, [...Object.values(VOXELS), INDEX])
    change(join(path, file), (content) => content.fill(0, content.length >> 2, content.length >> 1))
    return file
  },
  flippedBit(path, stream) {
    const file = anyOf(stream, [...FILES, ...Object.values(VOXELS), ...Object.values(VOXELS)])
    let bit = 0
    change(join(path, file), (content) => {
      bit = stream.integer(0, 8 * content.length - 1)
      content[bit >> 3] ^= 1 << (bit & 7)
      return content
    })
    return `${file} bit ${bit}`
  },
  truncated(path, stream) {
    const file = anyOf(stream, FILES)
    change(join(path, file), (content) => content.subarray(0, stream.integer(0, content.length - 1)))
    return file
  },
  grown(path, stream) {
    const file = anyOf(stream, FILES)
    change(join(path, file), (content) => Buffer.concat([content, Buffer.alloc(stream.integer(1, 64), 32)]))
    return file
  },
  gone(path, stream) {
    const file = anyOf(stream, FILES)
    rmSync(join(path, file))
    return file
  },
  swappedSlabs(path, stream) {
    const name = anyOf(stream, ['image', 'label'])
    const plane = SHAPE[1] * SHAPE[2] * (name === 'image' ? 2 : 1)
    const first = stream.integer(0, SHAPE[0] - 2)
    const second = stream.integer(first + 1, SHAPE[0] - 1)
    change(join(path, VOXELS[name]), (content) => {
      const kept = Buffer.from(content.subarray(first * plane, (first + 1) * plane))
      content.copyWithin(first * plane, second * plane, (second + 1) * plane)
      kept.copy(content, second * plane)
      return content
    })
    return `${name} planes ${first} and ${second}`
  },
  fileOfAnotherCase(path, stream, other) {
    const file = anyOf(stream, [...Object.values(VOXELS), INDEX, 'checksums/c/0', 'zarr.json'])
    cpSync(join(other, file), join(path, file))
    return file
  },
  anotherCase(path, _stream, other) {
    rmSync(path, { recursive: true })
    cpSync(other, path, { recursive: true })
    return 'all files'
  },
  fileOfBefore(path, stream) {
    const file = anyOf(stream, [...Object.values(VOXELS), INDEX])
    cpSync(join(folder, 'before', NAMES.one, file), join(path, file))
    return file
  },
  alteredIndex(path, stream) {
    change(join(path, INDEX), (content) => {
      const at = 2 * stream.integer(0, content.length / 2 - 1)
      content.writeUInt16LE((content.readUInt16LE(at) + stream.integer(1, 65_535)) % 65_536, at)
      return content
    })
    return INDEX
  },
}

async function readWhole(path) {
  const prepared = await openPreparedCase({ caseId: 'set/one', path }, -175)
  try {
    return readCrop(prepared, [0, 0, 0], SHAPE)
  } finally {
    closePreparedCase(prepared)
  }
}

/** Count the refused ones among random crops of a case, and those that differ from the sound case. */
async function crops(path, sound, stream) {
  let [refused, wrong] = [0, 0]
  for (let crop = 0; crop < 12; crop++) {
    const start = SHAPE.map((side) => stream.integer(0, side - 16))
    try {
      const damaged = await openPreparedCase({ caseId: 'set/one', path }, -175)
      try {
        const found = readCrop(damaged, start, [16, 16, 16])
        const expected = readCrop(sound, start, [16, 16, 16])
        for (const name of ['image', 'label'])
          if (Buffer.compare(bytes(found[name]), bytes(expected[name])) !== 0) wrong++
      } finally {
        closePreparedCase(damaged)
      }
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      refused++
    }
  }
  return { refused, wrong }
}

const bytes = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)

try {
  writeCases()
  const sound = await openPreparedCase({ caseId: 'set/one', path: join(folder, 'now', NAMES.one) }, -175)
  const kinds = Object.keys(DAMAGES)
  const tally = Object.fromEntries(
    kinds.map((kind) => [kind, { made: 0, foundByReader: 0, foundByPrepare: 0 }]),
  )
  const missed = []
  const total = { refusedCrops: 0, wrongCrops: 0 }
  const places = []
  for (let number = 0; number < count; number++) {
    const kind = kinds[number % kinds.length]
    const stream = openStream([seed, kind, number])
    const place = join(folder, `damage-${number}`)
    cpSync(join(folder, 'now', NAMES.one), join(place, NAMES.one), { recursive: true })
    const what = DAMAGES[kind](join(place, NAMES.one), stream, join(folder, 'now', NAMES.two))
    places.push({ kind, what, path: join(place, NAMES.one) })
    tally[kind].made++
    const refusal = await readWhole(join(place, NAMES.one)).then(
      () => null,
      (error) => error,
    )
    const named = refusal instanceof DataError && /^case set\/one: .*set%2Fone\.zarr/.test(refusal.message)
    if (named && /freetumor prepare/.test(refusal.hint)) tally[kind].foundByReader++
    else missed.push({ by: 'reader', kind, what, said: String(refusal) })
    const { refused, wrong } = await crops(join(place, NAMES.one), sound, stream)
    total.refusedCrops += refused
    total.wrongCrops += wrong
  }
  closePreparedCase(sound)
  const verdicts = JSON.parse(
    python(
      `
import json, sys
from freetumor_runtime.data.cache import verify_prepared_case
from freetumor_runtime.errors import DataError
def verdict(path):
    try:
        verify_prepared_case(path)
    except DataError as error:
        return "refused" if path in str(error) else f"not named: {error}"
    return "taken"
print(json.dumps([verdict(path) for path in json.loads(sys.argv[1])]))
`,
      JSON.stringify(places.map(({ path }) => path)),
    ),
  )
  for (const [at, { kind, what }] of places.entries())
    if (verdicts[at] === 'refused') tally[kind].foundByPrepare++
    else missed.push({ by: 'prepare', kind, what, said: verdicts[at] })
  console.log(JSON.stringify({ damages: count, seed, kinds: tally, ...total, missed }, null, 1))
  process.exitCode = missed.length === 0 && total.wrongCrops === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
