import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { ModelRuntime } from '../../src/pipeline/ports/runtime.js'
import { startTraining } from '../../src/pipeline/train/run.js'
import type { InMemoryAnswers } from '../../src/runtime/in-memory.js'
import { connectRun, type RemoteRun, shareRun } from '../../src/runtime/run-service.js'
import type { RunEvent } from '../../src/training/events.js'
import type { Run } from '../../src/training/run.js'
import { openRunClient } from '../../src/transport/run-client.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../pipeline/train/memory-run.js'

/** Trains in memory, and is shared as a real run is. */
const sharedRuntime = (answers: InMemoryAnswers = {}): ModelRuntime => ({
  ...memoryRuntime(answers),
  share: shareRun,
})

async function begun(steps: number, answers: InMemoryAnswers = {}): Promise<Run> {
  const folder = temporaryFolder()
  const config = await memoryConfig('baseline', folder, { training: { steps, validateEverySteps: 50 } })
  const run = startTraining(config, sharedRuntime(answers), { out: join(folder, 'run') })
  onTestFinished(async () => run[Symbol.asyncDispose]())
  for await (const event of run) if (event.type === 'step') break
  return run
}

async function connected(run: Run): Promise<RemoteRun> {
  const remote = await connectRun(run.directory)
  if (!remote) throw new Error('nobody serves the run')
  onTestFinished(() => remote.close())
  return remote
}

it('leaves no folder for sockets behind when a run cannot be shared', async () => {
  const temporary = join(temporaryFolder(), 'long'.repeat(25))
  mkdirSync(temporary)
  const run = await begun(100_000)
  vi.stubEnv('TMPDIR', temporary)
  onTestFinished(() => void vi.unstubAllEnvs())
  await expect(shareRun(run, 'other.json')).rejects.toThrow(/socket path too long/)
  expect(readdirSync(temporary)).toEqual([])
})

describe('a run in another process', () => {
  it('reports its state, accepts commands, and ends by them', async () => {
    const run = await begun(100_000)
    const remote = await connected(run)
    expect(remote.pid).toBe(process.pid)
    const paused = await remote.pause()
    expect(await remote.status()).toEqual({ ...run.status(), phase: 'paused', step: paused })
    expect(await remote.setLearningRate(5e-5).catch((error: Error) => error)).toBe(paused)
    expect(await remote.checkpoint()).toBe(paused)
    await remote.unpause()
    const stopped = await remote.stop('from outside')
    expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'from outside', step: stopped })
  })

  it('sends all its events from the first to the last to every reader', async () => {
    const run = await begun(120)
    const remote = await connected(run)
    const events: RunEvent[] = []
    for await (const event of remote) events.push(event)
    expect(events.filter(({ type }) => type === 'started')).toHaveLength(1)
    expect(events.filter(({ type }) => type === 'validation')).toHaveLength(3)
    expect(events.at(-1)).toMatchObject({ type: 'finished', outcome: 'completed', step: 120 })
  })

  it('refuses a command with its own error', async () => {
    const run = await begun(100_000)
    const remote = await connected(run)
    await expect(remote.setLearningRate(-1)).rejects.toMatchObject({
      code: 'usage',
      message: 'setLearningRate: wrong value (expected a positive number, found -1)',
    })
  })

  it('cannot be reached with another token, and its socket and token are for its owner only', async () => {
    const run = await begun(100_000)
    const file = join(run.directory, 'control.json')
    const control = JSON.parse(readFileSync(file, 'utf8')) as { address: string }
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(control.address.replace('unix:', '')).mode & 0o777).toBe(0o600)
    const stranger = openRunClient(control.address, 'another token')
    onTestFinished(() => stranger.close())
    await expect(stranger.status()).rejects.toThrow(/wrong token/)
    await expect(stranger.act({ type: 'stop', reason: 'x' })).rejects.toThrow(/wrong token/)
    await expect(stranger.watch()[Symbol.asyncIterator]().next()).rejects.toThrow(/wrong token/)
    expect(run.status().phase).toBe('training')
  })

  it('leaves nothing to connect to when it has ended, or failed', async () => {
    const run = await begun(3)
    await run.result
    expect(existsSync(join(run.directory, 'control.json'))).toBe(false)
    expect(await connectRun(run.directory)).toBeNull()
    const failing = await begun(10, {
      beforeStep: (step) => {
        if (step === 5) throw new Error('dies')
      },
    })
    await failing.result.catch(() => {})
    expect(readdirSync(failing.directory)).not.toContain('control.json')
  })

  it('is not trained twice at a time', async () => {
    const run = await begun(100_000)
    await run.checkpoint()
    const config = await memoryConfig('baseline', temporaryFolder())
    const second = startTraining(config, sharedRuntime(), { resume: run.directory })
    await expect(second.result).rejects.toMatchObject({
      code: 'usage',
      message: `${run.directory} is being trained by process ${process.pid} on host ${hostname()}`,
    })
    expect(run.status().phase).toBe('training')
  })

  it('is not begun twice at the same moment, nor begun again while it runs', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('baseline', folder, { training: { steps: 100_000 } })
    const out = join(folder, 'run')
    const runs = [0, 1, 2].map(() => startTraining(config, sharedRuntime(), { out }))
    for (const run of runs) onTestFinished(async () => run[Symbol.asyncDispose]())
    const refusal = {
      code: 'usage',
      message: `${out} is being trained by process ${process.pid} on host ${hostname()}`,
    }
    const refused = await Promise.any(
      runs.map((run) =>
        run.result.then(
          () => null,
          () => run,
        ),
      ),
    )
    const left = runs.filter((run) => run !== refused)
    await expect(refused?.result).rejects.toMatchObject(refusal)
    const ends = left.map((run) =>
      run.result.then(
        () => null,
        (error: unknown) => ({ run, error }),
      ),
    )
    const second = await Promise.race(ends)
    expect(second?.error).toMatchObject(refusal)
    const training = left.find((run) => run !== second?.run)!
    for await (const event of training) if (event.type === 'step') break
    await expect(startTraining(config, sharedRuntime(), { out }).result).rejects.toMatchObject(refusal)
    await training.stop()
    expect(await training.result).toMatchObject({ outcome: 'stopped' })
    await expect(startTraining(config, sharedRuntime(), { out }).result).rejects.toMatchObject({
      code: 'usage',
      message: `${out} already holds a run`,
    })
  })

  it('that was killed is known to be gone, and can be trained on', async () => {
    const run = await begun(2)
    await run.result
    const left = { address: `unix:${run.directory}/no.sock`, token: 'old', pid: 1 }
    for (const text of [
      '',
      '{"addr',
      'null',
      '[]',
      JSON.stringify({ ...left, pid: '1' }),
      JSON.stringify(left),
    ]) {
      writeFileSync(join(run.directory, 'control.json'), text)
      expect(await connectRun(run.directory)).toBeNull()
    }
    const config = await memoryConfig('baseline', temporaryFolder(), { training: { steps: 4 } })
    const resumed = startTraining(config, sharedRuntime(), { resume: run.directory })
    expect(await resumed.result).toMatchObject({ outcome: 'completed', step: 4 })
  })
})
