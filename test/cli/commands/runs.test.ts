import { mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { commandsFor } from '../../../src/cli/commands/all.js'
import { runProgram } from '../../../src/cli/program.js'
import { TRAINING } from '../../../src/pipeline/locks.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { lockDirectory } from '../../../src/runtime/directory-lock.js'
import { shareRun } from '../../../src/runtime/run-service.js'
import type { Run } from '../../../src/training/run.js'
import { memoryIo, runCli, startCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { until } from '../../helpers/until.js'
import { memoryConfig, memoryRuntime } from '../../pipeline/train/memory-run.js'

/** A run of the test's own process, in `runs/first` of a folder; the commands are processes of their own. */
async function begun(steps: number): Promise<{ run: Run; cwd: string }> {
  const cwd = temporaryFolder()
  const config = await memoryConfig('baseline', cwd, { training: { steps, validateEverySteps: 2 } })
  const runtime = { ...memoryRuntime(), share: shareRun }
  const run = startTraining(config, runtime, { out: join(cwd, 'runs', 'first') })
  onTestFinished(async () => run[Symbol.asyncDispose]())
  for await (const event of run) if (event.type === 'validation') break
  return { run, cwd }
}

describe('freetumor runs', () => {
  it('controls a run of another process by its directory or its name', async () => {
    const { run, cwd } = await begun(1_000_000)
    expect(await runCli(['runs', 'pause', 'runs/first'], { cwd })).toMatchObject({ code: 0, stderr: '' })
    const { step } = run.status()
    const set = await runCli(['runs', 'set', 'first', 'learningRate=5e-5'], { cwd })
    expect(set.stdout).toBe(`learning rate 0.00005 from step ${step} on\n`)
    const saved = await runCli(['runs', 'checkpoint', 'first', '--output', 'json'], { cwd })
    expect(JSON.parse(saved.stdout)).toEqual({ schemaVersion: 1, command: 'checkpoint', step })
    const shown = await runCli(['runs', 'show', 'first', '--output', 'json'], { cwd })
    expect(JSON.parse(shown.stdout)).toMatchObject({
      directory: run.directory,
      job: 'baseline',
      state: 'paused',
      step,
      steps: 1_000_000,
      checkpoint: expect.stringContaining('step_'),
      commands: [
        `pause from step ${step} on`,
        `setLearningRate 0.00005 from step ${step} on`,
        expect.anything(),
      ],
    })
    expect((await runCli(['runs', 'list'], { cwd })).stdout).toContain(`baseline  paused at step ${step}`)
    expect((await runCli(['runs', 'unpause', 'first'], { cwd })).code).toBe(0)
    expect((await runCli(['runs', 'stop', 'first'], { cwd })).code).toBe(0)
    expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'freetumor runs stop' })
  })

  it('follows a run to its end and exits as the run does', async () => {
    const { run, cwd } = await begun(1_000_000)
    const attached = startCli(['runs', 'attach', 'first', '--output', 'ndjson'], { cwd })
    let told = ''
    attached.child.stdout?.on('data', (text: string) => {
      told += text
    })
    await until(() => told.includes('"validation"'))
    await run.stop()
    const done = await attached.finished
    expect(done.code).toBe(75)
    const last = JSON.parse(done.stdout.trim().split('\n').at(-1)!) as unknown
    expect(last).toMatchObject({ type: 'finished', outcome: 'stopped' })
  })

  it('does not change a run when it stops following it', async () => {
    const { run, cwd } = await begun(1_000_000)
    const attached = startCli(['runs', 'attach', 'first', '--output', 'ndjson'], { cwd })
    let told = ''
    attached.child.stdout?.on('data', (text: string) => {
      told += text
    })
    await until(() => told.includes('"validation"'))
    attached.child.kill('SIGINT')
    const done = await attached.finished
    expect(done.stderr).toContain('is still running')
    expect(run.status().phase).toBe('training')
  })

  it('replays a run that has ended', async () => {
    const { run, cwd } = await begun(4)
    await run.result
    const done = await runCli(['runs', 'attach', 'first'], { cwd })
    expect(done).toMatchObject({ code: 0, stdout: '' })
    expect(done.stderr).toContain('baseline completed at step 4')
  })

  it('reports why a run cannot be controlled, with a hint', async () => {
    const { run, cwd } = await begun(4)
    await run.result
    const ended = await runCli(['runs', 'pause', 'first'], { cwd })
    expect(ended.code).toBe(2)
    expect(ended.stderr).toContain('not running (completed at step 4/4)')
    const unknown = await runCli(['runs', 'stop', 'second'], { cwd })
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toContain('second: no run directory (expected')
    const wrong = await runCli(['runs', 'set', 'first', 'momentum=1'], { cwd })
    expect(wrong).toMatchObject({ code: 2 })
    expect(wrong.stderr).toContain('expected learningRate=NUMBER, found momentum=1')
  })

  it.each([
    ['train --resume', 'none: holds no run to resume'],
    ['doctor --run', 'none: run directory not found'],
  ])('%s names a missing run directory before any work', async (command, message) => {
    const argv = [...command.split(' '), join(temporaryFolder(), 'none')]
    const io = memoryIo()
    expect(await runProgram(await commandsFor(argv), argv, io)).toBe(2)
    expect(io.stderr.join('\n')).toContain(message)
  })

  it('lists a broken run with the reason next to the other runs', async () => {
    const { run, cwd } = await begun(1_000_000)
    for (const [name, text] of Object.entries({ empty: '', number: '7', torn: 'job: base' })) {
      mkdirSync(join(cwd, 'runs', name))
      writeFileSync(join(cwd, 'runs', name, 'config.resolved.yaml'), text)
      for (const file of ['control.json', 'exit.json', 'owner.json'])
        writeFileSync(join(cwd, 'runs', name, file), '')
    }
    const listed = await runCli(['runs', 'list', '--output', 'json'], { cwd })
    expect(listed).toMatchObject({ code: 0, stderr: '' })
    const { runs } = JSON.parse(listed.stdout) as { runs: { name: string; state: string; reason: string }[] }
    expect(runs.filter(({ state }) => state === 'broken').map(({ name }) => name)).toEqual([
      'empty',
      'number',
      'torn',
    ])
    for (const { state, reason } of runs)
      if (state === 'broken') expect(reason).toContain('config.resolved.yaml')
    expect(runs).toContainEqual(expect.objectContaining({ directory: run.directory, state: 'training' }))
    const shown = await runCli(['runs', 'show', 'torn'], { cwd })
    expect(shown.stdout).toContain('torn: broken: ')
  })

  it('lists the other runs when no Python can look at the lock of one', async () => {
    const cwd = temporaryFolder()
    const config = await memoryConfig('baseline', cwd, { training: { steps: 2 } })
    for (const name of ['killed', 'other'])
      await startTraining(config, memoryRuntime(), { out: join(cwd, 'runs', name) }).result
    writeFileSync(join(cwd, 'runs', 'killed', '.lock'), '')
    const env = { FREETUMOR_PYTHON: join(cwd, 'runs', 'killed', '.lock') }
    const listed = await runCli(['runs', 'list'], { cwd, env })
    expect(listed.code).toBe(0)
    expect(listed.stdout).toContain('broken: the lock of the folder cannot be used: ')
    expect(listed.stdout).toContain('other  baseline  completed at step 2/2')
  })

  it('reports that a run is running but does not answer, with its process', async () => {
    const cwd = temporaryFolder()
    const config = await memoryConfig('baseline', cwd, { training: { steps: 2 } })
    const out = join(cwd, 'runs', 'first')
    await startTraining(config, memoryRuntime(), { out }).result
    await using _lock = await lockDirectory(out, TRAINING)
    const holder = `process ${process.pid} on host ${hostname()}`
    const listed = await runCli(['runs', 'list'], { cwd })
    expect(listed.stdout).toContain(`running at step 2/2, not answering (${holder})`)
    for (const command of ['stop', 'attach'])
      expect(await runCli(['runs', command, 'first'], { cwd })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`${out} is being trained by ${holder}, which does not answer`),
      })
  })
})
