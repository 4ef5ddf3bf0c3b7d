// One training in memory with the real lock of a run directory; a child of takeovers.mjs.
//   node scripts/faults/memory_training.mjs CONFIG out|resume DIRECTORY MILLISECONDS_A_STEP < (a line starts it)
// Prints `begun` with its first step, and at the end the time and the processor time. Exit code and error are those of
// `freetumor train`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { loadConfig } from '../../dist/config/load.js'
import { startTraining } from '../../dist/pipeline/train/run.js'
import { lockDirectory } from '../../dist/runtime/directory-lock.js'
import { inMemoryRuntime } from '../../dist/runtime/in-memory.js'
import { shareRun } from '../../dist/runtime/run-service.js'

const [file, how, directory, milliseconds] = process.argv.slice(2)
const config = await loadConfig(file)
let begun = false

/** Cases that an earlier `freetumor prepare` wrote. */
function prepared({ id }, spec) {
  const path = join(spec.directory, `${encodeURIComponent(id)}.zarr`)
  const { freetumor } = JSON.parse(readFileSync(join(path, 'zarr.json'), 'utf8')).attributes
  const { shape, labelVoxels, contentSha256 } = freetumor
  return {
    caseId: id,
    result: { path, shape, labelVoxels, contentSha256, bytes: 1, seconds: 0, reused: true },
  }
}

const runtime = {
  ...inMemoryRuntime({
    prepare: prepared,
    beforeStep: async () => {
      if (!begun) console.log('begun')
      begun = true
      await setTimeout(Number(milliseconds))
    },
  }),
  lock: (folder, work) => lockDirectory(folder, work),
  share: shareRun,
}

console.log('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))
process.stdin.pause()
try {
  const { outcome } = await startTraining(config, runtime, { [how]: directory }).result
  const { user, system } = process.cpuUsage()
  console.log(`${outcome}, end ${Date.now()} processor ${(user + system) / 1e6}`)
} catch (error) {
  console.log(`${error.code ?? 'bug'}: ${error.message}`)
  process.exitCode = error.exitCode ?? 70
}
