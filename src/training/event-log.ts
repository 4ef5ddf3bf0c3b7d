import { type JsonLog, openJsonLog, readJsonLog } from '../jsonl.js'
import type { RunEvent } from './events.js'
import type { Validation } from './selection.js'

/**
 * Open the events of a run (`events.jsonl`) to append to.
 * @param beforeStep step that the run resumes from; events of this and of later steps are removed. Default: keep all
 */
export function openEventLog(
  path: string,
  beforeStep = Number.POSITIVE_INFINITY,
): Promise<JsonLog<RunEvent>> {
  return openJsonLog<RunEvent>(path, { keep: (event) => happenedBefore(event, beforeStep) })
}

/** Read the events of a run in the order in which they happened. */
export function readEvents(path: string): AsyncIterable<RunEvent> {
  return readJsonLog<RunEvent>(path)
}

/** Read the validations of a run so far, oldest first. */
export async function readValidations(path: string): Promise<Validation[]> {
  const found: Validation[] = []
  for await (const event of readEvents(path))
    if (event.type === 'validation') found.push({ step: event.step, tumorDice: event.tumorDice })
  return found
}

/**
 * Return whether an event was complete before a step began. Work on a step has the number of that step. Other events have
 * the number of the next step: the validation and the checkpoint after step 99 have 100, and a run that resumes from step
 * 100 does not repeat them.
 */
function happenedBefore(event: RunEvent, step: number): boolean {
  if (!('step' in event)) return true
  return event.type === 'step' || event.type === 'synthesis' ? event.step < step : event.step <= step
}
