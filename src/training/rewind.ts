import { type Checkpoint, markBest, openNewestGood } from './checkpoints.js'
import type { RunJournal } from './journal.js'
import { bestOf } from './selection.js'

/**
 * Reset the records of a run, and `best`, to its newest complete checkpoint.
 * @returns the checkpoint; null if there is none and the run restarts from step 0
 */
export async function rewindRun(directory: string, journal: RunJournal): Promise<Checkpoint | null> {
  const notes: string[] = []
  const checkpoint = await openNewestGood(directory, (text) => notes.push(text))
  await journal.open(directory, checkpoint?.step ?? 0)
  for (const text of notes) journal.note(text, 'warning')
  await markBest(directory, bestOf(journal.validations)?.step ?? null)
  return checkpoint
}
