import { describe, expect, test } from 'vitest'
import { configChanges, decidingHash } from '../../src/config/changes.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { ConfigInput } from '../../src/config/schema.js'

const base: ConfigInput = {
  job: 'baseline',
  data: { datasets: [{ name: 'BTCV' }] },
  training: { steps: 10 },
  sampling: { itemsPerStep: 2 },
  networks: { segmentor: { kind: 'small' } },
}
const before = resolveConfig(base)
const changed = (change: Partial<ConfigInput>) => resolveConfig({ ...base, ...change })

function keysOf(change: Partial<ConfigInput>): Record<string, string[]> {
  const changes = Object.entries(configChanges(before, changed(change)))
  return Object.fromEntries(
    changes.map(([kind, found]) => [kind, found.map(({ key }: { key: string }) => key)]),
  )
}

describe('what has changed in a configuration', () => {
  test('is nothing when nothing has', () => {
    expect(keysOf({})).toEqual({ deciding: [], rounding: [], free: [] })
  })

  test.each<[string, Partial<ConfigInput>]>([
    ['seed', { seed: 5 }],
    ['training.learningRate', { training: { steps: 10, learningRate: 0.5 } }],
    ['networks.segmentor.featureSize', { networks: { segmentor: { kind: 'small', featureSize: 8 } } }],
    ['sampling.patchVoxels', { sampling: { itemsPerStep: 2, patchVoxels: [48, 48, 48] } }],
    [
      'simulation.curriculum',
      { simulation: { curriculum: [{ organ: 'liver', diameterMm: [5, 10], found: 1, missed: 2 }] } },
    ],
    ['runtime.precision', { runtime: { precision: 'bf16' } }],
  ])('decides the training for %s, and its hash differs', (key, change) => {
    expect(keysOf(change)).toEqual({ deciding: [key], rounding: [], free: [] })
    expect(decidingHash(changed(change))).not.toBe(decidingHash(before))
  })

  test.each<[string, Partial<ConfigInput>]>([
    ['runtime.threadsPerProcess', { runtime: { threadsPerProcess: 2 } }],
    ['runtime.processesPerNode', { runtime: { processesPerNode: 2 } }],
    ['runtime.device', { runtime: { device: 'cpu' } }],
  ])('is rounding for %s, and its hash is the same', (key, change) => {
    expect(keysOf(change)).toEqual({ deciding: [], rounding: [key], free: [] })
    expect(decidingHash(changed(change))).toBe(decidingHash(before))
  })

  test.each<[string, Partial<ConfigInput>]>([
    ['training.steps', { training: { steps: 20 } }],
    ['training.checkpointEverySteps', { training: { steps: 10, checkpointEverySteps: 7 } }],
    ['report.pictures', { report: { pictures: 0 } }],
    ['name', { name: 'other' }],
    ['runtime.restarts.max', { runtime: { restarts: { max: 9 } } }],
    ['sampling.workers', { sampling: { itemsPerStep: 2, workers: 1 } }],
    ['data.root', { data: { root: 'elsewhere', datasets: [{ name: 'BTCV' }] } }],
  ])('is free for %s, and its hash is the same', (key, change) => {
    expect(keysOf(change)).toEqual({ deciding: [], rounding: [], free: [key] })
    expect(decidingHash(changed(change))).toBe(decidingHash(before))
  })

  test('lists both values', () => {
    expect(configChanges(before, changed({ seed: 5 })).deciding).toEqual([
      { key: 'seed', before: 0, after: 5 },
    ])
  })

  test('does not depend on the order in which keys are written', () => {
    const { seed, ...others } = before
    expect(decidingHash({ ...others, seed })).toBe(decidingHash(before))
  })
})
