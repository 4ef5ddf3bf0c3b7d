// The freetumor side of calls.py: open a runtime and segment one crop repeatedly.
import { readFileSync } from 'node:fs'
import { openRuntime } from '../../dist/index.js'

const { baseline, calls, device, cache } = JSON.parse(process.argv[2])
const SIDE = 96
const image = {
  data: Int16Array.from({ length: SIDE ** 3 }, (_, at) => ((7919 * at) % 401) - 150),
  shape: [SIDE, SIDE, SIDE],
  affine: [1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1],
}
const began = performance.now()
const runtime = await openRuntime({ baseline, device, cache, region: 'abdomen' })
const openSeconds = (performance.now() - began) / 1000
const load = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
const whole = []
const inside = []
const processor = []
for (let call = 0; call < calls + 3; call++) {
  const [started, before] = [performance.now(), process.cpuUsage()]
  const { networkSeconds } = await runtime.segment(image)
  if (call < 3) continue
  whole.push((performance.now() - started) / 1000)
  inside.push(networkSeconds)
  const { user, system } = process.cpuUsage(before)
  processor.push((user + system) / 1000)
}
await runtime.close()
const sorted = (values) => [...values].sort((a, b) => a - b)
const median = (values) => sorted(values)[values.length >> 1]
const overheadMs = sorted(whole.map((seconds, at) => 1000 * (seconds - inside[at])))
process.stdout.write(
  JSON.stringify({
    ours: { median: median(whole) },
    reference: { median: median(inside) },
    ratio: median(inside) / median(whole),
    overheadMs: { median: median(overheadMs), least: overheadMs[0], most: overheadMs.at(-1) },
    nodeProcessorMs: median(processor),
    openSeconds,
    loadAverage: load,
  }),
)
