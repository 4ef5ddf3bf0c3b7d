import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { decidingHash } from '../../../src/config/changes.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput, RunConfig } from '../../../src/config/schema.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { readEvents } from '../../../src/training/event-log.js'
import type { RunEvent } from '../../../src/training/events.js'
import type { RunResult, TrainOptions } from '../../../src/training/run.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from './memory-run.js'

async function trained(
  config: RunConfig,
  options: TrainOptions,
  runtime = memoryRuntime(),
): Promise<{ events: RunEvent[]; result: RunResult }> {
  const run = startTraining(config, runtime, options)
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return { events, result: await run.result }
}

async function logged(run: string): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of readEvents(join(run, 'events.jsonl'))) events.push(event)
  return events
}

const over = (config: RunConfig, change: Partial<ConfigInput>): RunConfig =>
  resolveConfig({
    ...config,
    ...change,
    training: { ...config.training, ...change.training },
    runtime: { ...config.runtime, ...change.runtime },
  } as ConfigInput)

const stepsOf = (events: readonly RunEvent[]): unknown[] =>
  events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))
const notesOf = (events: readonly RunEvent[], level: 'info' | 'warning'): string[] =>
  events.flatMap((event) => (event.type === 'note' && event.level === level ? [event.text] : []))
const checkpointsOf = (run: string): string[] => readdirSync(join(run, 'checkpoints')).sort()

/** A calibration of 9 real liver tumors with the same detected fraction. */
function writeCalibration(shareSeen: number): string {
  const file = join(temporaryFolder(), 'calibration.json')
  const tumor = { case: 'a', organ: 'liver', volumeMl: 1, shareSeen }
  const content = { format: 'freetumor calibration', version: 1, segmentor: null, healthy: null }
  writeFileSync(file, JSON.stringify({ ...content, realTumors: Array.from({ length: 9 }, () => tumor) }))
  return file
}

/** A baseline of 6 steps that was saved after each and stopped after the fourth. */
async function halfDone(
  change: Parameters<typeof memoryConfig>[2] = {},
): Promise<{ config: RunConfig; run: string; folder: string }> {
  const folder = temporaryFolder()
  const training = { checkpointEverySteps: 1, ...change.training }
  const config = await memoryConfig('segmentation', folder, { ...change, training })
  const run = join(folder, 'run')
  const dies = memoryRuntime({
    beforeStep: (step) => {
      if (step === 4) throw new Error('killed')
    },
  })
  await expect(startTraining(config, dies, { out: run }).result).rejects.toThrow('killed')
  return { config, run, folder }
}

describe('a run whose newest checkpoint is damaged', () => {
  it('resumes from the previous one, reports it in its events, and ends as an uninterrupted run', async () => {
    const { config, run, folder } = await halfDone()
    writeFileSync(join(run, 'checkpoints', 'step_00000004', 'model.pt'), 'weights of step 5')
    const { events, result } = await trained(config, { resume: run })
    expect(result.outcome).toBe('completed')
    expect(events.find((event) => event.type === 'started')).toMatchObject({ step: 3 })
    const [passed, from] = notesOf(await logged(run), 'warning')
    expect(passed).toContain('checkpoint step_00000004 is damaged')
    expect(from).toBe('resuming from the checkpoint of step 3')
    const whole = await trained(config, { out: join(folder, 'whole') })
    expect(stepsOf(await logged(run))).toEqual(stepsOf(whole.events))
    expect(readFileSync(join(run, 'ledger.jsonl'), 'utf8')).toBe(
      readFileSync(join(folder, 'whole', 'ledger.jsonl'), 'utf8'),
    )
  })

  it('is refused when no other is whole', async () => {
    const { config, run } = await halfDone()
    for (const name of checkpointsOf(run).filter((one) => one.startsWith('step_')))
      rmSync(join(run, 'checkpoints', name, 'model.pt'))
    await expect(startTraining(config, memoryRuntime(), { resume: run }).result).rejects.toMatchObject({
      code: 'checkpoint',
      message: expect.stringContaining('model.pt is missing'),
    })
  })
})

