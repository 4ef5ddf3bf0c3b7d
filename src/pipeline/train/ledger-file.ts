import { type JsonLog, openJsonLog } from '../../jsonl.js'
import type { LedgerLine } from '../../quality/ledger.js'

/** The ledger of one attempt of a training. */
export interface LedgerFile extends AsyncDisposable {
  /** Resolves when lines may be written. */
  readonly ready: Promise<void>
  write(line: LedgerLine): void
}

/**
 * Open a ledger to append to.
 * @param check throws if this process may no longer write into the run
 * @param begins the step that the training starts from, once it is known: later lines are then removed
 */
export async function openLedger(
  path: string,
  begins: Promise<number>,
  check: () => void,
): Promise<LedgerFile> {
  let log: JsonLog<LedgerLine> | null = null
  const ready = begins.then(async (first) => {
    log = await openJsonLog<LedgerLine>(path, { keep: (line) => (line.step ?? 0) < first })
  })
  ready.catch(() => {})
  return {
    ready,
    write: (line) => {
      check()
      log?.write(line)
    },
    [Symbol.asyncDispose]: async () => log?.close(),
  }
}
