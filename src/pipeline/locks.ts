import { hostname } from 'node:os'
import { UsageError } from '../errors.js'
import { quoted } from '../plain-text.js'
import type { Holder, LockedWork } from './ports/common.js'

/** The lock of a run. */
export const TRAINING: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory} is being trained by ${holderInWords(holder)}`, {
      hint: `\`freetumor runs attach ${quoted(directory)}\` follows it; ${howToEnd(holder)}`,
    }),
}

/** The lock of any other output folder. */
export const WRITING: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory} is being written by ${holderInWords(holder)}`, {
      hint: `wait for it, or choose another --out; ${howToEnd(holder)}`,
    }),
}

/** The lock of a reader study: two servers would give one case to a reader twice. */
export const SERVING: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory} is being served by ${holderInWords(holder)}`, {
      hint: `end it with Ctrl-C, or use its links; ${howToEnd(holder)}`,
    }),
}

/** The lock of an output folder that several shards write. */
export const WRITING_SHARDS: LockedWork = { ...WRITING, shared: true }

/** The lock of the records of one shard. */
export const WRITING_SHARD: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory}: another process works on this shard (${holderInWords(holder)})`, {
      hint: `wait for it, or run another shard; ${howToEnd(holder)}`,
    }),
}

export function holderInWords({ pid, host }: Holder): string {
  if (pid === null) return 'another process'
  return `process ${pid} on host ${host ?? 'unknown'}`
}

/** Return a hint for a lock whose holder does not answer. */
export function howToEnd({ pid, host }: Holder): string {
  if (pid === null) return 'if it is suspended, resume or end it'
  const where = host === null || host === hostname() ? '' : ` on ${host}`
  return `if it is suspended, resume it${where} (kill -CONT ${pid}) or end it (kill -9 ${pid})`
}