describe('a run that crashed before its first checkpoint', () => {
  it('restarts from step 0, logs it, and ends like an uninterrupted one', async () => {
    const { config, run, folder } = await halfDone({ training: { checkpointEverySteps: null } })
    const { events, result } = await trained(config, { resume: run })
    expect(result.outcome).toBe('completed')
    expect(events.find((event) => event.type === 'started')).toMatchObject({ step: 0 })
    expect(notesOf(await logged(run), 'warning')).toContain(
      'the run has no checkpoint: it restarts from step 0',
    )
    const whole = await trained(config, { out: join(folder, 'whole') })
    expect(stepsOf(await logged(run))).toEqual(stepsOf(whole.events))
    expect(readFileSync(join(run, 'ledger.jsonl'), 'utf8')).toBe(
      readFileSync(join(folder, 'whole', 'ledger.jsonl'), 'utf8'),
    )
  })

  it('is not made of any folder', async () => {
    const { config, folder } = await halfDone()
    await expect(startTraining(config, memoryRuntime(), { resume: folder }).result).rejects.toMatchObject({
      code: 'usage',
      message: `${folder}: holds no run to resume`,
    })
  })
})

describe('a run that was killed inside a save', () => {
  it('leaves no litter after the next start', async () => {
    const { config, run } = await halfDone()
    mkdirSync(join(run, 'checkpoints', 'step_00000005.tmp.99'))
    writeFileSync(join(run, 'checkpoints', 'latest.tmp'), 'step_00000005')
    writeFileSync(join(run, 'plan.json.tmp.99'), '{')
    await trained(config, { resume: run })
    const litter = [...readdirSync(run), ...checkpointsOf(run)].filter((name) => name.includes('.tmp'))
    expect(litter).toEqual([])
  })
})

describe('a changed configuration', () => {
  it('is refused with the keys, and the run stays as it was', async () => {
    const { config, run } = await halfDone()
    const before = readdirSync(run).map((name) => [name, existsSync(join(run, 'exit.json'))])
    const events = readFileSync(join(run, 'events.jsonl'), 'utf8')
    const other = over(config, { seed: 8, training: { learningRate: 0.5 } })
    await expect(startTraining(other, memoryRuntime(), { resume: run }).result).rejects.toMatchObject({
      code: 'config',
      exitCode: 2,
      message: expect.stringMatching(/seed \(0 -> 8\), training\.learningRate \(0\.006 -> 0\.5\)/),
      hint: expect.stringContaining('acceptChanges'),
      facts: { keys: ['seed', 'training.learningRate'] },
    })
    expect(readdirSync(run).map((name) => [name, existsSync(join(run, 'exit.json'))])).toEqual(before)
    expect(readFileSync(join(run, 'events.jsonl'), 'utf8')).toBe(events)
  })

  it("is resumed when that is accepted, and is the run's own afterwards", async () => {
    const { config, run } = await halfDone()
    const other = over(config, { quality: { ...config.quality, shareSeenThreshold: 0.9 } })
    const { events } = await trained(other, { resume: run, acceptChanges: true })
    expect(notesOf(events, 'warning').join()).toContain('quality.shareSeenThreshold (0.5 -> 0.9)')
    expect(readFileSync(join(run, 'config.resolved.yaml'), 'utf8')).toContain('shareSeenThreshold: 0.9')
    const again = await trained(other, { resume: run })
    expect(notesOf(again.events, 'warning')).toEqual([])
  })

  it('by keys that a newer version has added needs no acceptance', async () => {
    const { config, run } = await halfDone()
    const record = join(run, 'config.resolved.yaml')
    const { attempts: _, ...quality } = config.quality
    const earlier = { ...config, quality }
    writeFileSync(record, stringify(earlier))
    const manifest = join(run, 'checkpoints', checkpointsOf(run).at(-1)!, 'manifest.json')
    const written = JSON.parse(readFileSync(manifest, 'utf8'))
    written.madeBy.config = decidingHash(earlier)
    writeFileSync(manifest, JSON.stringify(written))
    const { events } = await trained(config, { resume: run })
    expect(notesOf(events, 'warning')).toEqual([])
  })

  it('that only extends the run is reported and needs no acceptance', async () => {
    const { config, run } = await halfDone()
    const { events, result } = await trained(over(config, { training: { steps: 9 } }), { resume: run })
    expect(result).toMatchObject({ outcome: 'completed', step: 9 })
    expect(notesOf(events, 'info').join()).toContain('training.steps (6 -> 9)')
  })

  it('of the number of threads or ranks is warned of', async () => {
    const { config, run } = await halfDone()
    const runtime = { threadsPerProcess: 2, processesPerNode: 2 }
    const { events } = await trained(over(config, { runtime }), { resume: run })
    expect(notesOf(events, 'warning')).toEqual([
      expect.stringMatching(/processesPerNode \(1 -> 2\), runtime\.threadsPerProcess \(1 -> 2\).*last bits/),
    ])
  })
})

