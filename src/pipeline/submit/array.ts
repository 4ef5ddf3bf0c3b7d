import { appendFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ArrayLimits, planArray } from '../../cluster/array.js'
import { ARRAY_SCRIPTS, JOBS_FILE } from '../../cluster/folders.js'
import { numbersOf, rangesOf } from '../../cluster/ranges.js'
import { waveScript } from '../../cluster/slurm.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import { writeWhole } from '../../whole-file.js'
import type { JobOrder, JobScheduler } from '../ports/scheduler.js'
import { type SubmittedArray, writeSubmission } from '../runs/submission.js'
import { type Installation, type PlannedJob, planJob, type SubmittedJob, submitIn } from './run.js'

/** Commands that take `--shard`, with the option that names what `merge` joins. */
const COMMANDS: Readonly<Record<string, string>> = {
  'data check': '--out',
  'data audit': '--out',
  evaluate: '--out',
  predict: '--out',
  prepare: '--config',
  synthesize: '--out',
}

/** A command over many cases, one task for each shard. */
export interface ArrayOptions {
  /** Command of freetumor without `--shard`, such as `predict --images scans --out masks`. */
  readonly argv: readonly string[]
  readonly shards: number
  /** Shards to submit, such as `3,7-9`. Default: all. */
  readonly only?: string | undefined
  /** The command line of the submission, without `--only`, to submit shards again. */
  readonly commandLine: string
  readonly out?: string | undefined
  readonly workingDirectory: string
}

/** Jobs of an array. Nothing is written or submitted yet. */
export interface PlannedArray {
  readonly array: SubmittedArray
  /** Jobs of the tasks, by wave. */
  readonly waves: readonly (readonly PlannedJob[])[]
  /** The job that merges the results after all tasks. */
  readonly merge: PlannedJob
  /** One of the arrays of a wave runs at a time, so that the limit of tasks holds for all together. */
  readonly inTurn: boolean
  /** All scripts by the name of their file, in the order of their start. */
  readonly scripts: ReadonlyMap<string, string>
}

/** Jobs of an array that were submitted; those of later waves submit themselves. */
export interface SubmittedArrayJobs extends SubmittedJob {
  /** Ids of the job arrays, the first one also in `id`. */
  readonly arrays: readonly string[]
  /** Number of waves. Only the first one is submitted. */
  readonly waves: number
  /** Job that merges the results; null while waves follow, of which the last one submits it. */
  readonly merge: SubmittedJob | null
}

/** Return whether a command line is one that takes `--shard`. */
export function isArrayCommand(argv: readonly string[]): boolean {
  return commandOf(argv) !== undefined
}

/**
 * Return the jobs of an array within the limits of a scheduler, and a last job that merges the results.
 * @throws UsageError for a command that takes no `--shard`
 */
export async function planArrayJobs(
  config: RunConfig,
  installation: Installation,
  { argv, shards, only, commandLine, out, workingDirectory }: ArrayOptions,
  limits: ArrayLimits,
): Promise<PlannedArray> {
  const merged = mergedPath(argv)
  const atOnce = config.cluster?.slurm.maxConcurrentTasks
  const chosen = only === undefined ? undefined : numbersOf(only, shards, '--only')
  const { slices } = planArray({ cases: shards, shards, atOnce, only: chosen }, limits)
  const waves: PlannedJob[][] = []
  for (const { array: slice, offset, wave } of slices) {
    const work = { kind: 'array', argv, shards, slice, offset } as const
    const planned = await planJob(config, installation, { out, workingDirectory, work })
    waves[wave] = [...(waves[wave] ?? []), planned]
  }
  const work = { kind: 'command', argv: ['merge', merged] } as const
  const merge = await planJob(config, installation, {
    out: waves[0]![0]!.job.directory,
    workingDirectory,
    work,
  })
  const selected = rangesOf(chosen ?? Array.from({ length: shards }, (_, at) => at + 1))
  return {
    array: { shards, selected, commandLine },
    waves,
    merge,
    inTurn: atOnce != null,
    scripts: scriptsOf(waves, merge, atOnce != null),
  }
}

