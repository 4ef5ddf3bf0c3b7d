// The freetumor side of checksums.py: crops of one prepared case, in turns from a case just opened (every slab is
// verified) and from one that stays open (no slab is verified again). Prints medians of processor milliseconds.
import { closePreparedCase, openPreparedCase, readCrop } from '../../dist/sampling/cache-reader.js'
import { openStream } from '../../dist/simulation/random.js'

const { path, side, crops } = JSON.parse(process.argv[2])
const group = { caseId: 'case', path }
const stays = await openPreparedCase(group, -175)
readCrop(stays, [0, 0, 0], stays.shape)
const stream = openStream([1, 'checksums'])
const times = { opening: [], checked: [], unchecked: [] }
const processorMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
for (let crop = 0; crop < crops; crop++) {
  const start = stays.shape.map((length) => stream.integer(0, Math.max(0, length - side)))
  let started = processorMs()
  const fresh = await openPreparedCase(group, -175)
  times.opening.push(processorMs() - started)
  for (const kind of crop % 2 === 0 ? ['checked', 'unchecked'] : ['unchecked', 'checked']) {
    started = processorMs()
    readCrop(kind === 'checked' ? fresh : stays, start, [side, side, side])
    times[kind].push(processorMs() - started)
  }
  closePreparedCase(fresh)
}
closePreparedCase(stays)
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]
const medians = Object.fromEntries(Object.entries(times).map(([kind, values]) => [kind, median(values)]))
process.stdout.write(JSON.stringify(medians))
