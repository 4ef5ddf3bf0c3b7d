import type { RunEvent } from '../training/events.js'

/** Figures of a step, as trackers receive them. */
export interface TrackedStep {
  /** From 0, as in the TensorBoard files of the run: a validation after step 99 has 99. */
  readonly step: number
  /** When the step ended, in Unix milliseconds. */
  readonly timeMs: number
  readonly values: Readonly<Record<string, number>>
}

/** Losses that leave the run; an unknown name stays in it. */
const LOSSES = [
  'total',
  'dice',
  'crossEntropy',
  'generator',
  'discriminator',
  'adversarial',
  'segmentation',
] as const
const ORGANS = ['liver', 'pancreas', 'kidney', 'lung'] as const

/**
 * Return the figures of an event that trackers receive, and their step. This list is complete: every other field of the
 * run stays in its directory.
 */
export function figuresOf(event: RunEvent): Omit<TrackedStep, 'timeMs'> | null {
  switch (event.type) {
    case 'step':
      return {
        step: event.step,
        values: numbersOf({
          ...Object.fromEntries(LOSSES.map((name) => [`loss/${name}`, event.losses[name]])),
          learningRate: event.learningRate,
          'step/epoch': event.epoch,
          'step/seconds': event.seconds,
          'step/waitSeconds': event.waitSeconds,
          'step/memoryBytes': event.memoryBytes,
          'step/utilization': event.utilization,
        }),
      }
    case 'synthesis':
      return {
        step: event.step,
        values: numbersOf({
          'synthesis/detectedFraction': event.shareSeen,
          'synthesis/accepted': event.kept,
          'synthesis/painted': event.tried,
          'synthesis/noRoom': event.noRoom,
          ...Object.fromEntries(
            ORGANS.flatMap((organ) => [
              [`synthesis/${organ}/detectedFraction`, event.byOrgan[organ]?.shareSeen],
              [`synthesis/${organ}/accepted`, event.byOrgan[organ]?.kept],
              [`synthesis/${organ}/painted`, event.byOrgan[organ]?.tried],
            ]),
          ),
        }),
      }
    case 'validation':
      return {
        step: event.step - 1,
        values: numbersOf({
          'validation/tumorDice': event.tumorDice,
          ...Object.fromEntries(
            Object.entries(event.diceByLabel)
              .filter(([label]) => /^\d{1,3}$/.test(label))
              .map(([label, dice]) => [`validation/dice/${label}`, dice]),
          ),
        }),
      }
    default:
      return null
  }
}

/** Return the values that are finite numbers; JSON writes a loss that is not one as null. */
function numbersOf(values: Readonly<Record<string, unknown>>): Record<string, number> {
  const found = Object.entries(values).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number' && Number.isFinite(entry[1]),
  )
  return Object.fromEntries(found)
}
