import { type ArrayLimits, planArray } from '../../cluster/array.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import type { JobScheduler } from '../ports/scheduler.js'
import { type Installation, type PlannedJob, planJob, type SubmittedJob, submitJob } from './run.js'

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
  readonly out?: string | undefined
  readonly workingDirectory: string
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
  { argv, shards, out, workingDirectory }: ArrayOptions,
  limits: ArrayLimits,
): Promise<{ readonly tasks: PlannedJob; readonly merge: PlannedJob }> {
  const merged = mergedPath(argv)
  const atOnce = config.cluster?.slurm.maxConcurrentTasks
  const plan = planArray({ cases: shards, shards, atOnce }, limits)
  const [first, ...rest] = plan.slices
  if (rest.length > 0)
    throw new UsageError(
      `--array: more tasks than the scheduler accepts at once (expected at most ${first!.tasks}, found ${shards})`,
      { hint: `pass --array ${first!.tasks}: each task then has more cases` },
    )
  const work = { kind: 'array', argv, shards, slice: first!.array, offset: first!.offset } as const
  const tasks = await planJob(config, installation, { out, workingDirectory, work })
  const merge = await planJob(config, installation, {
    out: `${tasks.job.directory}/merge`,
    workingDirectory,
    work: { kind: 'command', argv: ['merge', merged] },
  })
  return { tasks, merge }
}

/** Submit an array and its merge, which starts when all tasks have completed. */
export async function submitArray(
  { tasks, merge }: Awaited<ReturnType<typeof planArrayJobs>>,
  scheduler: JobScheduler,
): Promise<SubmittedJob & { readonly merge: SubmittedJob }> {
  const array = await submitJob(tasks, scheduler)
  try {
    return { ...array, merge: await submitJob(merge, scheduler, array) }
  } catch (error) {
    await scheduler.cancel(array.id).catch(() => {})
    throw error
  }
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
