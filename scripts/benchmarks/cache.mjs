/**
 * Read crops of 96^3 from prepared cases, in one process without workers: `cache.mjs CASE...`. Part of `scripts/bench cache`.
 * Prints for each case the processor time of each crop in milliseconds, and a SHA-256 over all crops.
 */

import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { closePreparedCase, openPreparedCase, readCrop } from '../../dist/sampling/cache-reader.js'

const SIDE = 96
const CROPS = 60

/** A small generator of the same places for every layout. */
function drawing(seed) {
  let state = seed
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return Math.floor((state / 2147483648) * below)
  }
}

const results = []
for (const path of process.argv.slice(2)) {
  const prepared = await openPreparedCase({ caseId: basename(path), path }, -175)
  const draw = drawing(7)
  const digest = createHash('sha256')
  const milliseconds = []
  for (let crop = 0; crop < CROPS; crop++) {
    const start = prepared.shape.map((side) => draw(Math.max(1, side - SIDE)))
    const before = process.cpuUsage()
    const { image, label } = readCrop(prepared, start, [SIDE, SIDE, SIDE])
    const { user, system } = process.cpuUsage(before)
    digest.update(image).update(label)
    milliseconds.push((user + system) / 1000)
  }
  closePreparedCase(prepared)
  // the first crops are compiled by the engine
  results.push({ path, milliseconds: milliseconds.slice(10), sha256: digest.digest('hex') })
}
console.log(JSON.stringify(results))
