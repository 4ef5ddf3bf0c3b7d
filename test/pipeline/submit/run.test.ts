import { existsSync, readFileSync, statSync } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config/load.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput } from '../../../src/config/schema.js'
import { EnvironmentError } from '../../../src/errors.js'
import type { JobScheduler, QueueState } from '../../../src/pipeline/ports/scheduler.js'
import { summaryOfRun } from '../../../src/pipeline/runs/list.js'
import { planArrayJobs } from '../../../src/pipeline/submit/array.js'
import { planChain, submitChain } from '../../../src/pipeline/submit/chain.js'
import { planJob, submitJob } from '../../../src/pipeline/submit/run.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const INSTALLATION = { program: ['node', '/opt/freetumor/dist/cli/start.js'], python: '/opt/python' }
const PENDING: QueueState = { state: 'pending', reason: 'Priority', restarts: 0, ended: false }

/** A scheduler that gives the ids 1, 2, ... and refuses the submission with the given number. */
function fakeScheduler({ refuse = 0, states = {} as Record<string, QueueState> } = {}) {
  const submitted: string[] = []
  const cancelled: string[] = []
  const orders: (string | null)[] = []
  const scheduler: JobScheduler = {
    kind: 'slurm',
    submit: async (file, after) => {
      if (submitted.length + 1 === refuse) throw new EnvironmentError('sbatch: no')
      submitted.push(file)
      orders.push(after)
      return `${submitted.length}`
    },
    states: async (ids) => new Map(ids.map((id) => [id, states[id] ?? PENDING])),
    cancel: async (id) => void cancelled.push(id),
    limits: async () => ({ maxHours: 24, maxNodes: 4, maxArraySize: 1001, maxSubmitJobs: null }),
  }
  return { scheduler, submitted, cancelled, orders }
}

const configOf = (cluster: ConfigInput['cluster'], more: Partial<ConfigInput> = {}) =>
  resolveConfig({
    job: 'baseline',
    data: { datasets: [{ name: 'BTCV' }] },
    sampling: { itemsPerStep: 8 },
    cluster,
    ...more,
  })

describe('submitJob', () => {
  it('names a run directory with a line break', async () => {
    const planned = planJob(configOf({}), INSTALLATION, { out: '/runs/a\nb' })
    await expect(planned).rejects.toThrow('run directory: wrong value (expected one line of text')
  })

  it('writes the script and the configuration with the ranks of the cluster', async () => {
    const out = join(temporaryFolder(), 'run')
    const { scheduler, submitted } = fakeScheduler()
    const planned = await planJob(configOf({ nodes: 2, gpusPerNode: 4 }), INSTALLATION, { out })
    expect(await submitJob(planned, scheduler)).toEqual({ id: '1', directory: out })
    expect(submitted).toEqual([join(out, 'submission/job.sbatch')])
    expect(readFileSync(submitted[0]!, 'utf8')).toBe(planned.script)
    const { runtime } = await loadConfig(join(out, 'submission/config.yaml'))
    expect([runtime.nodes, runtime.processesPerNode]).toEqual([2, 4])
    expect(statSync(join(out, 'requests')).mode & 0o777).toBe(0o700)
  })

  it('leaves no files of a job that the scheduler refuses', async () => {
    const out = join(temporaryFolder(), 'run')
    const planned = await planJob(configOf({}), INSTALLATION, { out })
    await expect(submitJob(planned, fakeScheduler({ refuse: 1 }).scheduler)).rejects.toThrow('sbatch: no')
    expect(existsSync(out)).toBe(false)
  })

  it('refuses a second job for a run while the first is in the queue', async () => {
    const out = join(temporaryFolder(), 'run')
    const { scheduler } = fakeScheduler()
    const planned = await planJob(configOf({}), INSTALLATION, { out })
    await submitJob(planned, scheduler)
    await expect(submitJob(planned, scheduler)).rejects.toThrow('Slurm job 1 pending (Priority)')
  })

  it('refuses more than the partition allows, which Slurm would accept and never start', async () => {
    const out = join(temporaryFolder(), 'run')
    const { scheduler } = fakeScheduler()
    const long = await planJob(configOf({ timeHours: 48 }), INSTALLATION, { out })
    await expect(submitJob(long, scheduler)).rejects.toThrow('expected at most 24 h, found 48')
    const wide = await planJob(configOf({ nodes: 8, partition: 'gpu' }), INSTALLATION, { out })
    await expect(submitJob(wide, scheduler)).rejects.toThrow(
      'limit of partition gpu (expected at most 4 nodes, found 8)',
    )
    expect(existsSync(out)).toBe(false)
  })

  it('refuses a `trainFrom` that does not exist, and one for several nodes, before the job is submitted', async () => {
    const folder = temporaryFolder()
    const networks = { baseline: { trainFrom: join(folder, 'none.yaml') }, generator: null }
    const plan = (cluster: ConfigInput['cluster']) =>
      planJob(configOf(cluster, { job: 'segmentation', networks }), INSTALLATION, { out: folder })
    await expect(plan({})).rejects.toThrow(`networks.baseline.trainFrom: ${folder}/none.yaml: file not found`)
    await writeFile(join(folder, 'none.yaml'), 'job: baseline\n')
    await expect(plan({})).resolves.toBeDefined()
    await expect(plan({ nodes: 2 })).rejects.toThrow('several nodes would each train their own')
  })

  it('names the missing section of a configuration without `cluster`', async () => {
    await expect(planJob(configOf(null), INSTALLATION)).rejects.toThrow('no cluster')
  })
})

