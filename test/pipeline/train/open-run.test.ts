import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { RunConfig } from '../../../src/config/schema.js'
import { UsageError } from '../../../src/errors.js'
import type { ModelRuntime } from '../../../src/pipeline/ports/runtime.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { lockDirectory } from '../../../src/runtime/directory-lock.js'
import type { InMemoryAnswers } from '../../../src/runtime/in-memory.js'
import { connectRun, shareRun } from '../../../src/runtime/run-service.js'
import type { RunEvent } from '../../../src/training/events.js'
import type { Run, TrainOptions } from '../../../src/training/run.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from './memory-run.js'

/** Trains in memory, with the lock and the control file of a real run. */
const lockedRuntime = (answers: InMemoryAnswers = {}): ModelRuntime => ({
  ...memoryRuntime(answers),
  lock: (folder, work) => lockDirectory(folder, work),
  share: shareRun,
})

/** The same on a file system that has no locks. */
const unlockedRuntime = (): ModelRuntime => ({
  ...lockedRuntime(),
  lock: async () => ({ enforced: false, [Symbol.asyncDispose]: async () => {} }),
})

/** A small configuration, and a directory for its run. */
async function prepared(training: Partial<RunConfig['training']> = {}) {
  const folder = temporaryFolder()
  return { config: await memoryConfig('baseline', folder, { training }), out: join(folder, 'run') }
}

/** Nothing of the run but its events, whose reader never waits for more. */
async function endOf(run: Run): Promise<unknown> {
  try {
    for await (const _ of run) {
      // a run that failed must end its events, too
    }
  } catch {
    // the result has the same error
  }
  return await run.result.catch((error: unknown) => error)
}

