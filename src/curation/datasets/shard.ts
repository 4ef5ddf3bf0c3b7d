import { UsageError } from '../../errors.js'

/** One part of the cases of a command, for work that is shared between machines. */
export interface Shard {
  /** From 1 to `count`. */
  readonly index: number
  readonly count: number
  /** Command line without `--shard`, for hints. Default: hints name the call of the library. */
  readonly commandLine?: string | undefined
}

/** Largest number of shards: each has a folder. */
export const MAX_SHARDS = 100_000

/**
 * Check a shard.
 * @throws UsageError unless 1 <= index <= count
 */
export function refuseWrongShard({ index, count }: Shard): void {
  const isWhole = Number.isSafeInteger(index) && Number.isSafeInteger(count)
  if (isWhole && index >= 1 && index <= count && count <= MAX_SHARDS) return
  throw new UsageError(`--shard: wrong shard (expected ${SHARD_FORM}, found ${index}/${count})`, {
    hint: 'pass --shard 1/20 for the first of 20 shards',
  })
}

/** Form of a shard in messages. */
export const SHARD_FORM = `I/N with 1 <= I <= N <= ${MAX_SHARDS}`

/**
 * Return the cases of a shard: every `count`-th case, from case `index` on. Each case is in exactly one shard, the sizes of
 * shards differ by at most 1, and cases added at the end of the list change the shard of no other case.
 * @param cases all cases, in the order that every shard sees
 */
export function casesOfShard<T>(cases: readonly T[], { index, count }: Shard): T[] {
  const mine: T[] = []
  for (let at = index - 1; at < cases.length; at += count) mine.push(cases[at]!)
  return mine
}

/** Return the entries of all shards in the order of the whole list: the inverse of `casesOfShard`. */
export function inWholeOrder<T>(shards: readonly (readonly T[])[]): T[] {
  const total = shards.reduce((sum, { length }) => sum + length, 0)
  return Array.from(
    { length: total },
    (_, at) => shards[at % shards.length]![Math.floor(at / shards.length)]!,
  )
}
