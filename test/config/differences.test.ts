import { describe, expect, it } from 'vitest'
import { differencesFromDefaults } from '../../src/config/differences.js'
import { loadConfig } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'

const small = (more: object = {}) =>
  resolveConfig({
    job: 'baseline',
    region: 'abdomen',
    data: { root: 'data', datasets: [{ name: 'MyTumors', role: 'labelled', labelMap: { 1: 1 } }] },
    ...more,
  })

describe('the keys that differ from the defaults', () => {
  it('are those that the user sets, with the default next to each', () => {
    const found = differencesFromDefaults(small({ training: { learningRate: 0.5 } }))
    expect(found.map(({ key }) => key)).toEqual(['data.datasets', 'training.learningRate'])
    expect(found[1]).toEqual({ key: 'training.learningRate', value: '0.5', default: expect.any(String) })
    expect(found[0]!.default).toBeNull()
  })

  it('leave out values that follow from other keys, unless the user sets another one', () => {
    const keysOf = (more: object) => differencesFromDefaults(small(more)).map(({ key }) => key)
    expect(keysOf({ sampling: { itemsPerStep: 8 } })).toEqual(['data.datasets', 'sampling.itemsPerStep'])
    expect(keysOf({ training: { accumulation: 2 }, sampling: { itemsPerStep: 2 } })).toContain(
      'training.accumulation',
    )
  })

  it('leave out the place of a default path', async () => {
    const config = await loadConfig('abdomen-baseline')
    const recorded = {
      ...config,
      prepare: { ...config.prepare, cache: `/somewhere/${config.prepare.cache}` },
    }
    const keys = differencesFromDefaults(recorded).map(({ key }) => key)
    expect(keys.filter((key) => key.startsWith('prepare.'))).toEqual([])
  })
})
