import { UsageError } from '../errors.js'
import { rangesOf } from './ranges.js'

export interface ArrayWish {
  /** Number of cases. */
  readonly cases: number
  /** Largest number of shards. */
  readonly shards: number
  /** Largest number of tasks that run at the same time (`%` of `--array`). Default: no limit. */
  readonly atOnce?: number | null | undefined
  /** Shards to run, increasing. Default: all. */
  readonly only?: readonly number[] | undefined
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

/** Jobs in the queue besides the tasks of a single wave: the merge. */
const BESIDES_ALL = 1
/** Jobs besides the tasks of one of several waves: the job that submits it, and the one that follows it. */
const BESIDES_WAVE = 2

/**
 * Split a command over cases into shards and job arrays within the limits of a scheduler. Shards are never empty.
 * @throws UsageError if there is no case, or the limits allow no task
 */
export function planArray({ cases, shards, atOnce, only }: ArrayWish, limits: ArrayLimits): ArrayPlan {
  refuseBelowOne('--array', shards)
  refuseBelowOne('--at-once', atOnce ?? 1)
  if (cases < 1) throw new UsageError('--array: no case to share', { hint: 'check the data sets' })
  const count = Math.min(shards, cases)
  const selected = only ?? Array.from({ length: count }, (_, at) => at + 1)
  const { maxArraySize, maxSubmitJobs } = limits
  const most = maxSubmitJobs ?? Number.POSITIVE_INFINITY
  const perWave = selected.length + BESIDES_ALL <= most ? selected.length : most - BESIDES_WAVE
  if (maxArraySize < 2 || perWave < 1)
    throw new UsageError(
      `--array: the scheduler accepts no task (MaxArraySize ${maxArraySize}, ${maxSubmitJobs ?? 'any number of'} more jobs)`,
      { hint: 'wait until queued jobs end, or submit without --array' },
    )
  const slices: ArraySlice[] = []
  let [at, wave, inWave] = [0, 0, 0]
  while (at < selected.length) {
    if (inWave >= perWave) [wave, inWave] = [wave + 1, 0]
    const offset = selected[at]! - 1
    const fitting = selected.slice(at, at + perWave - inWave).filter((one) => one - offset < maxArraySize)
    const tasks = fitting.length
    const limit = atOnce == null || atOnce >= tasks ? '' : `%${atOnce}`
    slices.push({ array: `${rangesOf(fitting.map((one) => one - offset))}${limit}`, offset, tasks, wave })
    at += tasks
    inWave += tasks
  }
  return { shards: count, casesPerShard: Math.ceil(cases / count), slices }
}

function refuseBelowOne(flag: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`${flag}: wrong value (expected a whole number of at least 1, found ${value})`, {
      hint: `pass ${flag} 20`,
    })
}
