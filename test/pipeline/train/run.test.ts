import { getEventListeners } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { RunConfig } from '../../../src/config/schema.js'
import type { FailureCard } from '../../../src/errors.js'
import { CheckpointError, ConfigError, RuntimeCrashError } from '../../../src/errors.js'
import type { ModelRuntime } from '../../../src/pipeline/ports/runtime.js'
import { readRun, writeRunReport } from '../../../src/pipeline/report/write.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { readEvents } from '../../../src/training/event-log.js'
import type { RunEvent } from '../../../src/training/events.js'
import type { Run } from '../../../src/training/run.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from './memory-run.js'

async function eventsOf(run: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

const stepsOf = (events: readonly RunEvent[]): number[] =>
  events.flatMap((event) => (event.type === 'step' ? [event.step] : []))
const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'))
const timeless = ({ time: _, ...event }: RunEvent): unknown => event

/** Waits for a step of a run by its events. */
async function reached(run: Run, step: number): Promise<void> {
  for await (const event of run) if (event.type === 'step' && event.step >= step) return
}

describe('a training that continues', () => {
  it('starts the run once, and resumes it the next time', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'run')
    const config = await memoryConfig('segmentation', folder, { training: { checkpointEverySteps: 1 } })
    const first = startTraining(config, memoryRuntime(), { out, continue: true })
    await reached(first, 2)
    await first.stop()
    await first.result
    const { step } = (await readJson(join(out, 'exit.json'))) as { step: number }
    const second = await eventsOf(startTraining(config, memoryRuntime(), { out, continue: true }))
    expect(stepsOf(second)[0]).toBe(step)
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ outcome: 'completed' })
  })

  it('starts the run if only another node has written into its directory', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'run')
    const config = await memoryConfig('segmentation', folder, { runtime: { nodes: 2 } })
    const place = { out, rendezvous: '127.0.0.1:1', continue: true }
    for (const nodeRank of [1, 0]) await startTraining(config, memoryRuntime(), { ...place, nodeRank }).result
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ outcome: 'completed' })
  })

  it('waits for the lock of another process, and stops waiting on request', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'run')
    const config = await memoryConfig('segmentation', folder)
    let held = 1
    const runtime = memoryRuntime()
    const lock: ModelRuntime['lock'] = async (directory, work) => {
      if (held-- > 0) throw work.refusal(directory, { pid: 7, host: 'n1' })
      return await runtime.lock(directory, work)
    }
    const waiting = { ...runtime, lock }
    const reasons: string[] = []
    const onLockWait = (reason: string): void => void reasons.push(reason)
    const options = { out, continue: true, lockWaitSeconds: 60, onLockWait }
    expect(await startTraining(config, waiting, options).result).toMatchObject({ outcome: 'completed' })
    expect(reasons).toEqual([`${out} is being trained by process 7 on host n1`])
    held = Number.POSITIVE_INFINITY
    const stop = new AbortController()
    const stopped = startTraining(config, waiting, { ...options, signal: stop.signal })
    stop.abort('enough')
    await expect(stopped.result).rejects.toThrow('enough')
    held = 1
    await expect(startTraining(config, waiting, { out, continue: true }).result).rejects.toThrow(
      'process 7 on host n1',
    )
  })
})

