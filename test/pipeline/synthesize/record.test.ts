import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import { refuseOtherSettings } from '../../../src/pipeline/synthesize/record.js'
import { synthesisSettings } from '../../../src/pipeline/synthesize/settings.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const settings = synthesisSettings(
  resolveConfig({
    job: 'segmentation',
    data: { datasets: [{ name: 'hosts' }] },
    networks: { baseline: null, generator: null },
  }),
)
const checkpoints = { generator: null, baseline: null }
const none = { reviews: null, calibration: null }

it('synthesis.json keeps its keys, so that earlier folders can be resumed', async () => {
  const out = temporaryFolder()
  await refuseOtherSettings(out, settings, checkpoints, none)
  const record = JSON.parse(await readFile(join(out, 'synthesis.json'), 'utf8'))
  expect(Object.keys(record)).toEqual([
    'seed',
    'region',
    'spacingMm',
    'windowHu',
    'patchVoxels',
    'simulation',
    'quality',
    'synthesize',
    'judgeOverlap',
    'channel',
    'checkpoints',
  ])
  expect(record.synthesize).not.toHaveProperty('variants')
  await refuseOtherSettings(
    out,
    { ...settings, synthesize: { ...settings.synthesize, variants: 9 } },
    checkpoints,
    none,
  )
})

it('a folder of other settings is refused by their names, a damaged record as such', async () => {
  const out = temporaryFolder()
  await refuseOtherSettings(out, settings, checkpoints, none)
  const other = { ...settings, seed: 5, generatorChannel: 'organ' } as const
  await expect(refuseOtherSettings(out, other, checkpoints, none)).rejects.toThrow(
    'other settings (seed, channel)',
  )
  await writeFile(join(out, 'synthesis.json'), '{')
  await expect(refuseOtherSettings(out, settings, checkpoints, none)).rejects.toThrow(
    'its synthesis.json is damaged',
  )
})

it('another set of weights of the same file is another setting', async () => {
  const out = temporaryFolder()
  const baseline = { checkpoint: 'b.pt', weights: 'student', trainFrom: null, plugin: null }
  await refuseOtherSettings(out, { ...settings, baseline }, checkpoints, none)
  const other = { ...settings, baseline: { ...baseline, weights: 'teacher' } }
  await expect(refuseOtherSettings(out, other, checkpoints, none)).rejects.toThrow('other settings (weights)')
})
