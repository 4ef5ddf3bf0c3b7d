import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../../errors.js'
import { readJsonLog } from '../../jsonl.js'
import type { LedgerLine, SynthesisLine } from '../../quality/ledger.js'
import { cannotBeRead } from '../../system-errors.js'
import type { RunEvent } from '../../training/events.js'

/**
 * Read the events of a run so far, oldest first.
 * @param path run directory, or its `events.jsonl`
 * @throws UsageError if there is no such file; DataError if a line is damaged
 */
export async function* readRunEvents(path: string): AsyncIterable<RunEvent> {
  yield* readJsonLog<RunEvent>(await recordOf(path, 'events.jsonl'))
}

/**
 * Read the attempts of a ledger, oldest first: `SynthesisLine` of an offline synthesis, `LedgerLine` of a training.
 * @param path ledger, or the folder of a run or of a synthetic data set
 * @throws UsageError if there is no such file; DataError if a line is damaged
 */
export async function* readLedger<T extends LedgerLine | SynthesisLine = LedgerLine | SynthesisLine>(
  path: string,
): AsyncIterable<T> {
  yield* readJsonLog<T>(await recordOf(path, 'ledger.jsonl'))
}

async function recordOf(path: string, name: string): Promise<string> {
  const file = path.endsWith('.jsonl') ? path : join(path, name)
  await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(cannotBeRead(file, error.code), {
      hint: `name ${name}, or the folder that holds it`,
      cause: error,
    })
  })
  return file
}
