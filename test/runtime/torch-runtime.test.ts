import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { RuntimeCrashError } from '../../src/errors.js'
import type { CallOptions, PredictSpec } from '../../src/pipeline/ports.js'
import type { ServeSpec } from '../../src/pipeline/serve-port.js'
import type { SynthesizeSpec } from '../../src/pipeline/synthesis-port.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import { temporaryFolder } from '../helpers/temporary.js'

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** A Python that runs `disturbed_job.py` whatever it is asked to run. */
function disturbedPython(folder: string): string {
  const path = join(folder, 'python')
  const python = process.env.FREETUMOR_PYTHON ?? `${root}/.venv/bin/python`
  writeFileSync(path, `#!/bin/sh\nexec '${python}' '${root}/test/runtime/disturbed_job.py' "$@"\n`)
  chmodSync(path, 0o755)
  return path
}

const settings = { processesPerNode: 1, threadsPerProcess: 1 }
type Runtime = ReturnType<typeof torchRuntime>

it.each<[string, (runtime: Runtime, call: CallOptions) => Promise<void>]>([
  [
    'prediction',
    async (runtime, call) => {
      const spec = { job: 'predict', ...settings, cases: [{ id: 'a' }] } as unknown as PredictSpec
      for await (const _ of runtime.predict(spec, call)) expect.unreachable()
    },
  ],
  [
    'synthesis',
    async (runtime, call) => {
      const spec = { job: 'synthesize', ...settings } as unknown as SynthesizeSpec
      const unasked = async () => expect.unreachable()
      await runtime.synthesize(spec, { begin: async () => null, judged: unasked, written: unasked }, call)
    },
  ],
  [
    'warm runtime',
    async (runtime, call) => {
      const spec = { job: 'serve', ...settings } as unknown as ServeSpec
      await using session = runtime.serve(spec, call)
      const asked = session.segment({
        image: new Int16Array(8),
        shape: [2, 2, 2],
        affine: null,
        logits: false,
      })
      await expect(asked).rejects.toThrow(RuntimeCrashError)
    },
  ],
])('a %s survives a stranger on its feed and warns of it once, at the end', async (_what, work) => {
  const folder = temporaryFolder()
  const notes: unknown[] = []
  const note = (...told: unknown[]): void => void notes.push(told)
  await work(torchRuntime({ python: disturbedPython(folder) }), { logDirectory: folder, note })
  expect(notes).toEqual([['the feed dropped 1 message of a process that is no rank of this run', 'warning']])
})