describe('changed data', () => {
  const without = (config: RunConfig): RunConfig => {
    const [labelled] = config.data.datasets
    return over(config, { data: { ...config.data, datasets: [labelled!] } })
  }

  it('are refused with the cases, and accepted on request', async () => {
    const { config, run } = await halfDone()
    const refused = startTraining(without(config), memoryRuntime(), { resume: run })
    await expect(refused.result).rejects.toMatchObject({
      code: 'data',
      message: expect.stringMatching(/2 cases are gone: phantom_hosts\S+, phantom_hosts\S+/),
      hint: expect.stringContaining('acceptChanges'),
    })
    const { events, result } = await trained(without(config), { resume: run, acceptChanges: true })
    expect(result.outcome).toBe('completed')
    expect(notesOf(events, 'warning').join()).toContain('resuming with other data (2 cases are gone')
  })

  it('are seen by the voxels of a case, wherever the files lie', async () => {
    const { config, run } = await halfDone()
    const moved = over(config, { prepare: { ...config.prepare, cache: join(temporaryFolder(), 'cache') } })
    expect((await trained(moved, { resume: run })).result.outcome).toBe('completed')
    const runtime = memoryRuntime()
    const altered = {
      ...runtime,
      async *prepare(...call: Parameters<typeof runtime.prepare>) {
        for await (const one of runtime.prepare(...call))
          yield 'result' in one && one.caseId.includes('hosts')
            ? { ...one, result: { ...one.result, contentSha256: 'other' } }
            : one
      },
    }
    await expect(startTraining(config, altered, { resume: run }).result).rejects.toThrow(
      /2 cases are changed/,
    )
  })

  it('are seen by the calibration of the quality policy, wherever its file lies', async () => {
    const file = writeCalibration(0.4)
    const quality = { policy: 'calibrated', calibration: file, attempts: 2 } as const
    const { config, run } = await halfDone({ quality })
    const moved = writeCalibration(0.4)
    const elsewhere = over(config, { quality: { ...config.quality, calibration: moved } })
    expect((await trained(elsewhere, { resume: run })).result.outcome).toBe('completed')
    writeFileSync(moved, readFileSync(file, 'utf8').replace('0.4', '0.5'))
    await expect(startTraining(elsewhere, memoryRuntime(), { resume: run }).result).rejects.toThrow(
      /the calibration, or the weights or plug-ins/,
    )
  })

  it('are seen by the weights that the run paints and judges by', async () => {
    const { config, run, folder } = await halfDone()
    writeFileSync(join(folder, 'baseline.pt'), 'other weights')
    await expect(startTraining(config, memoryRuntime(), { resume: run }).result).rejects.toThrow(
      /the weights or plug-ins that the run builds on/,
    )
  })
})

