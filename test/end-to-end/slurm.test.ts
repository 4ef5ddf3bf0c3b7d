import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { logOf, type SlurmCluster, startSlurm, whatSlurmLacks } from '../../scripts/faults/slurm-cluster.mjs'
import { resolvePython } from '../../src/runtime/python.js'
import type { RunEvent } from '../../src/training/events.js'
import type { ExitRecord } from '../../src/training/run-directory.js'
import type { RunSummary } from '../../src/training/run-summary.js'
import { builtMain, runCli } from '../helpers/cli.js'
import { until } from '../helpers/until.js'

const lacking = whatSlurmLacks()
const title =
  lacking === null ? 'jobs of a real Slurm' : `jobs of a real Slurm (skipped: ${lacking} is missing)`
const STEPS = 30

function linesIn(path: string): unknown[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as unknown)
}

interface Job {
  readonly id: string
  readonly directory: string
}

describe.skipIf(lacking !== null)(title, () => {
  let cluster: SlurmCluster

  beforeAll(async () => {
    // a busy machine answers late: no node of these tests is lost
    cluster = await startSlurm({ graceSeconds: 120, killWaitSeconds: 60, downAfterSeconds: 300 })
  }, 120_000)
  afterAll(() => cluster.close(), 60_000)

  const freetumor = async (...argv: readonly string[]) =>
    await runCli(argv, {
      cwd: cluster.folder,
      env: { ...cluster.env, FREETUMOR_PYTHON: resolvePython() },
    })
  const submit = async (name: string, ...set: readonly string[]): Promise<Job> => {
    const settings = [
      `training.steps=${STEPS}`,
      'sampling.patchVoxels=[24,24,24]',
      'sampling.cropsPerVolume=1',
      'sampling.workers=1',
      'data.phantoms.sizeVoxels=48',
      'data.phantoms.labelledCases=3',
      `data.root=${cluster.folder}/data`,
      `prepare.cache=${cluster.folder}/cache`,
      'report.pictures=0',
      'cluster.gpusPerNode=0',
      'cluster.nodes=2',
      'cluster.check=false',
      ...set,
    ]
    const out = join(cluster.folder, name)
    const argv = ['submit', 'debug-baseline', '--out', out, '--output', 'json', '--set', ...settings]
    const { code, stdout, stderr } = await freetumor(...argv)
    expect([code, stderr]).toEqual([0, ''])
    return JSON.parse(stdout) as Job
  }
  const state = async ({ id }: Job) => (await cluster.job(id))?.JobState
  const restarts = async ({ id }: Job) => Number((await cluster.job(id))?.Restarts)
  const ended = async (job: Job) => /COMPLETED|FAILED|CANCELLED/.test((await state(job)) ?? '')
  const losses = ({ directory }: Job) =>
    (linesIn(join(directory, 'events.jsonl')) as RunEvent[]).flatMap((event) =>
      event.type === 'step' ? [[event.step, event.losses]] : [],
    )
  const exitOf = ({ directory }: Job) =>
    JSON.parse(readFileSync(join(directory, 'exit.json'), 'utf8')) as ExitRecord
  const starts = ({ directory }: Job) => linesIn(join(directory, 'submission/history.jsonl'))
  /** What the job printed, for the message of a failed test. */
  const told = ({ directory }: Job): string =>
    readdirSync(join(directory, 'logs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.log'))
      .map((name) => `${name}:\n${readFileSync(join(directory, 'logs', name), 'utf8').slice(-4000)}`)
      .concat(JSON.stringify(starts({ id: '', directory })), logOf(cluster, 'slurmctld'))
      .join('\n')

  it('a preempted training saves, is requeued, and has the losses of an uninterrupted one', async () => {
    const job = await submit('preempted')
    expect(
      JSON.parse((await freetumor('runs', 'show', job.directory, '--output', 'json')).stdout),
    ).toMatchObject({
      queue: { id: job.id, scheduler: 'slurm' },
    })
    await until(() => losses(job).length > 5)
    await cluster.run('sbatch', ['-p', 'high', '-N2', '--exclusive', '--wrap', 'true', '-o', '/dev/null'])
    await until(async () => (await restarts(job)) === 1)
    const saved = exitOf(job)
    expect(saved).toMatchObject({ outcome: 'stopped', exitCode: 75, step: losses(job).length })
    await until(() => ended(job))
    const whole = await submit('uninterrupted')
    await until(() => ended(whole))
    expect([await state(job), await state(whole)], told(job)).toEqual(['COMPLETED', 'COMPLETED'])
    expect(starts(job)).toMatchObject([
      { restart: 0, exitCode: 75, requeued: true },
      { restart: 1, exitCode: 0, requeued: false },
    ])
    expect(losses(job)).toHaveLength(STEPS)
    expect(losses(job)).toEqual(losses(whole))
  }, 600_000)

  it('`runs stop` from another node saves and ends a training without a requeue', async () => {
    const job = await submit('stopped', 'training.steps=100000', 'cluster.check=true')
    await until(() => losses(job).length > 2)
    const paused = await freetumor('runs', 'pause', job.directory, '--output', 'json')
    expect(paused.code).toBe(0)
    expect(
      JSON.parse((await freetumor('runs', 'list', cluster.folder, '--output', 'json')).stdout),
    ).toMatchObject({
      runs: expect.arrayContaining([expect.objectContaining({ directory: job.directory, state: 'paused' })]),
    })
    const { code, stderr } = await freetumor('runs', 'stop', job.directory)
    expect([code, stderr]).toEqual([0, ''])
    await until(() => ended(job))
    expect(exitOf(job)).toMatchObject({ outcome: 'stopped', reason: 'freetumor runs stop' })
    expect(starts(job)).toMatchObject([{ exitCode: 75, requeued: false }])
    expect((await freetumor('runs', 'attach', job.directory, '--output', 'ndjson')).code).toBe(75)
  }, 600_000)

  it('scancel saves a training, and it is not requeued', async () => {
    const job = await submit('cancelled', 'training.steps=100000', 'cluster.nodes=1')
    await until(() => losses(job).length > 2)
    await cluster.run('scancel', [job.id])
    await until(
      async () => (await state(job)) === 'CANCELLED' && existsSync(join(job.directory, 'exit.json')),
    )
    expect(exitOf(job)).toMatchObject({ outcome: 'stopped', step: losses(job).length })
    expect(await restarts(job)).toBe(0)
  }, 600_000)

  it('a training that its data contradict fails without a requeue', async () => {
    const job = await submit('wrong', 'data.datasets.0.name=BTCV', 'data.phantoms=null', 'cluster.nodes=1')
    await until(() => ended(job))
    expect(starts(job)).toMatchObject([{ exitCode: 3, requeued: false }])
    expect([await state(job), await restarts(job)]).toEqual(['FAILED', 0])
  }, 300_000)

  it('a failed link of a chain cancels the links after it, which name its reason', async () => {
    const config = (name: string, data: string): string => `
job: baseline
name: ${name}
data: { root: ${cluster.folder}/none, datasets: [{ name: ${data} }] }
runtime: { device: cpu }
cluster: { check: false, cpusPerNode: 1 }
`
    const { writeFile } = await import('node:fs/promises')
    for (const name of ['first', 'second'])
      await writeFile(join(cluster.folder, `${name}.yaml`), config(name, 'BTCV'))
    const argv = ['submit', '--chain', 'first.yaml', 'second.yaml', '--out', 'chain', '--output', 'json']
    const { code, stdout } = await freetumor(...argv)
    expect(code).toBe(0)
    const { jobs } = JSON.parse(stdout) as { jobs: Job[] }
    await until(() => ended(jobs[1]!))
    expect(await state(jobs[1]!)).toBe('CANCELLED')
    const { stdout: shown } = await freetumor('runs', 'show', jobs[1]!.directory, '--output', 'json')
    expect(JSON.parse(shown)).toMatchObject({ state: 'failed', queue: { state: 'cancelled', ended: true } })
    expect((JSON.parse(shown) as { reason: string }).reason).toContain(
      `job ${jobs[0]!.id} in ${jobs[0]!.directory} failed`,
    )
  }, 300_000)

  it('a job that Slurm refuses leaves no files', async () => {
    const argv = [
      'submit',
      'debug-baseline',
      '--out',
      'refused',
      '--set',
      'cluster.nodes=1',
      'cluster.partition=nowhere',
    ]
    const { code, stderr } = await freetumor(...argv)
    expect(code).toBe(4)
    expect(stderr).toContain('nowhere')
    expect(existsSync(join(cluster.folder, 'refused'))).toBe(false)
  }, 120_000)
})