describe('a training on two hosts', () => {
  const rendezvous = '127.0.0.1:1'

  it('writes the files of each node next to each other, and checkpoints and report on node 0', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('segmentation', folder, {
      training: { validateEverySteps: 3, checkpointEverySteps: 4 },
      runtime: { nodes: 2 },
    })
    const out = join(folder, 'run')
    for (const nodeRank of [0, 1])
      await startTraining(config, memoryRuntime(), { out, nodeRank, rendezvous }).result
    const names = await readdir(out)
    expect(names).toEqual(
      expect.arrayContaining([
        ...['events.jsonl', 'exit.json', 'ledger.jsonl', 'plan.json', 'report.html'],
        ...['events.node-1.jsonl', 'exit.node-1.json', 'ledger.node-1.jsonl', 'plan.node-1.json'],
      ]),
    )
    expect(names).not.toContain('report.node-1.html')
    const items = async (name: string): Promise<number[]> => {
      const lines = (await readFile(join(out, name), 'utf8')).trim().split('\n')
      return lines.map((line) => (JSON.parse(line) as { item: number }).item)
    }
    const [first, second] = [await items('ledger.jsonl'), await items('ledger.node-1.jsonl')]
    const perStep = config.sampling.itemsPerStep
    expect(first.every((item) => item % perStep < perStep / 2)).toBe(true)
    expect(second.every((item) => item % perStep >= perStep / 2)).toBe(true)
    // the report has the tumors of both
    const { tumors } = await readRun(out)
    const tried = tumors!.rows.reduce((sum, row) => sum + row.tried, tumors!.noRoom)
    expect(tried).toBe(first.length + second.length)
  })

  it('is not begun twice by the same node, nor without a rendezvous', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { runtime: { nodes: 2 } })
    const out = join(folder, 'run')
    await startTraining(config, memoryRuntime(), { out, nodeRank: 1, rendezvous }).result
    await expect(
      startTraining(config, memoryRuntime(), { out, nodeRank: 1, rendezvous }).result,
    ).rejects.toThrow('already holds a run of node 1')
    const resumed = await startTraining(config, memoryRuntime(), { resume: out, nodeRank: 1, rendezvous })
      .result
    expect(resumed).toMatchObject({ outcome: 'completed' })
    await expect(
      startTraining(config, memoryRuntime(), { out: join(folder, 'other') }).result,
    ).rejects.toThrow('2 nodes need a rendezvous')
    const alone = await memoryConfig('baseline', folder)
    await expect(
      startTraining(alone, memoryRuntime(), { out: join(folder, 'other'), nodeRank: 1, rendezvous }).result,
    ).rejects.toThrow('node rank 1 is not one of 1 nodes')
  })

  it('takes no weights that each host would train for itself', async () => {
    const config = await memoryConfig('segmentation', temporaryFolder(), { runtime: { nodes: 2 } })
    const { baseline } = config.networks
    const making = {
      ...config,
      networks: {
        ...config.networks,
        baseline: baseline && { ...baseline, checkpoint: null, trainFrom: 'b.yaml' },
      },
    }
    const run = startTraining(making, memoryRuntime(), { out: join(temporaryFolder(), 'run'), rendezvous })
    await expect(run.result).rejects.toThrow(
      'networks.baseline.trainFrom: several nodes would each train their own',
    )
  })
})