describe('another number of ranks', () => {
  it('resumes with the same items', async () => {
    const { config, run, folder } = await halfDone()
    await trained(over(config, { runtime: { processesPerNode: 2 } }), { resume: run })
    await trained(config, { out: join(folder, 'whole') })
    const lines = (name: string) =>
      readFileSync(join(folder, name, 'ledger.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .sort()
    expect(lines('run')).toEqual(lines('whole'))
  })
})

describe('validations', () => {
  /** Finds most after step 2. */
  const peaks = { found: (step: number) => (step === 2 ? 5 : 3) }

  it('keep the best checkpoint whatever is pruned, and `best` names it after a resume, too', async () => {
    const { run, config } = await halfDone({ training: { validateEverySteps: 1, keepCheckpoints: 1 } })
    expect(readFileSync(join(run, 'checkpoints', 'best'), 'utf8')).toBe('step_00000004')
    const { result } = await trained(config, { resume: run }, memoryRuntime({ found: (step) => 6 - step }))
    expect(result.best).toBe(join(run, 'checkpoints', 'step_00000004'))
    expect(result.checkpoint).toBe(join(run, 'checkpoints', 'step_00000006'))
    expect(checkpointsOf(run)).toEqual(['best', 'latest', 'step_00000004', 'step_00000006'])
    expect(result.history.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('end a run without improvement as completed, with the reason; a resumed run ends the same', async () => {
    const folder = temporaryFolder()
    const training = { validateEverySteps: 1, earlyStop: { patience: 2, minDelta: 0 } }
    const config = await memoryConfig('baseline', folder, { training })
    const out = join(folder, 'run')
    const { result } = await trained(config, { out }, memoryRuntime(peaks))
    expect(result).toMatchObject({
      outcome: 'completed',
      step: 4,
      best: join(out, 'checkpoints', 'step_00000002'),
    })
    expect(result.reason).toContain('early stop')
    expect(JSON.parse(readFileSync(join(out, 'exit.json'), 'utf8'))).toMatchObject({ exitCode: 0, step: 4 })
    const again = await trained(config, { resume: out }, memoryRuntime(peaks))
    expect(again.result).toMatchObject({ outcome: 'completed', step: 4, reason: result.reason })
    expect(stepsOf(again.events)).toEqual([])
    // what ended it may be lifted
    const longer = await trained(over(config, { training: { earlyStop: null } }), { resume: out })
    expect(longer.result).toMatchObject({ outcome: 'completed', step: 6 })
  })

  it('may be counted in epochs', async () => {
    const folder = temporaryFolder()
    // an epoch of the two labelled phantoms is one step of two items
    const config = await memoryConfig('baseline', folder, { training: { validateEveryEpochs: 2 } })
    const { events } = await trained(config, { out: join(folder, 'run') })
    expect(events.flatMap((event) => (event.type === 'validation' ? [event.step] : []))).toEqual([2, 4, 6])
  })
})

describe('a run of another version', () => {
  it('is resumed when its format is known, and when it is from before versions were recorded', async () => {
    for (const earlier of ['recorded', 'unrecorded']) {
      const { config, run } = await halfDone()
      const file = join(run, 'version.json')
      expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ format: 1 })
      if (earlier === 'recorded') writeFileSync(file, '{"freetumor":"0.0.9","format":1}')
      else rmSync(file)
      expect((await trained(config, { resume: run })).result).toMatchObject({ outcome: 'completed' })
    }
  })

  it('is refused with the version that can resume it, and left as it was', async () => {
    const { config, run } = await halfDone()
    writeFileSync(join(run, 'version.json'), '{"freetumor":"9.1.0","format":2}')
    const before = readdirSync(run).sort()
    await expect(startTraining(config, memoryRuntime(), { resume: run }).result).rejects.toMatchObject({
      code: 'usage',
      message: `${run}: made by freetumor 9.1.0 (expected run format 1, found 2)`,
      hint: expect.stringContaining('npx freetumor@9.1.0 train --resume'),
    })
    expect(readdirSync(run).sort()).toEqual(before)
    writeFileSync(join(run, 'version.json'), '{"freetumor":"1; rm -rf x","format":2}')
    await expect(startTraining(config, memoryRuntime(), { resume: run }).result).rejects.toThrow(
      'version.json: is not a version record',
    )
  })
})
