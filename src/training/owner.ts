import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SupersededError } from '../errors.js'
import { writeWhole } from '../whole-file.js'

/** File in a run directory with the number of the start that may write; rank 0 reads it too (training/state.py). */
export const OWNER_FILE = 'owner.json'

interface OwnerRecord {
  /** Raised by each start. */
  readonly number: number
  /** Id of the start. Without an enforced lock, two starts may write the same number; the last one stays. */
  readonly run: string
  readonly pid: number
  readonly host: string
  /** ISO 8601. */
  readonly since: string
}

/** The right of this start to write into a run's directory. */
export interface Ownership {
  readonly number: number
  /** @throws SupersededError when another start has taken the run over; called before each record is written */
  check(): void
}

/**
 * Take over a run: increase the number of its owner on the disk. An earlier owner that was suspended or disconnected reads
 * it before its next record and ends. The caller holds the directory's lock.
 */
export async function takeOver(directory: string, run: string): Promise<Ownership> {
  const path = join(directory, OWNER_FILE)
  const number = (readOwner(path)?.number ?? 0) + 1
  const record: OwnerRecord = {
    number,
    run,
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
  }
  await writeWhole(path, `${JSON.stringify(record, null, 2)}\n`)
  return {
    number,
    check: () => {
      const owner = readOwner(path)
      if (owner === null || (owner.number === number && owner.run === run)) return
      throw new SupersededError(
        `${directory} was taken over by process ${owner.pid} on host ${owner.host} at ${owner.since}`,
        {
          hint: 'this process writes nothing more; the other process continues the training',
          facts: { directory },
        },
      )
    },
  }
}

/** Return the reason of a start's end. If another start has taken the run over, later failures are consequences. */
export function causeOf(owner: Ownership | null, error: unknown): unknown {
  try {
    owner?.check()
    return error
  } catch (superseded) {
    return superseded
  }
}

/** Read the owner; null if the file is missing or damaged, because it then proves no other owner. */
function readOwner(path: string): OwnerRecord | null {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as OwnerRecord
    return Number.isSafeInteger(record.number) && typeof record.run === 'string' ? record : null
  } catch {
    return null
  }
}
