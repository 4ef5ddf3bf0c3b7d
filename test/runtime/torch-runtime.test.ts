import { getEventListeners } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { RuntimeCrashError, StoppedError } from '../../src/errors.js'
import type { EvaluateSpec, PredictSpec, PrepareSpec } from '../../src/pipeline/ports/cases.js'
import type { CallOptions } from '../../src/pipeline/ports/common.js'
import type { ServeSpec } from '../../src/pipeline/ports/serving.js'
import type { SynthesizeSpec } from '../../src/pipeline/ports/synthesis.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** A Python that runs `disturbed_job.py` whatever it is asked to run. */
function disturbedPython(folder: string): string {
  const python = process.env.FREETUMOR_PYTHON ?? `${root}/.venv/bin/python`
  return program(folder, `exec '${python}' '${root}/test/runtime/disturbed_job.py' "$@"`)
}

function program(folder: string, line: string): string {
  const path = join(folder, 'python')
  writeFileSync(path, `#!/bin/sh\n${line}\n`)
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

it('a stopped job leaves no temporary file of its processes', async () => {
  const [folder, temporary] = [temporaryFolder(), temporaryFolder()]
  vi.stubEnv('TMPDIR', temporary)
  onTestFinished(() => void vi.unstubAllEnvs())
  const begun = join(folder, 'begun')
  const runtime = torchRuntime({ python: program(folder, `mktemp -d; : > '${begun}'; exec cat`) })
  const controller = new AbortController()
  const spec = { job: 'prepare', cases: [{ id: 'a' }] } as unknown as PrepareSpec
  const outcomes = runtime.prepare(spec, { signal: controller.signal, logDirectory: folder })
  const ended = expect(outcomes[Symbol.asyncIterator]().next()).rejects.toThrow(StoppedError)
  await until(() => existsSync(begun))
  controller.abort()
  await ended
  expect(readdirSync(temporary)).toEqual([])
})

it('15 preparations, evaluations and syntheses at once stop on one signal, without a warning of Node', async () => {
  const folder = temporaryFolder()
  const begun = join(folder, 'begun')
  mkdirSync(begun)
  const runtime = torchRuntime({ python: program(folder, `: > '${begun}'/$$; exec cat`) })
  const warnings: Error[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  const controller = new AbortController()
  const { signal } = controller
  const call = { signal, logDirectory: folder }
  const cases = [{ id: 'a' }]
  const all = async (outcomes: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of outcomes) expect.unreachable()
  }
  const unasked = async () => expect.unreachable()
  const feed = { begin: unasked, judged: unasked, written: unasked }
  const calls = Array.from({ length: 15 }, () => [
    all(runtime.prepare({ job: 'prepare', cases } as unknown as PrepareSpec, call)),
    all(runtime.evaluate({ job: 'evaluate', cases } as unknown as EvaluateSpec, call)),
    runtime.synthesize({ job: 'synthesize', ...settings } as unknown as SynthesizeSpec, feed, call),
  ]).flat()
  const ended = Promise.allSettled(calls)
  await until(() => readdirSync(begun).length === calls.length)
  controller.abort()
  for (const one of await ended)
    expect(one).toMatchObject({ status: 'rejected', reason: expect.any(StoppedError) })
  await setImmediate() // Node emits its warnings a turn later
  expect(warnings.map(String)).toEqual([])
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
