import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { printConfig } from '../../../src/config/load.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import type { ModelRuntime } from '../../../src/pipeline/ports/runtime.js'
import { hashInputs } from '../../../src/pipeline/train/resume.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { earlierWeights, wantedWeights } from '../../../src/pipeline/train/weights.js'
import type { Run } from '../../../src/training/run.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from './memory-run.js'

/** A world in which a file holds what is said here, and nothing can be trained. */
function world(files: Readonly<Record<string, CheckpointFacts>>) {
  const folder = temporaryFolder()
  for (const name of Object.keys(files)) writeFileSync(join(folder, name), '')
  const notes: string[] = []
  const sets: [file: string, set: string | null][] = []
  const runtime = {
    inspect: async (path: string, { weights }: { weights?: string | null } = {}) => {
      const name = path.slice(folder.length + 1)
      sets.push([name, weights ?? null])
      return files[name]!
    },
  } as Partial<ModelRuntime> as ModelRuntime
  const context: StageContext = {
    runtime,
    signal: undefined,
    logDirectory: folder,
    note: (text, level = 'info') => void notes.push(`${level}: ${text}`),
  }
  const start = () => {
    throw new Error('a training was started')
  }
  return {
    folder,
    notes,
    sets,
    weights: (config: RunConfig) => earlierWeights(wantedWeights(config), context, start),
  }
}

function run(folder: string, baseline: string, generator: string | null): RunConfig {
  return resolveConfig({
    job: 'segmentation',
    region: 'abdomen',
    name: 'test',
    data: { datasets: [{ name: 'BTCV' }] },
    training: { target: 'panc', task: 'freesyn' },
    networks: {
      baseline: { checkpoint: join(folder, baseline) },
      generator: generator === null ? null : { checkpoint: join(folder, generator), channel: 'organ' },
    },
  })
}

test('named weights are inspected, and their paths are passed to the run', async () => {
  const { folder, notes, weights } = world({
    'b.pt': checkpointFacts([segmentorFacts(7)]),
    'g.pt': checkpointFacts([generatorFacts(3)]),
  })
  expect(await weights(run(folder, 'b.pt', 'g.pt'))).toEqual({
    baseline: join(folder, 'b.pt'),
    generator: join(folder, 'g.pt'),
    licences: [],
  })
  expect(notes).toEqual([])
})

test('named sets of weights are inspected, and reach Python and the hash of the inputs', async () => {
  const { folder, sets, weights } = world({
    'b.pt': checkpointFacts([segmentorFacts(7)]),
    'g.pt': checkpointFacts([generatorFacts(3)]),
  })
  const plain = run(folder, 'b.pt', 'g.pt')
  const { baseline, generator } = plain.networks
  const networks = {
    ...plain.networks,
    baseline: { ...baseline!, weights: 'teacher' },
    generator: { ...generator!, weights: 'ema' },
  }
  const config = { ...plain, networks }
  const found = await weights(config)
  expect(sets).toEqual([
    ['b.pt', 'teacher'],
    ['g.pt', 'ema'],
  ])
  const hashes = await Promise.all([plain, config].map((one) => hashInputs(one, [], found, null, null)))
  expect(hashes[0]!.data).not.toBe(hashes[1]!.data)
})

test('a baseline that does not see the planned tumors ends the run before anything is started', async () => {
  const metadata = { labelNames: ['background', 'liver', 'liver tumor'] }
  const { folder, weights } = world({ 'b.pt': checkpointFacts([segmentorFacts(3)], { metadata }) })
  await expect(weights(run(folder, 'b.pt', null))).rejects.toThrow(
    /2 \(liver\) do not cover the planned organs pancreas/,
  )
})

test('a generator that looks untrained in the organ is worth a warning', async () => {
  const channelMode = { mode: 'shared', assumed: true, untouchedOutputs: [1, 2] } as const
  const { folder, notes, weights } = world({
    'b.pt': checkpointFacts([segmentorFacts(7)]),
    'g.pt': checkpointFacts([generatorFacts(3)], { channelMode }),
  })
  await weights(run(folder, 'b.pt', 'g.pt'))
  expect(notes).toEqual([expect.stringMatching(/^warning: .*outputs for pancreas look untrained/)])
})

test('a file that is not there is named', async () => {
  const { folder, weights } = world({})
  await expect(weights(run(folder, 'b.pt', null))).rejects.toThrow(
    /networks\.baseline\.checkpoint: .*b\.pt: file not found/,
  )
})

test('weights that another process is training are refused by its lock, and its run stays', async () => {
  const folder = temporaryFolder()
  const baseline = await memoryConfig('baseline', folder, { training: { steps: 100_000 } })
  const config = await memoryConfig('segmentation', folder)
  const trainFrom = join(folder, 'baseline.yaml')
  writeFileSync(trainFrom, printConfig(baseline))
  const named = { ...config.networks.baseline!, checkpoint: null, trainFrom }
  const builds = { ...config, networks: { ...config.networks, baseline: named } }
  vi.spyOn(process, 'cwd').mockReturnValue(folder)
  onTestFinished(() => void vi.restoreAllMocks())
  const context = { runtime: memoryRuntime(), signal: undefined, logDirectory: folder, note: () => {} }
  let making: Promise<unknown> | undefined
  const first = await new Promise<Run>((started, failed) => {
    making = earlierWeights(wantedWeights(builds), context, (...given) => {
      const run = startTraining(...given)
      started(run)
      return run
    })
    making.catch(failed)
  })
  for await (const event of first) if (event.type === 'step') break
  await expect(earlierWeights(wantedWeights(builds), context, startTraining)).rejects.toThrow(
    'is being trained by process',
  )
  expect(existsSync(join(first.directory, 'events.jsonl'))).toBe(true)
  await first.stop()
  await expect(making).rejects.toMatchObject({ code: 'stopped' })
})
