import { type JsonLog, openJsonLog, readJsonLog } from '../jsonl.js'
import type { RunEvent } from './events.js'
import type { Validation } from './selection.js'

/**
 * Opens the events of a run (`events.jsonl`) to append to.
 * @param beforeStep the step that the run resumes from: events of it and of later steps are cut; default none
 */
export function openEventLog(
  path: string,
  beforeStep = Number.POSITIVE_INFINITY,
): Promise<JsonLog<RunEvent>> {
  return openJsonLog<RunEvent>(path, { keep: (event) => happenedBefore(event, beforeStep) })
}

/** The events of a run in the order in which they happened. */
export function readEvents(path: string): AsyncIterable<RunEvent> {
  return readJsonLog<RunEvent>(path)
}

/** The validations of a run so far, oldest first. */
export async function readValidations(path: string): Promise<Validation[]> {
  const found: Validation[] = []
  for await (const event of readEvents(path))
    if (event.type === 'validation') found.push({ step: event.step, tumorDice: event.tumorDice })
  return found
}

/**
 * Whether an event was over before a step began. Work on a step bears that step; the other events bear the next one to run:
 * the validation and the checkpoint that follow step 99 say 100, and a run that resumes from 100 does not repeat them.
 */
function happenedBefore(event: RunEvent, step: number): boolean {
  if (!('step' in event)) return true
  return event.type === 'step' || event.type === 'synthesis' ? event.step < step : event.step <= step
}
