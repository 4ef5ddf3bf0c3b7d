import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { RunConfig } from '../../src/config/schema.js'
import type { ModelRuntime } from '../../src/pipeline/ports/runtime.js'
import { startTraining } from '../../src/pipeline/train/run.js'
import { familyOf } from '../../src/runtime/process.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import type { JobKind, RunEvent } from '../../src/training/events.js'
import type { TrainOptions } from '../../src/training/run.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

interface Change {
  readonly ranks?: number
  readonly workers?: number
  readonly steps?: number
  readonly weights?: Partial<Record<JobKind, string>>
  readonly swin?: boolean
  readonly restarts?: number
  readonly checkpointEverySteps?: number
  readonly hangSeconds?: number
  readonly reproducible?: boolean
}

/** A debug configuration in a folder of its own, small and short. */
async function debugConfig(job: JobKind, folder: string, change: Change = {}): Promise<RunConfig> {
  const debug = await loadConfig(new URL(`../../configs/debug-${job}.yaml`, import.meta.url).pathname)
  const from = (path: string | undefined) => ({ checkpoint: path ?? null, trainFrom: null })
  const { networks } = debug
  return resolveConfig({
    ...debug,
    data: {
      ...debug.data,
      root: join(folder, 'data'),
      phantoms: { labelledCases: 2, validationCases: 1, hostCases: 2, testCases: 0, sizeVoxels: 48, seed: 1 },
    },
    prepare: { ...debug.prepare, cache: join(folder, 'cache') },
    sampling: {
      ...debug.sampling,
      workers: change.workers ?? 1,
      patchVoxels: [32, 32, 32],
      ...(change.swin ? { patchVoxels: [32, 32, 64], cropsPerVolume: 1, itemsPerStep: 1 } : {}),
    },
    networks: {
      segmentor: change.swin
        ? { ...networks.segmentor, kind: 'swinunetr', featureSize: 12 }
        : networks.segmentor,
      baseline: networks.baseline && { ...networks.baseline, ...from(change.weights?.baseline) },
      generator: networks.generator && { ...networks.generator, ...from(change.weights?.synthesis) },
    },
    training: {
      ...debug.training,
      steps: change.steps ?? 4,
      checkpointEverySteps: change.checkpointEverySteps ?? null,
    },
    runtime: {
      ...debug.runtime,
      processesPerNode: change.ranks ?? 1,
      reproducible: change.reproducible ?? false,
      restarts: { max: change.restarts ?? 3, backoffSeconds: 0 },
      hangSeconds: change.hangSeconds ?? null,
    },
  })
}

async function run(
  config: RunConfig,
  options: TrainOptions,
  runtime: ModelRuntime = torchRuntime(),
): Promise<{ events: RunEvent[]; weights: string; outcome: string }> {
  const events: RunEvent[] = []
  const training = startTraining(config, runtime, options)
  for await (const event of training) events.push(event)
  const { checkpoint, outcome } = await training.result
  return { events, weights: join(checkpoint!, 'model.pt'), outcome }
}

const lossesOf = (events: readonly RunEvent[]): unknown[] =>
  events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))

describe('the whole method', () => {
  it('runs its three jobs in sequence on two ranks, and lists the result of every tumor', async () => {
    const folder = temporaryFolder()
    const weights: Partial<Record<JobKind, string>> = {}
    for (const job of ['baseline', 'synthesis', 'segmentation'] as const) {
      const out = join(folder, job)
      const done = await run(await debugConfig(job, folder, { ranks: 2, weights, steps: 3 }), { out })
      expect(done.outcome).toBe('completed')
      expect(lossesOf(done.events)).toHaveLength(3)
      weights[job] = done.weights
      const files = [
        'config.resolved.yaml',
        'plan.json',
        'events.jsonl',
        'ledger.jsonl',
        'exit.json',
        'report.html',
      ]
      for (const file of files)
        expect((await readFile(join(out, file))).length, file).toBeGreaterThanOrEqual(0)
    }
    const ledger = (await readFile(join(folder, 'segmentation', 'ledger.jsonl'), 'utf8')).trim().split('\n')
    const verdicts = ledger.map((line) => JSON.parse(line).verdict)
    expect(verdicts.length).toBeGreaterThan(0)
    expect(verdicts.every((verdict) => ['accepted', 'rejected', 'noRoom'].includes(verdict))).toBe(true)
    expect(await readFile(join(folder, 'segmentation', 'report.html'), 'utf8')).toContain('segmentation')
  })

  it('gives bit-identical losses for the same seed, with one or with three simulation workers', async () => {
    const folder = temporaryFolder()
    const { weights: baseline } = await run(await debugConfig('baseline', folder), { out: join(folder, 'b') })
    const made = async (workers: number): Promise<unknown[]> => {
      const config = await debugConfig('synthesis', folder, { workers, weights: { baseline } })
      const { events } = await run(config, { out: join(folder, `workers-${workers}`) })
      const shares = events.flatMap((event) => (event.type === 'synthesis' ? [event.shareSeen] : []))
      return [lossesOf(events), shares]
    }
    expect(await made(3)).toEqual(await made(1))
  })

  it('trains a small SwinUNETR', async () => {
    const folder = temporaryFolder()
    const config = await debugConfig('baseline', folder, { swin: true, steps: 1 })
    const { events } = await run(config, { out: join(folder, 'swin') })
    expect(lossesOf(events)).toHaveLength(1)
  })
})

