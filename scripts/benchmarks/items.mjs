// The freetumor side of items.py: items of a small and of a large manifest in turns; prints seconds per item of each.
import { openFeeder } from '../../dist/sampling/feeder.js'

const { path, items, sizes } = JSON.parse(process.argv[2])
const planOf = (count) => ({
  seed: 1,
  job: 'segmentation',
  cases: Array.from({ length: count }, (_, at) => ({ id: `case-${at}`, path, repeat: 1, kind: 'host' })),
  itemsPerStep: 1,
  cropsPerVolume: 1,
  patchVoxels: [96, 96, 96],
  windowHu: [-175, 250],
  positiveOdds: 1,
  negativeOdds: 1,
  tumorOdds: 0,
  organs: [{ name: 'liver', label: 1, tumorLabel: 2, channel: 0, weight: 1 }],
  tumors: {
    draws: 1,
    condition: 'organWithoutTumor',
    perCrop: 1,
    sizeOdds: { tiny: 1, small: 0, medium: 0, large: 0 },
    radiusVoxels: { tiny: 4, small: 8, medium: 16, large: 32 },
    listedRadii: null,
    positions: null,
    textureSizeVoxels: [420, 300, 320],
    textureCount: 10,
  },
  augmentation: {
    flipProbability: 0.2,
    rotateProbability: 0.2,
    scaleProbability: 0.1,
    scaleRange: 0.1,
    shiftProbability: 0.1,
    shiftRange: 0.1,
  },
  mixing: false,
})
const ways = []
for (const size of sizes)
  ways.push({ feeder: await openFeeder(planOf(size), { workers: 0 }), seconds: [], processor: [] })
for (let step = 0; step < items + 5; step++)
  for (const way of ways) {
    const [started, before] = [performance.now(), process.cpuUsage()]
    await way.feeder.step(step, 0, 1, 1)
    const used = process.cpuUsage(before)
    if (step < 5) continue
    way.seconds.push((performance.now() - started) / 1000)
    way.processor.push((used.user + used.system) / 1e6)
  }
for (const { feeder } of ways) await feeder.close()
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]
process.stdout.write(
  JSON.stringify(
    ways.map(({ seconds, processor }) => ({
      median: median(seconds),
      processorMedian: median(processor),
      spread: [Math.min(...seconds), Math.max(...seconds)],
    })),
  ),
)
