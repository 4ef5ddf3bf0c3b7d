import { expect, it } from 'vitest'
import { meet, sideOf } from '../../../src/curation/split/sides.js'

const training = { split: 'training', fold: null } as const
const validation = { split: 'validation', fold: null } as const
const test = { split: 'test', fold: null } as const
const fold = (at: number) => ({ split: 'training', fold: at }) as const

it('training meets what is held out, and what will be in its turn', () => {
  for (const heldOut of [validation, test, { ...validation, fold: 0 }]) {
    expect(meet(training, heldOut)).toBe(true)
    expect(meet(heldOut, fold(1))).toBe(true)
  }
  expect(meet(fold(0), fold(1))).toBe(true)
  expect(meet(fold(0), training)).toBe(true)
})

it('those of one side do not meet, nor do two that are held out', () => {
  expect(meet(training, training)).toBe(false)
  expect(meet(fold(2), fold(2))).toBe(false)
  expect(meet(validation, test)).toBe(false)
})

it('sides have names', () => {
  expect([training, fold(2), validation, test].map(sideOf)).toEqual([
    'training',
    'training, fold 2',
    'validation',
    'test',
  ])
})
