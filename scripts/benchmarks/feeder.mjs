// The feeding process of feeder.py: a feeder and its socket, as in a training. Prints the address; ends with its input.
// With `memoryFile` it writes one line of its memory per second, in bytes.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answerRank } from '../../dist/runtime/feed-service.js'
import { openFeeder } from '../../dist/sampling/feeder.js'
import { openTensorServer } from '../../dist/transport/tensor-server.js'

const { plan, workers, memoryFile } = JSON.parse(process.argv[2])
const directory = mkdtempSync(join(tmpdir(), 'freetumor-bench-'))
const feeder = await openFeeder(plan, { workers })
const feed = { frames: (step, rank) => feeder.step(step, rank, 1, 1), judge: async () => [] }
const server = await openTensorServer({
  token: '',
  directory,
  onMessage: (rank, message) => answerRank(feed, plan.patchVoxels, rank, message),
  onFailure: (error) => {
    console.error(error)
    process.exit(1)
  },
})
const tell = () => appendFileSync(memoryFile, `${JSON.stringify(process.memoryUsage())}\n`)
if (memoryFile) setInterval(tell, 1000).unref()
process.stdout.write(`${server.address}\n`)
process.stdin.resume().on('end', async () => {
  await server.close()
  await feeder.close()
  rmSync(directory, { recursive: true, force: true })
})