describe('a training', () => {
  it('reports its events in order, and its event log has the same', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { validateEverySteps: 3, checkpointEverySteps: 4 },
    })
    const out = join(folder, 'run')
    const run = startTraining(config, memoryRuntime(), { out })
    const events = await eventsOf(run)
    const told = events.flatMap((event) => ('step' in event ? [`${event.type} ${event.step}`] : []))
    expect(told).toEqual([
      'started 0',
      ...['step 0', 'step 1', 'step 2', 'validation 3', 'checkpoint 3', 'step 3', 'checkpoint 4'],
      ...['step 4', 'step 5', 'validation 6', 'checkpoint 6', 'finished 6'],
    ])
    const logged = await eventsOf(readEvents(join(out, 'events.jsonl')))
    expect(logged).toEqual(events)
    expect(await readJson(join(out, 'exit.json'))).toEqual({
      outcome: 'completed',
      reason: 'all steps are done',
      step: 6,
      exitCode: 0,
    })
    const result = await run.result
    expect(result).toMatchObject({ outcome: 'completed', directory: out, step: 6 })
    expect(result.checkpoint).toBe(join(out, 'checkpoints', 'step_00000006'))
    expect(result.history.map(({ step }) => step)).toEqual([3, 6])
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('debug-baseline')
  })

  it('leaves a report that the events a program has read make again, to the byte', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('segmentation', folder, { training: { validateEverySteps: 3 } })
    const out = join(folder, 'run')
    const events = await eventsOf(startTraining(config, memoryRuntime(), { out }))
    const report = await readFile(join(out, 'report.html'), 'utf8')
    await rm(join(out, 'report.html'))
    const replayed = events.map((event) => `${JSON.stringify(event)}\n`).join('')
    await writeFile(join(out, 'events.jsonl'), replayed)
    await writeRunReport(out)
    expect(await readFile(join(out, 'report.html'), 'utf8')).toBe(report)
    expect(report).toContain('<svg')
  })

  it('marks a validation as the best only when it is better than all before', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { validateEverySteps: 2 } })
    const events = await eventsOf(startTraining(config, memoryRuntime(), { out: join(folder, 'run') }))
    const validations = events.filter((event) => event.type === 'validation')
    expect(validations.map(({ best }) => best)).toEqual([true, true, true])
    expect(validations.map(({ tumorDice }) => tumorDice)).toEqual(
      [2, 4, 6].map((found) => expect.closeTo((2 * found) / (2 * found + 1 + (6 - found)), 6)),
    )
  })

  it('judges every tumor of a step once, whatever the number of ranks, and gives the same ledger', async () => {
    const ledgers = []
    for (const ranks of [1, 2]) {
      const folder = temporaryFolder()
      const config = await memoryConfig('segmentation', folder, { ranks })
      const out = join(folder, 'run')
      const events = await eventsOf(startTraining(config, memoryRuntime(), { out }))
      const lines = (await readFile(join(out, 'ledger.jsonl'), 'utf8')).trim().split('\n')
      const ledger = lines.map((line) => JSON.parse(line) as { verdict: string })
      const synthesis = events.filter((event) => event.type === 'synthesis')
      expect(synthesis).toHaveLength(6)
      const tried = synthesis.reduce((sum, event) => sum + event.tried, 0)
      expect(tried).toBe(ledger.filter(({ verdict }) => verdict !== 'noRoom').length)
      const kept = synthesis.reduce((sum, event) => sum + event.kept, 0)
      expect(kept).toBe(ledger.filter(({ verdict }) => verdict === 'accepted').length)
      ledgers.push(lines.sort())
    }
    expect(ledgers[1]).toEqual(ledgers[0])
  })

  it('refuses a directory that holds a run already, and leaves that run as it was', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder)
    const out = join(folder, 'run')
    await startTraining(config, memoryRuntime(), { out }).result
    const before = await readFile(join(out, 'events.jsonl'), 'utf8')
    const again = startTraining(config, memoryRuntime(), { out })
    await expect(again.result).rejects.toMatchObject({ code: 'usage', exitCode: 2 })
    await expect(eventsOf(again)).rejects.toThrow(/already holds a run/)
    expect(await readFile(join(out, 'events.jsonl'), 'utf8')).toBe(before)
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ outcome: 'completed' })
  })

  it('refuses weights that it cannot use before any case is prepared', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('segmentation', folder)
    const runtime = memoryRuntime({
      inspect: () => {
        throw new CheckpointError('baseline.pt is no checkpoint')
      },
      prepare: () => expect.unreachable('a case was prepared'),
    })
    const run = startTraining(config, runtime, { out: join(folder, 'run') })
    await expect(run.result).rejects.toMatchObject({ code: 'checkpoint', exitCode: 2 })
  })
})

describe('a command', () => {
  it('names the step from which on it holds, and is in the events', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 30 } })
    const run = startTraining(config, memoryRuntime(), { out: join(folder, 'run') })
    await reached(run, 3)
    const step = await run.setLearningRate(5e-5)
    const saved = await run.checkpoint()
    expect(saved).toBeGreaterThanOrEqual(step)
    const events = await eventsOf(run)
    const rates = events.flatMap((event) => (event.type === 'step' ? [[event.step, event.learningRate]] : []))
    expect(rates).toEqual(
      Array.from({ length: 30 }, (_, at) => [at, at < step ? config.training.learningRate : 5e-5]),
    )
    expect(events.map(timeless)).toContainEqual({
      type: 'command',
      command: 'setLearningRate',
      step,
      value: 5e-5,
    })
    const checkpoints = events.flatMap((event) => (event.type === 'checkpoint' ? [event.step] : []))
    expect(checkpoints).toEqual([saved, 30])
  })

  it('given before the run is ready waits for it', async () => {
    const folder = temporaryFolder()
    const run = startTraining(await memoryConfig('baseline', folder), memoryRuntime(), {
      out: join(folder, 'run'),
    })
    expect(await run.setLearningRate(1e-3)).toBe(0)
    await run.result
  })

  it('pauses between two steps until the command to continue', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 20 } })
    const run = startTraining(config, memoryRuntime(), { out: join(folder, 'run') })
    await reached(run, 2)
    const step = await run.pause()
    expect(run.status()).toMatchObject({ job: 'baseline', phase: 'paused', step, steps: 20 })
    expect(await run.unpause()).toBe(step)
    expect(run.status().phase).toBe('training')
    expect(stepsOf(await eventsOf(run))).toEqual(Array.from({ length: 20 }, (_, at) => at))
  })

  it('that makes no sense is refused at once', async () => {
    const folder = temporaryFolder()
    const run = startTraining(await memoryConfig('baseline', folder), memoryRuntime(), {
      out: join(folder, 'run'),
    })
    expect(() => run.setLearningRate(Number.NaN)).toThrow(/expected a positive number, found NaN/)
    await run.result
    await expect(run.pause()).rejects.toMatchObject({ code: 'stopped' })
  })
})