function scriptsOf(
  waves: readonly (readonly PlannedJob[])[],
  merge: PlannedJob,
  inTurn: boolean,
): Map<string, string> {
  const scripts = new Map<string, string>()
  let number = 0
  for (const [at, wave] of waves.entries()) {
    const tasks = wave.map((_, index) => ARRAY_SCRIPTS.tasks(number + index + 1))
    number += tasks.length
    const following = at + 1 < waves.length ? ARRAY_SCRIPTS.wave(at + 2) : ARRAY_SCRIPTS.merge
    if (at > 0) scripts.set(ARRAY_SCRIPTS.wave(at + 1), waveScript(merge.job, { tasks, inTurn, following }))
    for (const [index, { script }] of wave.entries()) scripts.set(tasks[index]!, script)
  }
  return scripts.set(ARRAY_SCRIPTS.merge, merge.script)
}

/**
 * Submit the first wave of an array, and the job after it: the one that submits the next wave, or the merge. Both start also
 * after failed tasks: the merge names them.
 * @throws UsageError, EnvironmentError as `submitJob`; then nothing is left in the queue
 */
export async function submitArray(
  { array, waves, scripts, inTurn }: PlannedArray,
  scheduler: JobScheduler,
): Promise<SubmittedArrayJobs> {
  const { directory, name } = waves[0]![0]!.job
  return await submitIn(waves[0]![0]!.job, scheduler, async (folder) => {
    for (const old of await readdir(folder))
      if (old.endsWith('.sbatch') && !scripts.has(old)) await rm(join(folder, old))
    for (const [file, script] of scripts) await writeWhole(join(folder, file), script)
    await writeWhole(join(folder, JOBS_FILE), '')
    const submitted: string[] = []
    const submit = async (script: string, after: JobOrder | null): Promise<string> => {
      const job = await scheduler.submit(join(folder, script), after)
      submitted.push(job)
      await appendFile(join(folder, JOBS_FILE), `${JSON.stringify({ job, script })}\n`)
      return job
    }
    try {
      const arrays: string[] = []
      for (const at of waves[0]!.keys())
        arrays.push(
          await submit(
            ARRAY_SCRIPTS.tasks(at + 1),
            inTurn && at > 0 ? { ids: arrays.slice(), until: 'ended' } : null,
          ),
        )
      const [id] = arrays as [string]
      const isLast = waves.length === 1
      const following = await submit(isLast ? ARRAY_SCRIPTS.merge : ARRAY_SCRIPTS.wave(2), {
        ids: arrays,
        until: 'ended',
      })
      const time = new Date().toISOString()
      await writeSubmission(directory, {
        ...{ scheduler: 'slurm', id, name, submitted: time, config: null, after: null, namespace: null },
        array,
      })
      return {
        id,
        directory,
        arrays,
        waves: waves.length,
        merge: isLast ? { id: following, directory } : null,
      }
    } catch (error) {
      if (submitted.length > 0) await scheduler.cancel(...submitted.reverse()).catch(() => {})
      throw error
    }
  })
}

function commandOf(argv: readonly string[]): string | undefined {
  return Object.keys(COMMANDS).find((name) => name.split(' ').every((word, at) => word === argv[at]))
}

/** Return what `merge` joins after a command over shards. @throws UsageError for a command that takes no `--shard` */
export function mergedPath(argv: readonly string[]): string {
  const command = commandOf(argv)
  if (command === undefined)
    throw new UsageError(
      `--array: wrong command (expected one of ${Object.keys(COMMANDS).join(', ')}, found ${argv[0] ?? 'nothing'})`,
      { hint: 'write `freetumor submit FILE --array 20 -- predict --images scans --out masks`' },
    )
  const refused = argv.find((word) => /^--(shard|overwrite)(=|$)/.test(word))
  if (refused !== undefined)
    throw new UsageError(
      `--array: ${command} with ${refused} (expected none: each task has its own --shard)`,
      {
        hint: `remove ${refused} from the command`,
      },
    )
  const option = COMMANDS[command]!
  const at = argv.findIndex((word) => word === option || word.startsWith(`${option}=`))
  const value = argv[at]?.includes('=') ? argv[at]?.slice(option.length + 1) : argv[at + 1]
  if (at < 0 || value === undefined || value === '' || value.startsWith('-'))
    throw new UsageError(`--array: ${command} without ${option} (expected its results in one place)`, {
      hint: `add ${option} to the command`,
    })
  return value
}
