import { hostname } from 'node:os'
import { UsageError } from '../errors.js'

/** A folder that no other process writes to while this is not disposed. */
export interface DirectoryLock extends AsyncDisposable {
  /** False on a file system without locks: another process may get in. */
  readonly enforced: boolean
}

/** Who holds a folder, as far as it is known. */
export interface Holder {
  readonly pid: number | null
  readonly host: string | null
}

/** What a folder is locked for: the word for it in the refusal of a second process. */
export interface LockedWork {
  refusal(directory: string, holder: Holder): UsageError
}

/** The lock of a run. */
export const TRAINING: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory} is being trained by ${holderInWords(holder)}`, {
      hint: `\`freetumor runs attach ${directory}\` follows it; ${howToEnd(holder)}`,
    }),
}

/** The lock of any other output folder. */
export const WRITING: LockedWork = {
  refusal: (directory, holder) =>
    new UsageError(`${directory} is being written by ${holderInWords(holder)}`, {
      hint: `wait for it, or choose another --out; ${howToEnd(holder)}`,
    }),
}

export function holderInWords({ pid, host }: Holder): string {
  if (pid === null) return 'another process'
  return `process ${pid} on host ${host ?? 'unknown'}`
}

/** What to do about a holder that does not answer. */
export function howToEnd({ pid, host }: Holder): string {
  if (pid === null) return 'if it is suspended, resume or end it'
  const where = host === null || host === hostname() ? '' : ` on ${host}`
  return `if it is suspended, resume it${where} (kill -CONT ${pid}) or end it (kill -9 ${pid})`
}
