import { expect, it } from 'vitest'
import { meet, sideOf } from '../../../src/curation/split/sides.js'

const training = { split: 'training', fold: null } as const
const validation = { split: 'validation', fold: null } as const
const test = { split: 'test', fold: null } as const
const fold = (at: number) => ({ split: 'training', fold: at }) as const

it('a training case conflicts with held-out cases, and with cases of other folds', () => {
  for (const heldOut of [validation, test, { ...validation, fold: 0 }]) {
    expect(meet(training, heldOut)).toBe(true)
    expect(meet(heldOut, fold(1))).toBe(true)
  }
  expect(meet(fold(0), fold(1))).toBe(true)
  expect(meet(fold(0), training)).toBe(true)
})

it('two cases of one side do not conflict, nor do two held-out cases', () => {
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
