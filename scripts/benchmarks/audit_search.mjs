// Measure the audit's search among random descriptors: node scripts/benchmarks/audit_search.mjs COUNT
//
// A hundredth of the descriptors are copies: they have half of the landmarks of another one, or half of its voxel
// patterns. Real scans have words in common (air, skin, bone); two of the reference CTs share 5 of 288. So here half of
// the words follow a Zipf law, with which two scans share equally many. Prints a JSON line.
import { KEYS_PER_LANDMARK } from '../../dist/curation/audit/landmarks.js'
import { findCandidates } from '../../dist/curation/audit/neighbours.js'

const count = Number(process.argv[2])
const [LANDMARKS, SKETCH] = [96, 64]
const words = LANDMARKS * KEYS_PER_LANDMARK
const [VOCABULARY, FLAT] = [1e6, 11]

let state = 1
/** splitmix32, in [0, 1) */
function uniform() {
  state = (state + 0x9e3779b9) | 0
  let t = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
  t = Math.imul(t ^ (t >>> 15), 0x735a2d97)
  return ((t ^ (t >>> 15)) >>> 0) / 2 ** 32
}

const whole = (below) => Math.floor(uniform() * below)
/** Word r is as frequent as 1 / (r + FLAT). */
const common = () => Math.floor(FLAT * ((VOCABULARY + FLAT) / FLAT) ** uniform() - FLAT)
const pattern = () => whole(2 ** 26) * 2 ** 26 + whole(2 ** 26)
const made = []
const places = []
const planted = []
for (let scan = 0; scan < count; scan++) {
  const sketch = Array.from({ length: SKETCH }, pattern)
  const mm = Float32Array.from({ length: 3 * LANDMARKS }, () => 350 * uniform())
  const keys = Uint32Array.from({ length: words }, (_, at) => (at < words / 2 ? whole(2 ** 32) : common()))
  if (scan % 100 === 99) {
    const of = scan - 1 - whole(98)
    const { sketch: patterns } = made[of]
    const [landmarks] = places[of]
    if (scan % 200 === 99) sketch.splice(0, SKETCH / 2, ...patterns.slice(0, SKETCH / 2))
    else {
      mm.set(landmarks.mm.subarray(0, (3 * LANDMARKS) / 2).map((at) => at + 20))
      keys.set(landmarks.keys.subarray(0, words / 2))
    }
    planted.push(`${of} ${scan}`)
  }
  made.push({ sketch: Float64Array.from(sketch).sort(), landmarkKeys: keys })
  places.push([{ mm, keys }])
}
const before = process.cpuUsage()
const started = performance.now()
const found = await findCandidates(made, async (scan) => places[scan])
const seconds = (performance.now() - started) / 1000
const { user, system } = process.cpuUsage(before)
const pairs = new Set(found.map(({ a, b }) => `${a} ${b}`))
console.log(
  JSON.stringify({
    descriptors: count,
    seconds: Number(seconds.toFixed(2)),
    processorSeconds: Number(((user + system) / 1e6).toFixed(2)),
    planted: planted.length,
    found: planted.filter((pair) => pairs.has(pair)).length,
    others: found.length - planted.length,
  }),
)