describe('stopping', () => {
  it('saves, exits with code 75, and a resumed run gives the events of an uninterrupted one', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('segmentation', folder, { training: { steps: 12 } })
    const whole = await eventsOf(startTraining(config, memoryRuntime(), { out: join(folder, 'whole') }))

    const out = join(folder, 'broken')
    const broken = startTraining(config, memoryRuntime(), { out })
    await reached(broken, 4)
    const step = await broken.stop('enough')
    expect(await broken.result).toMatchObject({ outcome: 'stopped', reason: 'enough', step })
    expect(await readJson(join(out, 'exit.json'))).toEqual({
      outcome: 'stopped',
      reason: 'enough',
      step,
      exitCode: 75,
    })
    const resumed = startTraining(config, memoryRuntime(), { resume: out })
    await eventsOf(resumed)
    expect(await resumed.result).toMatchObject({ outcome: 'completed', step: 12 })
    const logged = await eventsOf(readEvents(join(out, 'events.jsonl')))
    const work = (events: RunEvent[]): unknown[] =>
      events.filter(({ type }) => type === 'step' || type === 'synthesis').map(timeless)
    expect(work(logged)).toEqual(work(whole))
    const ledgers = ['whole', 'broken'].map((name) => readFile(join(folder, name, 'ledger.jsonl'), 'utf8'))
    const [ofWhole, ofBroken] = await Promise.all(ledgers)
    expect(ofBroken).toBe(ofWhole)
  })

  it('removes events of steps after the checkpoint that it resumes from', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { checkpointEverySteps: 2 } })
    const out = join(folder, 'run')
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 5) throw new RuntimeCrashError('killed')
      },
    })
    await expect(startTraining(config, dies, { out }).result).rejects.toThrow('killed')
    await startTraining(config, memoryRuntime(), { resume: out }).result
    expect(stepsOf(await eventsOf(readEvents(join(out, 'events.jsonl'))))).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('by a signal that was aborted before ends the run without a step', async () => {
    const folder = temporaryFolder()
    const run = startTraining(await memoryConfig('baseline', folder), memoryRuntime(), {
      out: join(folder, 'run'),
      signal: AbortSignal.abort('too late'),
    })
    expect(stepsOf(await eventsOf(run))).toEqual([])
    expect(await run.result).toMatchObject({ outcome: 'stopped' })
  })

  it('by a signal during the run stops at a step boundary', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 1000 } })
    const controller = new AbortController()
    const run = startTraining(config, memoryRuntime(), {
      out: join(folder, 'run'),
      signal: controller.signal,
    })
    await reached(run, 2)
    controller.abort('SIGTERM')
    const { outcome, reason, step } = await run.result
    expect({ outcome, reason }).toEqual({ outcome: 'stopped', reason: 'SIGTERM' })
    expect(step).toBeLessThan(1000)
  })

  it('happens at the end of the block that owns the run', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 1000 } })
    let result: Run['result']
    {
      await using run = startTraining(config, memoryRuntime(), { out: join(folder, 'run') })
      result = run.result
      await reached(run, 1)
    }
    expect(await result).toMatchObject({ outcome: 'stopped', reason: 'disposed' })
  })
})