const stepsIn = (run: string): number[] =>
  readFileSync(join(run, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent)
    .flatMap((event) => (event.type === 'step' ? [event.step] : []))

// A folder in the place of a file refuses the file as a full disk does, on every machine and for every user.
const NEW_RUN = ['control.json', 'owner.json', 'plan.json', 'ledger.jsonl']
const RESUME = ['control.json', 'owner.json', 'data.json', 'events.jsonl']

describe('a state file that cannot be written at the start', () => {
  it.each(NEW_RUN)('%s ends a new run with one typed error, which can be started again', async (name) => {
    const { config, out } = await prepared()
    mkdirSync(join(out, name, 'inner'), { recursive: true })
    expect(await endOf(startTraining(config, lockedRuntime(), { out }))).toMatchObject({
      code: 'environment',
      message: expect.stringContaining(join(out, name)),
    })
    expect(readdirSync(out).filter((one) => /\.tmp|^\.lock$/.test(one))).toEqual([])
    rmSync(join(out, name), { recursive: true })
    const again = existsSync(join(out, 'config.resolved.yaml')) ? { resume: out } : { out }
    expect(await endOf(startTraining(config, lockedRuntime(), again))).toMatchObject({ outcome: 'completed' })
  })

  it('ends a resume with one typed error, which can be tried again', async () => {
    const { config, out } = await prepared({ checkpointEverySteps: 2 })
    const dies = lockedRuntime({
      beforeStep: (step) => {
        if (step === 3) throw new Error('dies')
      },
    })
    await endOf(startTraining(config, dies, { out }))
    for (const name of RESUME) {
      if (existsSync(join(out, name))) renameSync(join(out, name), join(out, 'kept'))
      mkdirSync(join(out, name, 'inner'), { recursive: true })
      expect(await endOf(startTraining(config, lockedRuntime(), { resume: out }))).toMatchObject({
        code: 'environment',
        message: expect.stringContaining(join(out, name)),
      })
      rmSync(join(out, name), { recursive: true })
      if (existsSync(join(out, 'kept'))) renameSync(join(out, 'kept'), join(out, name))
    }
    const resumed = startTraining(config, lockedRuntime(), { resume: out })
    expect(await endOf(resumed)).toMatchObject({ outcome: 'completed', step: 6 })
  })

  it('exit.json does not prevent the end of the run, and the error names the path', async () => {
    const { config, out } = await prepared()
    mkdirSync(join(out, 'exit.json', 'inner'), { recursive: true })
    expect(await endOf(startTraining(config, lockedRuntime(), { out }))).toMatchObject({
      code: 'environment',
      message: expect.stringContaining(join(out, 'exit.json')),
    })
  })
})

describe('two starts of one run', () => {
  it('at one moment: one trains, the other one is refused', async () => {
    const { config, out } = await prepared()
    const both = [1, 2].map(() => endOf(startTraining(config, lockedRuntime(), { out })))
    const ends = (await Promise.all(both)) as { outcome?: string; code?: string }[]
    expect(ends.map(({ outcome, code }) => outcome ?? code).sort()).toEqual(['completed', 'usage'])
    expect(stepsIn(out)).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('in one process are refused in memory, too', async () => {
    const { config, out } = await prepared({ steps: 100_000 })
    const first = startTraining(config, memoryRuntime(), { out })
    onTestFinished(() => first[Symbol.asyncDispose]())
    for await (const event of first) if (event.type === 'step') break
    expect(await endOf(startTraining(config, memoryRuntime(), { resume: out }))).toMatchObject({
      code: 'usage',
      message: expect.stringContaining(`is being trained by process ${process.pid} on host`),
    })
  })
})

describe('a second training of one process in the directory of a run', () => {
  it.each<[string, (out: string) => TrainOptions, () => ModelRuntime]>([
    ['as a new run', (out) => ({ out }), lockedRuntime],
    ['as a resumed run', (out) => ({ resume: out }), lockedRuntime],
    ['where the file system has no locks', (out) => ({ resume: out }), unlockedRuntime],
  ])('is refused %s, and leaves the first one alone', async (_, options, runtime) => {
    // no file of the first training may appear between the two listings
    const late = { checkpointEverySteps: 100_000, validateEverySteps: 100_000 }
    const { config, out } = await prepared({ steps: 100_000, ...late })
    const first = startTraining(config, runtime(), { out })
    onTestFinished(() => first[Symbol.asyncDispose]())
    for await (const event of first) if (event.type === 'step') break
    const files = readdirSync(out).sort()
    const refused = await endOf(startTraining(config, runtime(), options(out)))
    expect(refused).toBeInstanceOf(UsageError)
    expect((refused as UsageError).message).toContain(`${out} is being trained by process ${process.pid}`)
    expect(readdirSync(out).sort()).toEqual(files)
    const remote = await connectRun(out)
    onTestFinished(() => remote?.close())
    expect(remote?.pid).toBe(process.pid)
  })
})

describe('a run that another start has taken over', () => {
  it('ends with a typed error and changes no file', async () => {
    const folder = temporaryFolder()
    const config = await memoryConfig('segmentation', folder, {
      training: { steps: 100_000, checkpointEverySteps: 50, validateEverySteps: 100 },
    })
    const out = join(folder, 'run')
    let before = ''
    const shown = (): string =>
      readdirSync(out, { recursive: true, encoding: 'utf8' })
        // its own way in, which ends with it
        .filter((name) => name !== 'control.json' && name !== '.lock' && name !== 'logs')
        .sort()
        .join()
    const runtime = lockedRuntime({
      beforeStep: (step) => {
        if (step !== 60) return
        writeFileSync(
          join(out, 'owner.json'),
          JSON.stringify({ number: 2, run: 'other', pid: 1, host: 'there', since: 'now' }),
        )
        before = shown()
      },
    })
    expect(await endOf(startTraining(config, runtime, { out }))).toMatchObject({
      code: 'superseded',
      exitCode: 1,
      message: `${out} was taken over by process 1 on host there at now`,
    })
    expect(shown()).toBe(before)
    expect(stepsIn(out)).toEqual([...Array(60).keys()])
    expect(existsSync(join(out, 'exit.json'))).toBe(false)
  })

  it('publishes no checkpoint under its old number', async () => {
    const { config, out } = await prepared({ steps: 3 })
    const runtime = lockedRuntime({
      beforeStep: (step) => {
        const owner = { number: 2, run: 'other', pid: 1, host: 'there', since: 'now' }
        if (step === 2) writeFileSync(join(out, 'owner.json'), JSON.stringify(owner))
      },
    })
    expect(await endOf(startTraining(config, runtime, { out }))).toMatchObject({ code: 'superseded' })
    expect(existsSync(join(out, 'checkpoints'))).toBe(false)
  })
})
