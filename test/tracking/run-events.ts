import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunEvent, StartedEvent } from '../../src/training/events.js'

const time = (step: number): string => new Date(Date.UTC(2026, 0, 1) + step * 1000).toISOString()

export function started(step = 0): StartedEvent {
  return {
    type: 'started',
    time: time(step),
    job: 'baseline',
    run: 'r',
    step,
    steps: 100,
    device: 'cpu',
    worldSize: 2,
    versions: { torch: '2.13.0' },
    parameters: {},
  }
}

export function stepEvent(step: number, loss = step / 10): RunEvent {
  return {
    type: 'step',
    time: time(step),
    job: 'baseline',
    step,
    epoch: 0,
    losses: { total: loss },
    learningRate: 0.1,
    seconds: 1,
    waitSeconds: 0,
  }
}

export function validation(step: number): RunEvent {
  return {
    type: 'validation',
    time: time(step),
    step,
    tumorDice: 0.5,
    diceByLabel: { 1: 0.25 },
    numCases: 1,
    best: true,
  }
}

export function finished(step: number): RunEvent {
  return { type: 'finished', time: time(step), outcome: 'completed', reason: 'done', step }
}

export function steps(from: number, to: number, loss?: number): RunEvent[] {
  return Array.from({ length: to - from }, (_, at) => stepEvent(from + at, loss))
}

/** Write the events of a run, as a training does that starts or resumes. */
export function writeEvents(directory: string, events: readonly RunEvent[]): void {
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join('')
  writeFileSync(join(directory, 'events.jsonl'), text)
}
