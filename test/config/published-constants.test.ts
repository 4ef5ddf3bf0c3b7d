import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { RunConfig } from '../../src/config/schema.js'

const root = new URL('../../', import.meta.url).pathname
const page = await readFile(`${root}docs/published-constants.md`, 'utf8')
const files = (await readdir(`${root}configs`)).filter(
  (name) => name.endsWith('.yaml') && !name.startsWith('debug-'),
)
const shipped = await Promise.all(files.map((name) => loadConfig(`${root}configs/${name}`)))

/** Items an epoch of the published loaders: training cases times repeats, and hosts. */
const [LITS, PANC, KITS, COVID, ABDOMEN_HOSTS, CHEST_HOSTS] = [104, 224, 391, 159, 13_186, 4_510]
function itemsPerEpoch({ job, region, training }: RunConfig): number {
  if (region === 'chest') return COVID * 20 + (job === 'baseline' ? 0 : CHEST_HOSTS)
  if (job === 'baseline') return LITS * 4 + PANC * 2 + KITS
  if (job === 'synthesis') return LITS * 200 + PANC * 100 + KITS * 100 + ABDOMEN_HOSTS
  return (
    { lits: LITS, panc: PANC, kits: KITS }[training.target as 'lits' | 'panc' | 'kits'] * 10 + ABDOMEN_HOSTS
  )
}

/** What the scripts say: the arguments of *_train.py as *.sh call them, and constants in the code. */
function published({ job, region }: RunConfig): Record<string, unknown> {
  const abdomen = region === 'abdomen'
  const common = {
    'prepare.spacingMm': abdomen ? [1.5, 1.5, 1.5] : [1.25, 1.25, 5],
    'prepare.windowHu': abdomen ? [-175, 250] : [-1000, 500],
    'sampling.patchVoxels': abdomen ? [96, 96, 96] : [192, 192, 32],
    'sampling.positiveOdds': 1,
    'sampling.augmentation.flipProbability': 0.2,
    'sampling.augmentation.rotateProbability': 0.2,
    'sampling.augmentation.scaleProbability': abdomen ? 0.1 : 0,
    'sampling.augmentation.shiftProbability': 0.1,
  }
  const painting = {
    'networks.generator.channel': abdomen ? 'shared' : 'organ',
    'networks.generator.baseChannels': 32,
    'simulation.texture.sizeVoxels': [420, 300, 320],
    'simulation.texture.count': abdomen ? 1 : 10,
  }
  if (job === 'synthesis')
    return {
      ...common,
      ...painting,
      'sampling.negativeOdds': 0,
      'sampling.cropsPerVolume': abdomen ? 1 : 2,
      'sampling.itemsPerStep': 32,
      'sampling.mixing': false,
      'runtime.processesPerNode': 8,
      'runtime.precision': abdomen ? 'fp32' : 'fp16',
      'training.epochs': 100,
      'training.optimizer': 'adam',
      'training.learningRate': 1e-4,
      'training.schedule': 'constant',
      'training.weightDecay': 0,
      'training.adversarialWeight': abdomen ? 0.1 : 0.5,
      'training.accumulation': 1,
    }
  const judged = {
    ...painting,
    'quality.shareSeenThreshold': 0.7,
    'quality.shareOver': 'case',
    'synthesize.triesPerTumor': 10,
    'synthesize.overlap': 0.75,
    'synthesize.windowBatch': 4,
  }
  return {
    ...common,
    ...(job === 'segmentation' ? judged : {}),
    'networks.segmentor.kind': 'swinunetr',
    'networks.segmentor.featureSize': 48,
    'networks.segmentor.patchMerging': 'legacy',
    'networks.segmentor.initialWeights': 'VoCo_B_SSL_head.pt',
    'sampling.negativeOdds': 1,
    'sampling.cropsPerVolume': abdomen ? 4 : 2,
    'sampling.itemsPerStep': 1,
    'sampling.mixing': true,
    'runtime.processesPerNode': 1,
    'runtime.precision': 'fp16',
    'training.epochs': abdomen ? (job === 'baseline' ? 200 : 20) : 30,
    'training.warmupEpochs': abdomen ? 2 : 1,
    'training.validateEveryEpochs': abdomen && job === 'baseline' ? 10 : 1,
    'training.optimizer': 'adamw',
    'training.learningRate': 3e-4,
    'training.schedule': 'warmupCosine',
    'training.weightDecay': 0.01,
    'training.accumulation': 1,
    'evaluation.overlap': 0.75,
    'evaluation.blend': 'constant',
    'evaluation.windowBatch': abdomen ? 4 : 2,
  }
}

function valueAt(config: RunConfig, key: string): unknown {
  return key.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], config)
}

/** The cells of the table below a heading. */
function tableOf(heading: string): readonly (readonly string[])[] {
  const below = page
    .slice(page.indexOf(`## ${heading}\n`))
    .split('\n')
    .slice(2)
  const end = below.findIndex((line) => !line.startsWith('|'))
  return below.slice(2, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

function unquoted(cell: string): string {
  return cell.replace(/^`|`$/g, '')
}

describe('docs/published-constants.md', () => {
  it('lists every constant of a shipped configuration that differs from the published scripts, and no other', () => {
    const differences = shipped.flatMap((config) =>
      Object.entries(published(config))
        .filter(([key, value]) => JSON.stringify(valueAt(config, key)) !== JSON.stringify(value))
        .map(([key, value]) => [config.name, key, value, valueAt(config, key)] as const),
    )
    const listed = tableOf('Keys').flatMap(([key, names, before, after, reason]) => {
      expect(reason!.length).toBeGreaterThan(20)
      return names!
        .split(', ')
        .map((name) => [name, unquoted(key!), JSON.parse(unquoted(before!)), JSON.parse(unquoted(after!))])
    })
    const sorted = (rows: readonly (readonly unknown[])[]) => rows.map((row) => JSON.stringify(row)).sort()
    expect(sorted(listed)).toEqual(sorted(differences))
  })

  it('states the optimizer steps of every shipped configuration next to the published ones', () => {
    const stated = tableOf('Optimizer steps').map(([name, ...numbers]) => [name, ...numbers.map(Number)])
    const computed = shipped.map((config) => {
      const items = itemsPerEpoch(config)
      const epochs = config.training.epochs!
      const before = published(config)
      const steps = (itemsPerStep: number) => Math.ceil((items * epochs) / itemsPerStep)
      return [
        config.name,
        items,
        epochs,
        steps(before['sampling.itemsPerStep'] as number),
        steps(config.sampling.itemsPerStep),
      ]
    })
    expect(stated.sort()).toEqual(computed.sort())
  })
})

it.each(
  shipped.filter(({ name }) => !name.endsWith('-8gpu')).map((config) => [config.name, config] as const),
)('the defaults of a file with nothing but a job are those of %s', (_, config) => {
  const ranks = config.runtime.processesPerNode
  const bare = resolveConfig({
    job: config.job,
    region: config.region,
    data: config.data,
    networks:
      config.job === 'baseline'
        ? {}
        : { baseline: { checkpoint: 'baseline.pt' }, generator: { checkpoint: 'generator.pt' } },
    training: { target: config.training.target },
    runtime: { processesPerNode: ranks },
  })
  for (const key of Object.keys(published(config)))
    if (key !== 'runtime.precision') expect([key, valueAt(bare, key)]).toEqual([key, valueAt(config, key)])
})