describe.skipIf(lacking !== null)(`${title}: arrays beyond the limits of the scheduler`, () => {
  const SHARDS = 7
  let cluster: SlurmCluster

  beforeAll(async () => {
    // ids of tasks are 1 to 3
    cluster = await startSlurm({ extra: ['MaxArraySize=4'] })
    const phantoms = ['phantom', '--out', 'hosts', '--cases', `${SHARDS}`, '--size', '32']
    await cluster.run(process.execPath, [builtMain, ...phantoms])
  }, 240_000)
  afterAll(() => cluster.close(), 60_000)

  const freetumor = async (...argv: readonly string[]) =>
    await runCli(argv, { cwd: cluster.folder, env: cluster.env })
  const submit = async (name: string, set: readonly string[] = []) => {
    const settings = ['cluster.gpusPerNode=0', 'cluster.cpusPerNode=1', 'cluster.nodes=1', ...set]
    const argv = ['submit', 'debug-baseline', '--array', `${SHARDS}`, '--output', 'json', '--out', name]
    const check = ['data', 'check', 'hosts', '--out', `${name}-check`, '--workers', '1']
    const { code, stdout, stderr } = await freetumor(...argv, '--set', ...settings, '--', ...check)
    expect([code, stderr]).toEqual([0, ''])
    return JSON.parse(stdout) as Job & { arrays: string[]; waves: number; merge: Job | null }
  }
  const shown = async (name: string) => {
    const { stdout } = await freetumor('runs', 'show', join(cluster.folder, name), '--output', 'json')
    return JSON.parse(stdout) as RunSummary
  }
  const end = async (name: string): Promise<RunSummary> => {
    for (;;) {
      // a wave submits the next one, so an empty queue is not always the end
      await until(async () => (await cluster.run('squeue', ['--noheader'])).trim() === '')
      const found = await shown(name)
      if (found.queue?.ended) return found
    }
  }
  const findings = (name: string): unknown =>
    JSON.parse(readFileSync(join(cluster.folder, `${name}-check/findings.json`), 'utf8'))

  it('several job arrays have one merge; a failed shard is named, and runs again alone', async () => {
    const broken = join(cluster.folder, 'one-check/shards/5-of-7')
    mkdirSync(dirname(broken), { recursive: true })
    writeFileSync(broken, 'no folder')
    const { arrays, waves, merge } = await submit('one')
    expect([arrays.length, waves, merge === null]).toEqual([3, 1, false])
    const failed = await end('one')
    expect(failed).toMatchObject({
      state: 'failed',
      queue: {
        id: [...arrays, merge!.id].join(','),
        reason: '6 of 7 shards complete; failed: 5',
        shards: { count: 7, completed: [1, 2, 3, 4, 6, 7], failed: [5] },
      },
    })
    const log = readFileSync(
      join(cluster.folder, `one/logs/slurm-${merge!.id}/restart-0/work.node-0.log`),
      'utf8',
    )
    expect(log).toContain('shard 5: it has not finished; run `freetumor data check hosts --out one-check')
    rmSync(broken)
    const again = failed.queue!.shards!.again!
    expect(again).toContain('--only 5 -- data check hosts')
    const { code } = await freetumor(...again.split(' ').slice(1))
    expect(code).toBe(0)
    expect(await end('one')).toMatchObject({
      state: 'completed',
      queue: { reason: '1 of 1 shards complete', shards: { completed: [5], failed: [], again: null } },
    })
    expect(findings('one')).toMatchObject({ ok: true, numCases: SHARDS })
  }, 600_000)

  it('waves follow each other if the user may not submit all tasks at once', async () => {
    // tasks of a wave, the job that submits it, and the one after it
    const { arrays, waves, merge } = await submit('waves', ['cluster.slurm.maxSubmitJobs=5'])
    expect([arrays.length, waves, merge]).toEqual([1, 3, null])
    expect(await end('waves')).toMatchObject({
      state: 'completed',
      queue: { reason: '7 of 7 shards complete', shards: { completed: [1, 2, 3, 4, 5, 6, 7] } },
    })
    const jobs = linesIn(join(cluster.folder, 'waves/submission/jobs.jsonl')) as { script: string }[]
    expect(jobs.map(({ script }) => script)).toEqual(
      ['tasks-1', 'wave-2', 'tasks-2', 'wave-3', 'tasks-3', 'merge'].map((name) => `${name}.sbatch`),
    )
    expect(findings('waves')).toMatchObject({ ok: true, numCases: SHARDS })
  }, 600_000)

  it('`runs stop` cancels every job of an array', async () => {
    const { arrays, merge } = await submit('stopped', ['cluster.slurm.extraLines=["sleep 600"]'])
    const { code } = await freetumor('runs', 'stop', join(cluster.folder, 'stopped'))
    expect(code).toBe(0)
    const left = async (): Promise<string> => {
      const ids = [...arrays, merge!.id].join(',')
      return await cluster.run('squeue', ['--noheader', `--jobs=${ids}`])
    }
    await until(async () => (await left()).trim() === '')
    expect(await shown('stopped')).toMatchObject({ state: 'failed', queue: { state: 'cancelled' } })
  }, 300_000)
})
