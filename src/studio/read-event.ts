import { JOBS } from '../config/key.js'
import { asRecord } from '../foreign-text.js'
import type { RunEvent } from '../training/events.js'

/** Longest text of an event that is kept. */
const MAX_TEXT = 4000

type Check = (value: unknown) => boolean

const isNumber: Check = (value) => typeof value === 'number'
const isText: Check = (value) => typeof value === 'string'
const isStep: Check = (value) => Number.isInteger(value) && (value as number) >= 0
const isNumberOrNull: Check = (value) => value === null || isNumber(value)
const isObject: Check = (value) => asRecord(value) !== undefined
const isTumorKind: Check = (value) => {
  const kind = asRecord(value)
  return (
    isText(kind?.organ) && isText(kind?.size) && [kind?.kept, kind?.tried, kind?.shareSeen].every(isNumber)
  )
}

/** Keys that the pages rely on, by type of event. */
const CHECKS: Readonly<Record<RunEvent['type'], Readonly<Record<string, Check>>>> = {
  started: {
    job: (value) => JOBS.includes(value as never),
    step: isStep,
    steps: isStep,
    device: isText,
    worldSize: isNumber,
    versions: isObject,
  },
  step: { step: isStep, losses: isObject, learningRate: isNumberOrNull },
  synthesis: {
    step: isStep,
    kept: isNumber,
    tried: isNumber,
    byOrgan: (value) => Object.values(asRecord(value) ?? { no: null }).every(isObject),
    byKind: (value) => Array.isArray(value) && value.every(isTumorKind),
  },
  validation: { step: isStep, tumorDice: isNumberOrNull, diceByLabel: isObject },
  checkpoint: { step: isStep, directory: isText, reason: isText },
  command: { step: isStep, command: isText },
  note: { level: isText, text: isText },
  restart: { step: isStep, diedAt: isStep, reason: isText },
  finished: { step: isStep, outcome: isText, reason: isText },
}

/** Return a parsed line as an event; null if it is none. Long texts are shortened. */
export function readEvent(value: unknown): RunEvent | null {
  const event = asRecord(value)
  const type = event?.type
  if (event === undefined || !isText(event.time) || typeof type !== 'string' || !Object.hasOwn(CHECKS, type))
    return null
  const checks = Object.entries(CHECKS[type as RunEvent['type']])
  if (!checks.every(([key, check]) => check(event[key]))) return null
  return (type === 'note' || type === 'restart' || type === 'finished'
    ? withShortTexts(event)
    : event) as unknown as RunEvent
}

function withShortTexts(event: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [
      key,
      typeof value === 'string' && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value,
    ]),
  )
}
