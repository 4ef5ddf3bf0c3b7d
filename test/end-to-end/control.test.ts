import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const config = join(packageRoot, 'configs/debug-baseline.yaml')

describe('a training in the background', () => {
  it('is started, changed, saved and stopped by other commands, and resumes', async () => {
    const cwd = temporaryFolder()
    const sets = [
      '--set',
      'training.steps=5000',
      'data.phantoms.sizeVoxels=48',
      'data.phantoms.labelledCases=3',
    ]
    const started = await runCli(
      ['train', '--config', config, ...sets, '--out', 'run', '--detach', '--output', 'json'],
      { cwd },
    )
    expect(started).toMatchObject({ code: 0 })
    const { pid, directory } = JSON.parse(started.stdout) as { pid: number; directory: string }
    onTestFinished(() => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it has ended, as it should
      }
    })
    expect(directory).toBe(join(cwd, 'run'))
    const json = async (...argv: string[]): Promise<{ step: number }> => {
      const done = await runCli(['runs', ...argv, '--output', 'json'], { cwd })
      if (done.code !== 0) throw new Error(done.stderr)
      return JSON.parse(done.stdout) as { step: number }
    }
    const paused = await json('pause', 'run')
    expect(await json('set', 'run', 'learningRate=5e-5')).toMatchObject({ step: paused.step })
    expect(await json('checkpoint', 'run')).toMatchObject({ step: paused.step })
    await json('unpause', 'run')
    const stopped = await json('stop', 'run')
    const attached = await runCli(['runs', 'attach', 'run'], { cwd })
    expect(attached.code).toBe(75)
    expect(JSON.parse(await readFile(join(directory, 'exit.json'), 'utf8'))).toEqual({
      outcome: 'stopped',
      reason: 'freetumor runs stop',
      step: stopped.step,
      exitCode: 75,
    })
    const resumed = ['train', '--resume', 'run', '--set', `training.steps=${stopped.step + 2}`]
    const done = await runCli([...resumed, '--output', 'json'], { cwd })
    expect(JSON.parse(done.stdout)).toMatchObject({ outcome: 'completed', step: stopped.step + 2 })
  })

  it('that cannot start reports the reason to the command that started it', async () => {
    const cwd = temporaryFolder()
    const sets = ['--set', 'data.phantoms=null']
    const done = await runCli(['train', '--config', config, ...sets, '--out', 'run', '--detach'], { cwd })
    expect(done.code).toBe(3)
    expect(done.stderr).toContain('phantom_labelled')
  })
})