describe('a runtime that crashes', () => {
  it('ends the iterator, the result and waiting commands with the same error, and leaves evidence', async () => {
    const folder = temporaryFolder()
    const death = new RuntimeCrashError('rank 1 was killed', { hint: 'see the logs' })
    const runtime = memoryRuntime({
      beforeStep: (step) => {
        if (step === 3) throw death
      },
    })
    const out = join(folder, 'run')
    const run = startTraining(await memoryConfig('baseline', folder), runtime, { out })
    await expect(eventsOf(run)).rejects.toBe(death)
    await expect(run.result).rejects.toBe(death)
    await expect(run.checkpoint()).rejects.toBe(death)
    expect(await readJson(join(out, 'exit.json'))).toEqual({
      outcome: 'failed',
      reason: 'rank 1 was killed',
      step: 3,
      exitCode: 5,
    })
    const last = (await eventsOf(readEvents(join(out, 'events.jsonl')))).at(-1)
    expect(last).toMatchObject({ type: 'finished', outcome: 'failed' })
    expect(existsSync(join(out, 'report.html'))).toBe(true)
  })

  it('is recorded by the run permanently: a refused resume changes nothing', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder)
    const out = join(folder, 'run')
    const dies = memoryRuntime({
      beforeStep: () => {
        throw new RuntimeCrashError('at once')
      },
    })
    await expect(startTraining(config, dies, { out }).result).rejects.toThrow('at once')
    const before = await readFile(join(out, 'exit.json'), 'utf8')
    await mkdir(join(out, 'checkpoints/step_00000001.damaged'), { recursive: true })
    await expect(startTraining(config, memoryRuntime(), { resume: out }).result).rejects.toThrow(
      /holds no complete checkpoint to resume from: all checkpoints were renamed as damaged before/,
    )
    expect(await readFile(join(out, 'exit.json'), 'utf8')).toBe(before)
    expect((await readdir(out)).filter((name) => name.includes('.tmp'))).toEqual([])
  })
})

describe('a slow reader', () => {
  it('misses no event but merged steps, and does not hold up the run', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { steps: 600, validateEverySteps: 100, checkpointEverySteps: 150 },
    })
    const run = startTraining(config, memoryRuntime(), { out: join(folder, 'run') })
    const reader = run[Symbol.asyncIterator]()
    await reader.next()
    await run.result
    const seen: RunEvent[] = []
    for (let next = await reader.next(); !next.done; next = await reader.next()) seen.push(next.value)
    expect(seen.length).toBeLessThan(300)
    expect(seen.filter(({ type }) => type === 'validation')).toHaveLength(6)
    expect(seen.filter(({ type }) => type === 'checkpoint')).toHaveLength(8)
    expect(stepsOf(seen).at(-1)).toBe(599)
    const seconds = seen.flatMap((event) => (event.type === 'step' ? [event.seconds] : []))
    expect(seconds.reduce((sum, value) => sum + value, 0)).toBeCloseTo(6, 6)
  })
})

