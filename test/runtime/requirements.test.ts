import { describe, expect, test } from 'vitest'
import {
  belowFloors,
  compareVersions,
  EXTRAS,
  FLOORS,
  isSupportedPython,
  offPins,
  type RuntimeExtra,
  readRequirements,
} from '../../src/runtime/requirements.js'

const facts = (packages: Record<string, string>) => ({ executable: '/p', version: '3.11.7', packages })

test('Python 3.11 and 3.12 are supported, their neighbours are not', () => {
  const asked = ['3.10.14', '3.11.0', '3.12.9', '3.13.0', '2.7.18']
  expect(asked.filter(isSupportedPython)).toEqual(['3.11.0', '3.12.9'])
})

test('versions compare by their numbers, not by their letters or their build', () => {
  expect(compareVersions('2.9.1', '2.10')).toBeLessThan(0)
  expect(compareVersions('2.13.0+cpu', '2.13')).toBe(0)
  expect(compareVersions('10', '9.9')).toBeGreaterThan(0)
})

test('every package with a floor is pinned, at or above its floor', () => {
  const { pins } = readRequirements()
  expect(Object.keys(pins)).toEqual(expect.arrayContaining(Object.keys(FLOORS)))
  expect(belowFloors(facts(pins))).toEqual([])
})

test('every package of an optional part is pinned, at or above its floor, and changes no other pin', () => {
  const base = readRequirements().pins
  for (const [extra, floors] of Object.entries(EXTRAS)) {
    const { pins } = readRequirements({ extras: [extra as RuntimeExtra] })
    expect(belowFloors(facts(pins), floors)).toEqual([])
    expect(pins).toMatchObject(base)
  }
})

describe('an interpreter that falls short', () => {
  test('is reported for each package, with the found and the required version', () => {
    const { nibabel: _, ...pins } = readRequirements().pins
    expect(belowFloors(facts({ ...pins, torch: '2.9.1+cu128' }))).toEqual([
      'torch 2.9.1+cu128 (2.10 or newer is needed)',
      'nibabel is missing',
    ])
  })

  test('of the pins is reported too, but a local build of the pinned version counts as the pinned version', () => {
    const pins = { torch: '2.13.0', monai: '1.6.1' }
    expect(offPins(facts({ torch: '2.13.0+cpu', monai: '1.6.0' }), pins)).toEqual([
      'monai 1.6.0 (pinned 1.6.1)',
    ])
  })
})
