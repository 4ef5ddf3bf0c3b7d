// Ours, for masks.py: a line asks for so many tumors of a size, the answer is their times in milliseconds.
import { createInterface } from 'node:readline'
import { simulateTumor } from '../../dist/simulation/plan.js'
import { openStream } from '../../dist/simulation/random.js'

const SIDE = 96
const label = new Uint8Array(SIDE ** 3)
for (let x = 0, at = 0; x < SIDE; x++)
  for (let y = 0; y < SIDE; y++)
    for (let z = 0; z < SIDE; z++, at++) {
      const [a, b, c] = [(x - 48) / (0.42 * SIDE), (y - 48) / (0.36 * SIDE), (z - 48) / (0.4 * SIDE)]
      label[at] = a * a + b * b + c * c < 1 ? 1 : 0
    }
const site = { label, shape: [SIDE, SIDE, SIDE], organLabel: 1 }

createInterface({ input: process.stdin }).on('line', (line) => {
  const { size, count, seed } = JSON.parse(line)
  const times = []
  for (let index = 0; index < count; index++) {
    const random = openStream([seed, size, index])
    const started = performance.now()
    simulateTumor(site, { size }, random)
    times.push(performance.now() - started)
  }
  process.stdout.write(`${JSON.stringify(times)}\n`)
})