describe('a runtime that crashes and may be restarted', () => {
  const killed = (rank = 1, kind: FailureCard['kind'] = 'signal'): RuntimeCrashError => {
    const message = `rank ${rank} was killed`
    const card = {
      kind,
      rank,
      message,
      hint: '',
      signal: 'SIGKILL',
      exitCode: 1,
      traceback: '',
      lastLines: [],
      logs: '',
    }
    return new RuntimeCrashError(message, { facts: { card: { ...card, time: '' } } })
  }
  const restarting = { restarts: { max: 2, backoffSeconds: 0 } }

  it('resumes from its checkpoint with the steps and the ledger of an uninterrupted run', async () => {
    const folder = temporaryFolder()
    const change = { training: { steps: 12, checkpointEverySteps: 3 }, runtime: restarting }
    const config = await memoryConfig('segmentation', folder, change)
    await eventsOf(startTraining(config, memoryRuntime(), { out: join(folder, 'whole') }))
    const deaths = new Set([2, 7, 8])
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (deaths.delete(step)) throw killed()
      },
    })
    const out = join(folder, 'broken')
    const run = startTraining(config, dies, { out })
    const told = await eventsOf(run)
    expect(await run.result).toMatchObject({ outcome: 'completed', step: 12 })
    const restarts = told.filter((event) => event.type === 'restart')
    expect(restarts.map(({ diedAt, step, restart }) => [diedAt, step, restart])).toEqual([
      [2, 0, 1],
      [7, 6, 1],
      [8, 6, 2],
    ])
    const logs = ['whole', 'broken'].map(async (name) =>
      eventsOf(readEvents(join(folder, name, 'events.jsonl'))),
    )
    const [whole, broken] = await Promise.all(logs)
    const work = (events: RunEvent[]): unknown[] =>
      events.filter(({ type }) => type === 'step' || type === 'synthesis').map(timeless)
    expect(work(broken!)).toEqual(work(whole!))
    const ledgers = ['whole', 'broken'].map((name) => readFile(join(folder, name, 'ledger.jsonl'), 'utf8'))
    expect(await ledgers[1]).toBe(await ledgers[0])
    expect(await readJson(join(out, 'failure.json'))).toMatchObject({ kind: 'signal', rank: 1 })
  })

  it('is not restarted after too many crashes without a new checkpoint', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 9 }, runtime: restarting })
    let lives = 0
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 0) lives++
        if (step === 4) throw killed()
      },
    })
    const run = startTraining(config, dies, { out: join(folder, 'run') })
    await expect(run.result).rejects.toThrow('rank 1 was killed')
    expect(lives).toBe(3)
  })

  it('is given up at once when the same exception comes twice at the same step', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 9 }, runtime: restarting })
    let lives = 0
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 0) lives++
        if (step === 4) throw killed(0, 'exception')
      },
    })
    await expect(startTraining(config, dies, { out: join(folder, 'run') }).result).rejects.toThrow('rank 0')
    expect(lives).toBe(2)
  })

  it('is not begun again for a mistake of the user', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 9 }, runtime: restarting })
    let lives = 0
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 0) lives++
        if (step === 2) throw new ConfigError('networks.segmentor: wrong')
      },
    })
    const run = startTraining(config, dies, { out: join(folder, 'run') })
    await expect(run.result).rejects.toMatchObject({ code: 'config', exitCode: 2 })
    expect(lives).toBe(1)
  })

  it('keeps a learning rate that was set after its last checkpoint', async () => {
    const folder = temporaryFolder()
    const change = { training: { steps: 40, checkpointEverySteps: 5 }, runtime: restarting }
    const config = await memoryConfig('baseline', folder, change)
    let dead = false
    let set = -1
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (dead || set < 0 || step < set + 1 || step % 5 === 0) return
        dead = true
        throw killed()
      },
    })
    const run = startTraining(config, dies, { out: join(folder, 'run') })
    await reached(run, 2)
    set = await run.setLearningRate(5e-5)
    const events = await eventsOf(run)
    expect(events.filter(({ type }) => type === 'restart')).toHaveLength(1)
    const last = events.filter((event) => event.type === 'step').at(-1)!
    expect(last.learningRate).toBe(5e-5)
  })

  it('stops at its newest checkpoint while it waits for a restart', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { steps: 9, checkpointEverySteps: 3 },
      runtime: { restarts: { max: 2, backoffSeconds: 60 } },
    })
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 4) throw killed()
      },
    })
    const controller = new AbortController()
    const out = join(folder, 'run')
    const run = startTraining(config, dies, { out, signal: controller.signal })
    await reached(run, 3)
    while (run.status().phase !== 'starting') await new Promise((resolve) => setImmediate(resolve))
    controller.abort('enough')
    expect(await run.result).toMatchObject({ outcome: 'stopped', step: 3, reason: 'enough' })
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ step: 3, exitCode: 75 })
    expect((await run.result).checkpoint).toMatch(/step_00000003$/)
  })

  it('stops at the newest checkpoint on another node than node 0, too', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { steps: 9, checkpointEverySteps: 3 },
      runtime: { nodes: 2, restarts: { max: 2, backoffSeconds: 60 } },
    })
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step === 4) throw killed()
      },
    })
    const out = join(folder, 'run')
    const run = startTraining(config, dies, { out, nodeRank: 1, rendezvous: '127.0.0.1:1' })
    await reached(run, 3)
    while (run.status().phase !== 'starting') await new Promise((resolve) => setImmediate(resolve))
    expect(await run.stop('enough')).toBe(3)
    expect(await run.result).toMatchObject({ outcome: 'stopped', step: 3, reason: 'enough' })
  })

  it('has failed when it crashes before a requested stop and steps are lost', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { steps: 9, checkpointEverySteps: 3 },
      runtime: restarting,
    })
    const controller = new AbortController()
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step !== 4) return
        controller.abort('enough')
        throw killed()
      },
    })
    const out = join(folder, 'run')
    const run = startTraining(config, dies, { out, signal: controller.signal })
    await expect(run.result).rejects.toMatchObject({ code: 'runtime', message: 'rank 1 was killed' })
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ outcome: 'failed', exitCode: 5 })
  })

  it('has stopped when it crashes before a requested stop and no step is lost', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, {
      training: { steps: 9, checkpointEverySteps: 3 },
      runtime: restarting,
    })
    const controller = new AbortController()
    const dies = memoryRuntime({
      beforeStep: (step) => {
        if (step !== 3) return
        controller.abort('enough')
        throw killed()
      },
    })
    const out = join(folder, 'run')
    const run = startTraining(config, dies, { out, signal: controller.signal })
    expect(await run.result).toMatchObject({ outcome: 'stopped', step: 3 })
  })
})

