import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig, printConfig, withOverrides } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'
import { parseYaml } from '../../src/config/yaml.js'
import { ConfigError } from '../../src/errors.js'
import { keptFolder } from '../helpers/temporary.js'

const shipped = new URL('../../configs/', import.meta.url).pathname
const folder = keptFolder()

describe('shipped configurations', async () => {
  for (const file of (await readdir(shipped)).filter((name) => name.endsWith('.yaml'))) {
    it(`${file} resolves, and its printed form resolves to the same`, async () => {
      const config = await loadConfig(join(shipped, file))
      expect(`${config.name}.yaml`).toBe(file)
      expect(resolveConfig(parseYaml(printConfig(config), file))).toEqual(config)
    })
  }

  it('are one file for each region and job', async () => {
    const names = (await readdir(shipped)).sort()
    const wanted = ['abdomen', 'chest', 'debug'].flatMap((kind) =>
      ['baseline', 'segmentation', 'synthesis'].map((job) => `${kind}-${job}.yaml`),
    )
    expect(names).toEqual(expect.arrayContaining(wanted))
  })
})

describe('loadConfig', () => {
  it('applies --set pairs as YAML values', async () => {
    const config = await loadConfig(join(shipped, 'debug-baseline.yaml'), {
      set: [
        'training.steps=3',
        'sampling.augmentation.flipProbability=0',
        'networks.segmentor.initialWeights=null',
      ],
    })
    expect(config.training.steps).toBe(3)
    expect(config.sampling.augmentation.flipProbability).toBe(0)
  })

  it('takes trainFrom relative to the file that names it', async () => {
    const config = await loadConfig(join(shipped, 'debug-synthesis.yaml'))
    expect(config.networks.baseline?.trainFrom).toBe(join(shipped, 'debug-baseline.yaml'))
  })

  it('names a missing file and gives a hint', async () => {
    await expect(loadConfig(join(folder, 'none.yaml'))).rejects.toMatchObject({
      message: expect.stringContaining('none.yaml: configuration not found'),
      hint: expect.stringContaining('freetumor init'),
      exitCode: 2,
    })
  })

  it('reads a JavaScript module', async () => {
    const path = join(folder, 'run.mjs')
    await writeFile(path, "export default { job: 'baseline', data: { datasets: [{ name: 'BTCV' }] } }")
    expect((await loadConfig(path)).job).toBe('baseline')
  })

  it.each([
    ['a: 1\na: 2', 'unique'],
    ['a: !!python/object:os.system x', 'tag'],
    ['%YAML 1.1\n---\na: no', '%YAML 1.1'],
    [`a: ${'['.repeat(5000)}`, 'nested deeper'],
  ])('refuses hostile or ambiguous YAML %#', (text, message) => {
    expect(() => parseYaml(text, 'x.yaml')).toThrow(message)
  })
})

describe('withOverrides', () => {
  it.each([
    '__proto__.x=1',
    'training.__proto__.x=1',
    'constructor.prototype.x=1',
    'training={__proto__: {x: 1}}',
  ])('keeps --set %s from every prototype', (pair) => {
    try {
      withOverrides({ training: {} }, [pair])
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
    }
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })

  it('takes the index of a list, and no other key of it', () => {
    const input = { data: { datasets: [{ name: 'a' }] } }
    expect(withOverrides(input, ['data.datasets.1.name=b'])).toEqual({
      data: { datasets: [{ name: 'a' }, { name: 'b' }] },
    })
    for (const key of ['length', '4000000000', '-1'])
      expect(() => withOverrides(input, [`data.datasets.${key}=9`])).toThrow('no list index (expected 0 to 1')
  })

  it('bounds a value as it does a file', () => {
    expect(() => withOverrides({}, [`a=${'['.repeat(5000)}`])).toThrow('--set a: nested deeper')
  })
})