describe('a training whose ranks die', () => {
  it('leaves no process when a rank is killed, and reports that the runtime crashed', async () => {
    const folder = temporaryFolder()
    const config = await debugConfig('baseline', folder, { steps: 400, restarts: 0 })
    const training = startTraining(config, torchRuntime(), { out: join(folder, 'killed') })
    let family: number[] = []
    const failure = (async () => {
      for await (const event of training) {
        if (event.type !== 'step' || event.step !== 1) continue
        family = await familyOf(training.id)
        for (const pid of family) process.kill(pid, 'SIGKILL')
      }
    })()
    await expect(failure).rejects.toMatchObject({ code: 'runtime', exitCode: 5 })
    // a single rank has no torchrun above it
    expect(family.length).toBeGreaterThanOrEqual(1)
    expect((await familyOf(training.id)).filter((pid) => family.includes(pid))).toEqual([])
    expect(JSON.parse(await readFile(join(folder, 'killed', 'exit.json'), 'utf8'))).toMatchObject({
      outcome: 'failed',
      exitCode: 5,
    })
  })

  it('in reproducible mode has bit-identical losses on one rank and on two, also after an automatic restart', async () => {
    const folder = temporaryFolder()
    const change = { steps: 14, checkpointEverySteps: 4, reproducible: true }
    const config = await debugConfig('baseline', folder, { ...change, ranks: 2 })
    const alone = await debugConfig('baseline', folder, { ...change, ranks: 1 })
    const whole = await run(alone, { out: join(folder, 'whole') })
    const training = startTraining(config, torchRuntime(), { out: join(folder, 'broken') })
    let killed = 0
    const events: RunEvent[] = []
    for await (const event of training) {
      events.push(event)
      if (event.type !== 'step' || event.step !== 6 || killed > 0) continue
      killed = (await familyOf(training.id, /(^|\0)RANK=1\0/))[0]!
      process.kill(killed, 'SIGKILL')
    }
    expect((await training.result).outcome).toBe('completed')
    const [restart] = events.filter((event) => event.type === 'restart')
    expect(restart).toMatchObject({
      step: 4,
      restart: 1,
      kind: 'signal',
      reason: 'rank 1 was killed by SIGKILL',
    })
    const lines = (await readFile(join(folder, 'broken', 'events.jsonl'), 'utf8')).trim().split('\n')
    expect(lossesOf(whole.events)).toHaveLength(change.steps)
    expect(lossesOf(lines.map((line) => JSON.parse(line) as RunEvent))).toEqual(lossesOf(whole.events))
    const card = JSON.parse(await readFile(join(folder, 'broken', 'failure.json'), 'utf8'))
    expect(card).toMatchObject({ kind: 'signal', rank: 1, signal: 'SIGKILL' })
    expect(await familyOf(training.id)).toEqual([])
  })

  it('that hang are ended with their stacks in their logs, and begun again', async () => {
    const folder = temporaryFolder()
    const config = await debugConfig('baseline', folder, { ranks: 2, steps: 8, hangSeconds: 20 })
    const training = startTraining(config, torchRuntime(), { out: join(folder, 'run') })
    let stopped = false
    const kinds: string[] = []
    for await (const event of training) {
      if (event.type === 'restart') kinds.push(event.kind)
      if (event.type !== 'step' || event.step !== 2 || stopped) continue
      stopped = true
      for (const pid of await familyOf(training.id, /(^|\0)RANK=1\0/)) process.kill(pid, 'SIGSTOP')
    }
    expect((await training.result).outcome).toBe('completed')
    expect(kinds).toEqual(['hang'])
    const log = await readFile(join(folder, 'run', 'logs', 'node-0', 'rank-0', 'output.log'), 'utf8')
    expect(log).toContain('most recent call first')
  })
})

describe('bad input', () => {
  it('a wrong Python is one clear error, exit code 4, and a run with a failed status', async () => {
    const folder = temporaryFolder()
    const file = new URL('../../configs/debug-baseline.yaml', import.meta.url).pathname
    const few = ['labelledCases=1', 'validationCases=1', 'hostCases=0', 'testCases=0', 'sizeVoxels=48']
    const phantoms = few.map((one) => `data.phantoms.${one}`)
    const done = await runCli(['train', '--config', file, '--out', 'run', '--set', ...phantoms], {
      cwd: folder,
      env: { FREETUMOR_PYTHON: join(folder, 'no-such-python') },
    })
    expect(done.code).toBe(4)
    expect(done.stderr).toContain('no-such-python')
    expect(done.stderr).not.toContain('    at ')
    expect(JSON.parse(await readFile(join(folder, 'run', 'exit.json'), 'utf8')).outcome).toBe('failed')
  })

  it('a label outside the scheme is named with its file, exit 3', async () => {
    const folder = temporaryFolder()
    const data = join(folder, 'data', 'Mine')
    await runCli(['phantom', '--out', data, '--cases', '1', '--size', '48'])
    await writeFile(
      join(folder, 'run.yaml'),
      'job: baseline\ndata: { root: data, datasets: [{ name: Mine, role: labelled, labelMap: { "1": 1 } }] }\ntraining: { steps: 1 }\n',
    )
    const done = await runCli(['prepare', '--config', 'run.yaml'], { cwd: folder })
    expect(done.code).toBe(3)
    expect(done.stderr).toMatch(/phantom_000\.nii\.gz: label ids outside the map/)
  })
})
