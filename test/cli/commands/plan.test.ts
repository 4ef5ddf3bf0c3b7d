import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../../../src/runtime/python.js'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const config = (job: string): string => join(packageRoot, `configs/debug-${job}.yaml`)

it('freetumor plan prints command, environment and counts, and writes nothing', async () => {
  const cwd = temporaryFolder()
  for (const [name, hosts] of [
    ['phantom_labelled', '0'],
    ['phantom_hosts', '2'],
  ] as const)
    await runCli([
      'phantom',
      '--out',
      join(cwd, '.freetumor/phantoms', name),
      '--cases',
      '2',
      '--size',
      '48',
      '--hosts',
      hosts,
    ])
  const before = readdirSync(cwd)
  const sets = ['--set', 'runtime.processesPerNode=2', 'training.checkpointEverySteps=10']
  const argv = ['plan', '--config', config('segmentation'), '--out', 'run', ...sets, '--output', 'json']
  const done = await runCli(argv, {
    cwd,
    env: { RANK: '3', MASTER_PORT: '29500', CUDA_VISIBLE_DEVICES: '1' },
  })
  expect(done.code, done.stderr).toBe(0)
  const plan = JSON.parse(done.stdout)
  expect(plan).toMatchObject({
    job: 'segmentation',
    run: join(cwd, 'run'),
    cases: { labelled: 2, hosts: 2, heldOut: 0 },
    steps: 30,
    itemsPerEpoch: 6,
    cropsPerStepAndRank: 2,
    checkpoints: 3,
    weights: { baseline: expect.stringContaining('debug-baseline.yaml') },
  })
  expect(plan.launch.argv).toContain('--nproc-per-node=2')
  expect(plan.launch.argv).toContain('--max-restarts=0')
  expect(plan.launch.environment).toMatchObject({
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
    OMP_NUM_THREADS: '1',
  })
  expect(plan.launch.removed).toEqual(expect.arrayContaining(['MASTER_PORT', 'RANK']))
  expect(plan.launch.removed).not.toContain('CUDA_VISIBLE_DEVICES')
  expect(plan.estimates.cacheBytes).toBeGreaterThan(4 * 48 ** 3)
  expect(readdirSync(cwd)).toEqual(before)
  expect(existsSync(join(cwd, 'run'))).toBe(false)
})

it('freetumor plan reports that phantoms would be written first', async () => {
  const done = await runCli(['plan', '--config', config('baseline')], { cwd: temporaryFolder() })
  expect(done.code, done.stderr).toBe(0)
  expect(done.stderr).toContain('phantom CTs would be made')
})
