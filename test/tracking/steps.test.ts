import { describe, expect, it } from 'vitest'
import { figuresOf } from '../../src/tracking/steps.js'
import type { RunEvent } from '../../src/training/events.js'
import { finished, started, stepEvent, validation } from './run-events.js'

describe('figures of events', () => {
  it('are the listed numbers of a step only', () => {
    const event = {
      ...stepEvent(3, 0.5),
      losses: { total: 0.5, dice: null, '/data/patient-7': 1 },
      memoryBytes: null,
      utilization: 0.5,
      case: 'patient-7',
    } as unknown as RunEvent
    expect(figuresOf(event)).toEqual({
      step: 3,
      values: {
        'loss/total': 0.5,
        learningRate: 0.1,
        'step/epoch': 0,
        'step/seconds': 1,
        'step/waitSeconds': 0,
        'step/utilization': 0.5,
      },
    })
  })

  it('name organs and label ids, and no other key of a record', () => {
    const synthesis = {
      type: 'synthesis',
      time: '2026-01-01T00:00:00Z',
      step: 2,
      shareSeen: null,
      kept: 1,
      tried: 2,
      noRoom: 0,
      byOrgan: {
        liver: { kept: 1, tried: 2, shareSeen: 0.5 },
        'Jane Doe': { kept: 9, tried: 9, shareSeen: 1 },
      },
      byKind: [],
    } as unknown as RunEvent
    expect(Object.keys(figuresOf(synthesis)!.values)).toEqual([
      'synthesis/accepted',
      'synthesis/painted',
      'synthesis/noRoom',
      'synthesis/liver/detectedFraction',
      'synthesis/liver/accepted',
      'synthesis/liver/painted',
    ])
    const odd = { ...validation(4), diceByLabel: { 1: 0.25, 'patient-7': 1 } } as RunEvent
    expect(figuresOf(odd)!.values).toEqual({ 'validation/tumorDice': 0.5, 'validation/dice/1': 0.25 })
  })

  it('give a validation the number of the step before it, as TensorBoard files do', () => {
    expect(figuresOf(validation(100))!.step).toBe(99)
  })

  it('are none for notes, starts and ends', () => {
    expect([started(), finished(4)].map(figuresOf)).toEqual([null, null])
  })
})
