// The freetumor side of masks.py and render.py: a line states a size and a number of tumors. The answer has the times
// of each in seconds and, with `plans`, the tumors themselves.
import { createInterface } from 'node:readline'
import { openStream } from '../../dist/simulation/random.js'
import { simulateTumor } from '../../dist/simulation/tumor.js'

const sites = new Map()
function siteOf(side) {
  if (sites.has(side)) return sites.get(side)
  const label = new Uint8Array(side ** 3)
  for (let x = 0, at = 0; x < side; x++)
    for (let y = 0; y < side; y++)
      for (let z = 0; z < side; z++, at++) {
        const [a, b, c] = [x, y, z].map((i, axis) => (i - side / 2) / ([0.42, 0.36, 0.4][axis] * side))
        label[at] = a * a + b * b + c * c < 1 ? 1 : 0
      }
  const site = { label, shape: [side, side, side], organLabel: 1 }
  sites.set(side, site)
  return site
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const { size, side, count, seed, plans } = JSON.parse(line)
  const site = siteOf(side)
  const answer = { seconds: [], processor: [], plans: [] }
  const textures = {
    textureSizeVoxels: [420, 300, 320].map((sides) => Math.max(sides, side + 16)),
    textureCount: 1,
  }
  for (let index = 0; index < count; index++) {
    const random = openStream([seed, size, index])
    const started = performance.now()
    const used = process.cpuUsage()
    const found = simulateTumor(site, { size, ...textures }, random)
    const { user, system } = process.cpuUsage(used)
    answer.seconds.push((performance.now() - started) / 1000)
    answer.processor.push((user + system) / 1e6)
    if (plans && found.outcome === 'placed') {
      const { box, ...plan } = found.plan
      answer.plans.push({ ...plan, boxShape: box.shape, box: Buffer.from(box.data).toString('base64') })
    }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
})
