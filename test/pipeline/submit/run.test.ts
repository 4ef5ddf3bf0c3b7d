import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ArrayLimits } from '../../../src/cluster/array.js'
import { loadConfig } from '../../../src/config/load.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput } from '../../../src/config/schema.js'
import { EnvironmentError } from '../../../src/errors.js'
import type { JobOrder, JobScheduler, QueueState } from '../../../src/pipeline/ports/scheduler.js'
import { summaryOfRun } from '../../../src/pipeline/runs/list.js'
import { planArrayJobs, submitArray } from '../../../src/pipeline/submit/array.js'
import { planChain, submitChain } from '../../../src/pipeline/submit/chain.js'
import { type PlannedJob, planJob, submitJob } from '../../../src/pipeline/submit/run.js'
import { stopJob } from '../../../src/pipeline/submit/submitted-run.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const INSTALLATION = { program: ['node', '/opt/freetumor/dist/cli/start.js'], python: '/opt/python' }
const PENDING: QueueState = { state: 'pending', reason: 'Priority', restarts: 0, ended: false }

/** A scheduler that gives the ids `first`, `first + 1`, ... and refuses the submission with the given number. */
function fakeScheduler({ refuse = 0, first = 1, states = {} as Record<string, QueueState> } = {}) {
  const submitted: string[] = []
  const cancelled: string[] = []
  const orders: (JobOrder | null)[] = []
  const scheduler: JobScheduler = {
    kind: 'slurm',
    submit: async (file, after) => {
      if (submitted.length + 1 === refuse) throw new EnvironmentError('sbatch: no')
      submitted.push(file)
      orders.push(after)
      return `${first + submitted.length - 1}`
    },
    states: async (ids) => new Map(ids.map((id) => [id, states[id] ?? PENDING])),
    cancel: async (...ids) => void cancelled.push(...ids),
    limits: async () => ({
      ...{ maxHours: 24, maxNodes: 4, maxArraySize: 1001 },
      ...{ maxSubmitJobs: null, submittedJobs: 0, freeJobs: null },
    }),
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
    expect(orders).toEqual([null, { ids: ['1'], until: 'completed' }])
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

describe('an array', () => {
  const LIMITS = { maxArraySize: 1001, maxSubmitJobs: null }
  const ARGV = ['predict', '--images', 'scans', '--out', 'masks']
  const commandLine = 'freetumor submit a.yaml --array 20 -- predict --images scans --out masks'
  const plan = (
    { argv = ARGV, shards = 20, only = undefined as string | undefined, out = '/runs/a' },
    limits: ArrayLimits = LIMITS,
    slurm = {},
  ) =>
    planArrayJobs(
      configOf({ gpusPerNode: 2, slurm }),
      INSTALLATION,
      { argv, shards, only, out, commandLine, workingDirectory: '/w' },
      limits,
    )
  const linesOf = (text: string, form: RegExp): string[] => text.split('\n').filter((line) => form.test(line))

  it('gives each task its shard, and merges the output of the command without GPUs', async () => {
    const { waves, merge } = await plan({}, LIMITS, { maxConcurrentTasks: 5 })
    const [[tasks]] = waves as [[PlannedJob]]
    expect(tasks.script).toContain('#SBATCH --array=1-20%5\n')
    expect(tasks.script).toContain('#SBATCH --gres=gpu:2\n')
    expect(tasks.script).toContain(
      'predict --images scans --out masks --shard "$((SLURM_ARRAY_TASK_ID + 0))"/20',
    )
    expect(merge.script).toContain('start.js merge masks &')
    expect(merge.script).not.toContain('gres')
  })

  it('refuses a command without shards', async () => {
    for (const argv of [['train'], ['predictions'], ['predict --out', 'masks'], ['data', 'list'], []])
      await expect(plan({ argv: [...argv, '--out', 'masks'] })).rejects.toThrow('--array: wrong command')
    for (const value of [[], ['--out'], ['--out', '--map'], ['--out='], ['--out', '']])
      await expect(plan({ argv: ['predict', '--images', 'scans', ...value] })).rejects.toThrow(
        'predict without --out',
      )
    for (const word of ['--shard', '--shard=1/2', '--overwrite'])
      await expect(plan({ argv: ['predict', '--out', 'masks', word] })).rejects.toThrow(
        `predict with ${word}`,
      )
    for (const only of ['0', '21', '3-2', 'a', '1,,2', ''])
      await expect(plan({ only })).rejects.toThrow('--only: wrong shards (expected numbers from 1 to 20')
  })

  it('has several job arrays beyond MaxArraySize, one directory and one merge after all of them', async () => {
    const out = join(temporaryFolder(), 'a')
    const planned = await plan({ out }, { ...LIMITS, maxArraySize: 9 })
    const { scheduler, submitted, orders } = fakeScheduler()
    expect(await submitArray(planned, scheduler)).toEqual({
      ...{ id: '1', directory: out, arrays: ['1', '2', '3'], waves: 1 },
      merge: { id: '4', directory: out },
    })
    expect(submitted).toEqual(
      ['tasks-1', 'tasks-2', 'tasks-3', 'merge'].map((name) => `${out}/submission/${name}.sbatch`),
    )
    expect(orders).toEqual([null, null, null, { ids: ['1', '2', '3'], until: 'ended' }])
    const texts = submitted.map((file) => readFileSync(file, 'utf8'))
    expect(texts.flatMap((text) => linesOf(text, /--array=/))).toEqual(
      ['1-8', '1-8', '1-4'].map((tasks) => `#SBATCH --array=${tasks}`),
    )
    expect(texts[2]).toContain('--shard "$((SLURM_ARRAY_TASK_ID + 16))"/20')
  })

  it('runs its job arrays in turn if the number of tasks at a time is limited', async () => {
    const out = join(temporaryFolder(), 'a')
    const { scheduler, orders } = fakeScheduler()
    await submitArray(
      await plan({ out }, { ...LIMITS, maxArraySize: 9 }, { maxConcurrentTasks: 2 }),
      scheduler,
    )
    expect(orders.slice(0, 3)).toEqual([
      null,
      { ids: ['1'], until: 'ended' },
      { ids: ['1', '2'], until: 'ended' },
    ])
  })

  it('submits the first of several waves, whose scripts submit the others and the merge', async () => {
    const out = join(temporaryFolder(), 'a')
    const planned = await plan({ out }, { ...LIMITS, maxSubmitJobs: 10 })
    const { scheduler, submitted, orders } = fakeScheduler()
    expect(await submitArray(planned, scheduler)).toMatchObject({ arrays: ['1'], waves: 3, merge: null })
    expect(submitted.map((file) => basename(file))).toEqual(['tasks-1.sbatch', 'wave-2.sbatch'])
    expect(orders).toEqual([null, { ids: ['1'], until: 'ended' }])
    const script = (name: string): string => readFileSync(join(out, 'submission', `${name}.sbatch`), 'utf8')
    expect(linesOf(script('wave-2'), /submit (tasks|wave|merge)/)).toEqual([
      expect.stringContaining('submit tasks-2.sbatch '),
      expect.stringContaining('submit wave-3.sbatch "--dependency=afterany$ids"'),
    ])
    expect(script('wave-3')).toContain('submit merge.sbatch "--dependency=afterany$ids"')
    expect(script('wave-3')).not.toContain('gres')
    for (const name of ['wave-2', 'wave-3'])
      expect(spawnSync('bash', ['-n'], { input: script(name), encoding: 'utf8' }).stderr).toBe('')
  })

  it('leaves no job and no file if the scheduler refuses one', async () => {
    const out = join(temporaryFolder(), 'a')
    const { scheduler, cancelled } = fakeScheduler({ refuse: 3 })
    const submission = submitArray(await plan({ out }, { ...LIMITS, maxArraySize: 9 }), scheduler)
    await expect(submission).rejects.toThrow('sbatch: no')
    expect(cancelled).toEqual(['2', '1'])
    expect(existsSync(out)).toBe(false)
  })

  describe('that was submitted', () => {
    const RUNNING: QueueState = { ...PENDING, state: 'running', reason: null }
    const done = (exitCode: number) => ({
      restart: 0,
      exitCode,
      requeued: false,
      time: '2026-01-01T00:00:00Z',
    })
    const withEnds = async (ends: readonly object[]) => {
      const out = join(temporaryFolder(), 'a')
      await submitArray(await plan({ out }, { ...LIMITS, maxArraySize: 9 }), fakeScheduler().scheduler)
      const history = join(out, 'submission/history.jsonl')
      await writeFile(history, ends.map((end) => `${JSON.stringify(end)}\n`).join(''))
      return out
    }
    const summary = (directory: string, states: Record<string, QueueState>) =>
      summaryOfRun(directory, {
        status: async () => null,
        holders: async () => new Map(),
        jobs: async (ids) => new Map(ids.map((id) => [id, states[id] ?? PENDING])),
      })

    it('has the states of all its jobs, and names failed shards', async () => {
      const out = await withEnds([
        { job: '1', shard: 1, ...done(0) },
        { job: '2', shard: 9, ...done(3) },
        { job: '2', shard: 10, ...done(75), requeued: true },
      ])
      const tasks = { running: 3, completed: 1, pending: 2 }
      const { queue } = await summary(out, { 1: { ...RUNNING, tasks }, 2: { ...RUNNING, tasks } })
      expect(queue).toMatchObject({
        ...{ id: '1,2,3,4', state: 'running', ended: false },
        reason: '1 of 20 shards complete; failed: 9; 6 running; 4 pending',
        shards: { count: 20, completed: [1], failed: [9], again: null },
      })
    })

    it('names the command for the shards that are not complete when the merge has ended', async () => {
      const ends = Array.from({ length: 20 }, (_, at) => ({
        ...{ job: `${1 + Math.floor(at / 8)}`, shard: at + 1 },
        ...done(at === 4 || at === 5 ? 3 : 0),
      }))
      const out = await withEnds([...ends, { job: '4', ...done(3) }])
      expect(await summary(out, {})).toMatchObject({
        state: 'failed',
        queue: {
          ...{ state: 'failed', ended: true, reason: '18 of 20 shards complete; failed: 5-6' },
          shards: {
            failed: [5, 6],
            again: 'freetumor submit a.yaml --array 20 --only 5-6 -- predict --images scans --out masks',
          },
        },
      })
      const { scheduler, submitted } = fakeScheduler({ first: 11 })
      const again = await plan({ out, only: '5-6' })
      await submitArray(again, scheduler)
      expect(readFileSync(submitted[0]!, 'utf8')).toContain('#SBATCH --array=1-2\n')
      expect(readFileSync(submitted[0]!, 'utf8')).toContain('(SLURM_ARRAY_TASK_ID + 4)')
      expect(await summary(out, {})).toMatchObject({ queue: { state: 'pending', shards: { completed: [] } } })
    })

    it('refuses a second submission while a job of it is in the queue', async () => {
      const out = await withEnds([{ job: '1', shard: 1, ...done(0) }])
      const completed: QueueState = { ...RUNNING, state: 'completed', ended: true }
      const { scheduler } = fakeScheduler({ states: { 1: completed, 2: completed, 3: completed } })
      const again = submitArray(await plan({ out }), scheduler)
      await expect(again).rejects.toThrow('Slurm job 1,2,3,4 pending (1 of 20 shards complete)')
    })

    it('is cancelled from its last job on, with the jobs that were submitted meanwhile', async () => {
      const out = await withEnds([])
      const { scheduler, cancelled } = fakeScheduler()
      let isFirst = true
      const cancel = async (...ids: readonly string[]): Promise<void> => {
        if (isFirst)
          await appendFile(join(out, 'submission/jobs.jsonl'), '{"job":"9","script":"tasks-4.sbatch"}\n')
        isFirst = false
        await scheduler.cancel(...ids)
      }
      const processes = {
        status: async () => null,
        connect: async () => null,
        holders: async () => new Map(),
        jobs: async (ids: readonly string[]) => new Map(ids.map((id) => [id, PENDING])),
      }
      await stopJob({ id: '1', directory: out }, 'stop', { ...scheduler, cancel }, processes)
      expect(cancelled).toEqual(['4', '3', '2', '1', '9'])
    })
  })
})

it('a run that a pod of Kubernetes has recorded is submitted, with the command that prints its state', async () => {
  const out = temporaryFolder()
  const record = {
    scheduler: 'kubernetes',
    id: 'trainjob/first-12345678',
    name: 'first',
    namespace: 'research',
  }
  await writeFile(join(out, 'submission.json'), JSON.stringify(record))
  await writeFile(join(out, 'config.resolved.yaml'), readFileSync('configs/debug-baseline.yaml'))
  const processes = {
    status: async () => null,
    holders: async () => new Map(),
    jobs: async (ids: readonly string[]) => {
      expect(ids).toEqual([])
      return new Map()
    },
  }
  expect(await summaryOfRun(out, processes)).toMatchObject({
    state: 'pending',
    queue: {
      ...{ scheduler: 'kubernetes', id: record.id, state: 'submitted', ended: false },
      reason: '`kubectl get trainjob/first-12345678 --namespace research` prints its state',
    },
  })
  await writeFile(
    join(out, 'exit.json'),
    JSON.stringify({ outcome: 'stopped', reason: 'SIGTERM', step: 7, exitCode: 75 }),
  )
  expect(await summaryOfRun(out, processes)).toMatchObject({ state: 'stopped', step: 7 })
})
