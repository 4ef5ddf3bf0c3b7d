// Tumors of freetumor for distribution.py: a line {site, size, count} is answered with the measures of `count` tumors.
import { createInterface } from 'node:readline'
import { measureMask, tumorMask } from '../../dist/simulation/measure.js'
import { openStream } from '../../dist/simulation/random.js'
import { organSlices } from '../../dist/simulation/site.js'
import { simulateTumor } from '../../dist/simulation/tumor.js'

const inEllipsoid = (place) =>
  place.reduce((sum, at, axis) => sum + ((at - 48) / ([0.42, 0.36, 0.4][axis] * 96)) ** 2, 0) < 1
const SITES = {
  ellipsoid_96: () => siteOf(96, (...place) => (inEllipsoid(place) ? 1 : 0)),
  // a real tumor in the organ: no label may lie on it
  ellipsoid_96_with_tumor: () =>
    siteOf(96, (x, y, z) =>
      !inEllipsoid([x, y, z]) ? 0 : (x - 50) ** 2 + (y - 44) ** 2 + (z - 50) ** 2 < 150 ? 2 : 1,
    ),
  free_160: () => siteOf(160, () => 1),
}

function siteOf(side, id) {
  const label = new Uint8Array(side ** 3)
  for (let x = 0, at = 0; x < side; x++)
    for (let y = 0; y < side; y++) for (let z = 0; z < side; z++) label[at++] = id(x, y, z)
  return { label, shape: [side, side, side], organLabel: 1 }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const { site: name, size, count } = JSON.parse(line)
  const site = SITES[name]()
  const slices = organSlices(site)
  const found = { volume: [], max_extent: [], min_extent: [], faces: [], centroid_z: [], components: [] }
  let [empty, overlap] = [0, 0]
  for (let at = 0; at < count; at++) {
    const made = simulateTumor(site, { size, slices }, openStream(['benchmark', name, size, at]))
    const mask = made.outcome === 'placed' ? tumorMask(made.plan, site) : null
    const measures = mask && measureMask(mask)
    if (!measures) {
      empty++
      continue
    }
    overlap += overlapOf(mask, site)
    found.volume.push(measures.volume)
    found.max_extent.push(Math.max(...measures.extent))
    found.min_extent.push(Math.min(...measures.extent))
    found.faces.push(measures.faces)
    found.centroid_z.push(measures.centroid[2])
    found.components.push(measures.components)
  }
  process.stdout.write(`${JSON.stringify({ found, empty, overlap })}\n`)
})

function overlapOf({ box, origin }, { label, shape }) {
  let count = 0
  for (let at = 0; at < box.data.length; at++) {
    if (box.data[at] === 0) continue
    const z = at % box.shape[2]
    const y = Math.floor(at / box.shape[2]) % box.shape[1]
    const x = Math.floor(at / (box.shape[1] * box.shape[2]))
    if (label[((origin[0] + x) * shape[1] + origin[1] + y) * shape[2] + origin[2] + z] === 2) count++
  }
  return count
}