describe('a stop before the runtime starts', () => {
  it('ends the preparation of data, and the run resumes from step 0', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder)
    const out = join(folder, 'run')
    const controller = new AbortController()
    const stopsInPreparation = memoryRuntime()
    const run = startTraining(
      config,
      {
        ...stopsInPreparation,
        prepare: (spec, call) => {
          controller.abort('enough')
          return stopsInPreparation.prepare(spec, call)
        },
      },
      { out, signal: controller.signal },
    )
    expect(await run.result).toMatchObject({ outcome: 'stopped', step: 0, checkpoint: null })
    expect(await readJson(join(out, 'exit.json'))).toMatchObject({ outcome: 'stopped', exitCode: 75 })
    expect(await startTraining(config, memoryRuntime(), { resume: out }).result).toMatchObject({
      outcome: 'completed',
    })
  })

  it('is obeyed by stop() as by a signal', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder)
    const run = startTraining(config, memoryRuntime(), { out: join(folder, 'run') })
    expect(await run.stop('enough')).toBe(0)
    expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'enough', step: 0 })
  })
})

describe('a stop by another process', () => {
  it('is answered before the control of the run closes', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder)
    let answer: Promise<number> | null = null
    const runtime: ModelRuntime = {
      ...memoryRuntime(),
      // as the run service does: it closes when every call has its answer
      share: async (run) => {
        answer = run.stop('enough')
        return { [Symbol.asyncDispose]: async () => void (await answer) }
      },
    }
    const run = startTraining(config, runtime, { out: join(folder, 'run') })
    expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'enough', step: 0 })
    expect(await answer).toBe(0)
  })
})

describe('several trainings on one signal', () => {
  it('share one listener, are all stopped by it, and leave none', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 100_000 } })
    const runs = Array.from({ length: 12 }, (_, at) =>
      startTraining(config, memoryRuntime(), { out: join(folder, `run-${at}`), signal }),
    )
    await reached(runs[0]!, 1)
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    controller.abort('enough')
    const results = await Promise.all(runs.map((run) => run.result))
    for (const result of results) expect(result).toMatchObject({ outcome: 'stopped', reason: 'enough' })
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })
})

it('a training that fails ends a wait for its checkpoint with its own error', async () => {
  const folder = temporaryFolder()
  const config = await memoryConfig('baseline', folder, { training: { steps: 100_000 } })
  const run = startTraining(
    config,
    memoryRuntime({
      beforeStep: (step) => {
        if (step === 3) throw new RuntimeCrashError('rank 0 died')
      },
    }),
    { out: join(folder, 'run') },
  )
  await expect(run.result).rejects.toThrow('rank 0 died')
  await expect(run.checkpoint()).rejects.toThrow('rank 0 died')
})

describe('a curriculum', () => {
  const small = { organ: 'pancreas', diameterMm: [0, 5], found: 0, missed: 3 } as const
  const larger = { organ: 'liver', diameterMm: [5, 10], found: 0, missed: 3 } as const
  const configOf = async (...curriculum: object[]) => {
    const config = await memoryConfig('segmentation', temporaryFolder())
    return { ...config, simulation: { ...config.simulation, curriculum } } as RunConfig
  }

  it('with an organ that cannot be aimed at is a warning of the run', async () => {
    const events = await eventsOf(startTraining(await configOf(small, larger), memoryRuntime(), {}))
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'note',
        level: 'warning',
        text: expect.stringContaining('aims at no diameter of the pancreas'),
      }),
    )
  })

  it('that aims at nothing is refused before a case is prepared', async () => {
    let prepared = 0
    const runtime = memoryRuntime()
    const counting: ModelRuntime = {
      ...runtime,
      prepare: (...call) => {
        prepared++
        return runtime.prepare(...call)
      },
    }
    await expect(startTraining(await configOf(small), counting, {}).result).rejects.toThrow(
      /aims at no tumor/,
    )
    expect(prepared).toBe(0)
  })
})
