import { type JsonLog, openJsonLog } from '../jsonl.js'
import type { LedgerLine } from '../quality/ledger.js'

/** The ledger of one life of a training. */
export interface LedgerFile extends AsyncDisposable {
  /** Resolves when lines may be written. */
  readonly ready: Promise<void>
  write(line: LedgerLine): void
}

/**
 * Opens a ledger to append to.
 * @param begins the step that the training goes on from, as soon as it is known: later lines are cut then
 */
export async function openLedger(path: string, begins: Promise<number>): Promise<LedgerFile> {
  let log: JsonLog<LedgerLine> | null = null
  const ready = begins.then(async (first) => {
    log = await openJsonLog<LedgerLine>(path, { keep: (line) => (line.step ?? 0) < first })
  })
  ready.catch(() => {})
  return {
    ready,
    write: (line) => log?.write(line),
    [Symbol.asyncDispose]: async () => log?.close(),
  }
}
