import { UsageError } from '../errors.js'

export interface ArrayWish {
  /** Number of cases. */
  readonly cases: number
  /** Largest number of shards. */
  readonly shards: number
  /** Largest number of tasks that run at the same time (`%` of `--array`). Default: no limit. */
  readonly atOnce?: number | null | undefined
}

/** Limits of the scheduler. */
export interface ArrayLimits {
  /** `MaxArraySize` of slurm.conf: the largest task id is one less. */
  readonly maxArraySize: number
  /** Jobs that the user may still submit (`MaxSubmitJobs` less those in the queue); each task counts. Null: no limit. */
  readonly maxSubmitJobs: number | null
}

/** One job array. */
export interface ArraySlice {
  /** Value of `--array`, such as `1-1000%50`. */
  readonly array: string
  /** Task T works on shard `offset + T`. */
  readonly offset: number
  readonly tasks: number
  /** Slices of one wave are submitted together. The next wave fits in the limits only after this one has ended. */
  readonly wave: number
}

export interface ArrayPlan {
  readonly shards: number
  /** Cases of the largest shard. */
  readonly casesPerShard: number
  readonly slices: readonly ArraySlice[]
}

/** Jobs of a wave besides its tasks: the one that merges, or submits the next wave. */
const FINAL_JOBS = 1

/**
 * Split a command over cases into shards and job arrays within the limits of a scheduler. Shards are never empty.
 * @throws UsageError if there is no case, or the limits allow no task
 */
export function planArray({ cases, shards, atOnce }: ArrayWish, limits: ArrayLimits): ArrayPlan {
  refuseBelowOne('--array', shards)
  refuseBelowOne('--at-once', atOnce ?? 1)
  if (cases < 1) throw new UsageError('--array: no case to share', { hint: 'check the data sets' })
  const perWave = limits.maxSubmitJobs === null ? Number.POSITIVE_INFINITY : limits.maxSubmitJobs - FINAL_JOBS
  const perSlice = Math.min(limits.maxArraySize - 1, perWave)
  if (perSlice < 1)
    throw new UsageError(
      `--array: the scheduler accepts no task (MaxArraySize ${limits.maxArraySize}, ${limits.maxSubmitJobs ?? 'any number of'} more jobs)`,
      { hint: 'wait until queued jobs end, or submit without --array' },
    )
  const count = Math.min(shards, cases)
  const slices: ArraySlice[] = []
  let [wave, inWave] = [0, 0]
  for (let offset = 0; offset < count; offset += slices.at(-1)!.tasks) {
    if (inWave >= perWave) [wave, inWave] = [wave + 1, 0]
    const tasks = Math.min(perSlice, perWave - inWave, count - offset)
    inWave += tasks
    const limit = atOnce == null || atOnce >= tasks ? '' : `%${atOnce}`
    slices.push({ array: `1-${tasks}${limit}`, offset, tasks, wave })
  }
  return { shards: count, casesPerShard: Math.ceil(cases / count), slices }
}

function refuseBelowOne(flag: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`${flag}: wrong value (expected a whole number of at least 1, found ${value})`, {
      hint: `pass ${flag} 20`,
    })
}
