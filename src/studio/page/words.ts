import { duration } from '../../report/wording.js'
import type { RunRow } from '../messages.js'

const STATES: Readonly<Partial<Record<RunRow['state'], string>>> = {
  died: 'ended without a record',
  unresponsive: 'not answering',
}

/** Look of a state, by the classes of the report. */
const LOOKS: Readonly<Partial<Record<RunRow['state'], string>>> = {
  completed: 'completed',
  training: 'running',
  starting: 'running',
  checking: 'running',
  paused: 'stopped',
  stopped: 'stopped',
  unresponsive: 'stopped',
  failed: 'failed',
  died: 'failed',
  broken: 'failed',
}

export function stateOf({ state }: RunRow): { readonly text: string; readonly look: string } {
  return { text: STATES[state] ?? state, look: LOOKS[state] ?? 'quiet' }
}

export function stepOf({ step, steps, reading }: RunRow): string {
  const at =
    steps === null
      ? step.toLocaleString('en-US')
      : `${step.toLocaleString('en-US')} of ${steps.toLocaleString('en-US')}`
  return reading ? `${at} (reading)` : at
}

export function rateOf({ stepsPerSecond }: RunRow): string {
  if (stepsPerSecond === null) return '–'
  return stepsPerSecond >= 1
    ? `${stepsPerSecond.toFixed(1)} steps/s`
    : `${(60 * stepsPerSecond).toFixed(1)} steps/min`
}

export function timeLeftOf({ secondsLeft }: RunRow): string {
  return secondsLeft === null ? '–' : duration(secondsLeft)
}

export function timeOf(text: string | null): string {
  return text === null ? '–' : text.slice(0, 19).replace('T', ' ')
}

/** Return whether a process trains the run, so that it takes commands. */
export function isRunning({ state }: RunRow): boolean {
  return ['checking', 'starting', 'training', 'paused'].includes(state)
}