describe('the state of a submitted run', () => {
  const processes = (states: Record<string, QueueState>) => ({
    status: async () => null,
    holders: async () => new Map(),
    jobs: async (ids: readonly string[]) => new Map(ids.map((id) => [id, states[id] ?? PENDING])),
  })
  const submitted = async () => {
    const out = join(temporaryFolder(), 'run')
    return await submitJob(await planJob(configOf({}), INSTALLATION, { out }), fakeScheduler().scheduler)
  }

  it('is pending with its reason before the first start', async () => {
    const { directory } = await submitted()
    expect(await summaryOfRun(directory, processes({}))).toMatchObject({
      state: 'pending',
      reason: 'Priority',
      queue: { id: '1', state: 'pending' },
    })
  })

  it('is pending, not stopped, while a requeued job waits', async () => {
    const { directory } = await submitted()
    const exit = { outcome: 'stopped', reason: 'SIGTERM', step: 7, exitCode: 75 }
    await writeFile(join(directory, 'exit.json'), JSON.stringify(exit))
    const start = { job: '1', restart: 0, exitCode: 75, requeued: true, time: '2026-01-01T00:00:00Z' }
    await appendFile(join(directory, 'submission/history.jsonl'), `${JSON.stringify(start)}\n`)
    const requeued = { state: 'pending', reason: 'BeginTime', restarts: 1, ended: false }
    expect(await summaryOfRun(directory, processes({ 1: requeued }))).toMatchObject({
      state: 'pending',
      step: 7,
      queue: { restarts: 1 },
    })
  })

  it('asks the scheduler no more after the last start, and is failed if Slurm ended the job', async () => {
    const { directory } = await submitted()
    const gone = { state: 'node_fail', reason: null, restarts: 0, ended: true }
    expect(await summaryOfRun(directory, processes({ 1: gone }))).toMatchObject({
      state: 'failed',
      reason: 'its job is node_fail',
    })
    const end = { job: '1', restart: 2, exitCode: 3, requeued: false, time: '2026-01-01T00:00:00Z' }
    await appendFile(join(directory, 'submission/history.jsonl'), `${JSON.stringify(end)}\n`)
    const asked: string[][] = []
    const summary = await summaryOfRun(directory, {
      ...processes({}),
      jobs: async (ids) => {
        asked.push([...ids])
        return new Map()
      },
    })
    expect(asked).toEqual([[]])
    expect(summary).toMatchObject({ state: 'failed', queue: { state: 'failed', restarts: 2, ended: true } })
  })
})

