import { readJsonLog } from '../jsonl.js'
import type { RunEvent } from './events.js'

/** The events of a run in the order in which they happened (`events.jsonl`). */
export function readEvents(path: string): AsyncIterable<RunEvent> {
  return readJsonLog<RunEvent>(path)
}