describe('submitChain', () => {
  const links = (folder: string) => {
    const baseline = join(folder, 'baseline.yaml')
    const second = configOf(
      {},
      { job: 'segmentation', networks: { baseline: { trainFrom: baseline }, generator: null } },
    )
    return [
      { file: baseline, config: configOf({}), out: join(folder, 'first') },
      { file: join(folder, 'segmentation.yaml'), config: second, out: join(folder, 'second') },
    ]
  }

  it('starts each job after the one before, with its weights', async () => {
    const folder = temporaryFolder()
    const planned = await planChain(links(folder), INSTALLATION, folder)
    const { scheduler, orders } = fakeScheduler()
    const jobs = await submitChain(planned, scheduler)
    expect(jobs.map(({ id }) => id)).toEqual(['1', '2'])
    const { networks } = await loadConfig(join(folder, 'second/submission/config.yaml'))
    expect(networks.baseline).toMatchObject({ checkpoint: join(folder, 'first'), trainFrom: null })
    expect(orders).toEqual([null, '1'])
  })

  it('refuses a training before the one whose weights it takes, and two trainings in one directory', async () => {
    const folder = temporaryFolder()
    const [first, second] = links(folder) as [ReturnType<typeof links>[0], ReturnType<typeof links>[0]]
    const plan = (...ordered: (typeof first)[]) => planChain(ordered, INSTALLATION, folder)
    await expect(plan(second, first)).rejects.toThrow(
      '(expected an earlier configuration, found a later one)',
    )
    await expect(plan({ ...second, file: first.file })).rejects.toThrow('found itself')
    await expect(plan(first, { ...second, out: first.out })).rejects.toThrow(
      'two trainings of one run directory',
    )
  })

  it('cancels the first jobs if a later one is refused', async () => {
    const folder = temporaryFolder()
    const { scheduler, cancelled } = fakeScheduler({ refuse: 2 })
    const planned = await planChain(links(folder), INSTALLATION, folder)
    await expect(submitChain(planned, scheduler)).rejects.toThrow('sbatch: no')
    expect(cancelled).toEqual(['1'])
  })
})

describe('planArrayJobs', () => {
  const limits = { maxArraySize: 1001, maxSubmitJobs: null }
  const options = (argv: readonly string[], shards = 20) => ({
    argv,
    shards,
    workingDirectory: '/w',
    out: '/runs/a',
  })

  it('gives each task its shard, and merges the output of the command', async () => {
    const config = configOf({ slurm: { maxConcurrentTasks: 5 } })
    const argv = ['predict', '--images', 'scans', '--out', 'masks']
    const { tasks, merge } = await planArrayJobs(config, INSTALLATION, options(argv), limits)
    expect(tasks.script).toContain('#SBATCH --array=1-20%5\n')
    expect(tasks.script).toContain(
      'predict --images scans --out masks --shard "$((SLURM_ARRAY_TASK_ID + 0))"/20',
    )
    expect(merge.script).toContain('start.js merge masks &')
  })

  it('refuses a command without shards, and more tasks than the scheduler accepts', async () => {
    const config = configOf({})
    const plan = (argv: readonly string[], shards?: number) =>
      planArrayJobs(config, INSTALLATION, options(argv, shards), limits)
    await expect(plan(['train'])).rejects.toThrow('--array: wrong command')
    for (const argv of [['predictions'], ['predict --out', 'masks'], ['data', 'list'], []])
      await expect(plan([...argv, '--out', 'masks'])).rejects.toThrow('--array: wrong command')
    for (const value of [[], ['--out'], ['--out', '--map'], ['--out='], ['--out', '']])
      await expect(plan(['predict', '--images', 'scans', ...value])).rejects.toThrow('predict without --out')
    for (const word of ['--shard', '--shard=1/2', '--overwrite'])
      await expect(plan(['predict', '--out', 'masks', word])).rejects.toThrow(`predict with ${word}`)
    await expect(plan(['predict', '--out', 'masks'], 2000)).rejects.toThrow(
      'expected at most 1000, found 2000',
    )
  })
})
