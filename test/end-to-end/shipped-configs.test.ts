import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { packageRoot } from '../../src/runtime/python.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Ids of the abdomen, with real tumors of the kidney only. */
const KIDNEY_TUMORS = { 1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 6: 6 }

interface Shipped {
  readonly job: string
  readonly region: string
  readonly networks: Record<string, Record<string, unknown>>
  readonly training: Record<string, unknown>
}

/** A shipped configuration as it is but for its data and its sizes: phantoms, small networks, two steps, one process. */
function small({ networks, training, ...shipped }: Shipped, labelMap: object | null): object {
  const { epochs, warmupEpochs, validateEveryEpochs, ...trained } = training
  return {
    ...shipped,
    data: {
      root: 'phantoms',
      phantoms: {
        labelledCases: 2,
        validationCases: 0,
        hostCases: 2,
        testCases: 0,
        sizeVoxels: 64,
        seed: 1,
      },
      datasets: [
        { name: 'phantom_labelled', ...(labelMap ? { labelMap } : {}) },
        ...(shipped.job === 'baseline' ? [] : [{ name: 'phantom_hosts' }]),
      ],
    },
    prepare: { cache: 'cache', spacingMm: [1.5, 1.5, 1.5] },
    networks: {
      ...networks,
      segmentor: { kind: 'small', featureSize: 8, levels: 2 },
      ...(networks.generator ? { generator: { ...networks.generator, baseChannels: 4 } } : {}),
    },
    simulation: {
      sizeOdds: { tiny: 1, small: 0, medium: 0, large: 0 },
      texture: { sizeVoxels: [64, 64, 64], count: 1 },
    },
    training: { ...trained, steps: 2 },
    sampling: { patchVoxels: [32, 32, 32], cropsPerVolume: 1, itemsPerStep: 2, workers: 1 },
    runtime: { processesPerNode: 1, device: 'cpu' },
  }
}

async function shrink(names: readonly string[], folder: string, labelMap: object | null): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of names) {
    const shipped = parse(await readFile(join(packageRoot, 'configs', name), 'utf8')) as Shipped
    await writeFile(join(folder, name), stringify(small(shipped, labelMap)))
  }
}

// a chain of three trainings each
it.each([
  ['chest-segmentation', ['chest-baseline', 'chest-synthesis'], null, 'lung'],
  ['abdomen-segmentation-kidney', ['abdomen-baseline', 'abdomen-synthesis'], KIDNEY_TUMORS, 'kidney'],
] as const)(
  '%s trains with all that it is made from',
  { timeout: 600_000 },
  async (name, before, labelMap, organ) => {
    const folder = temporaryFolder()
    await shrink(
      [name, ...before].map((one) => `${one}.yaml`),
      folder,
      labelMap,
    )
    const trained = await runCli(['train', '--config', `${name}.yaml`, '--out', 'run', '--output', 'json'], {
      cwd: folder,
    })
    expect(trained).toMatchObject({ code: 0 })
    const { checkpoint } = JSON.parse(trained.stdout) as { checkpoint: string }
    const inspected = await runCli(
      ['checkpoint', 'inspect', join(checkpoint, 'model.pt'), '--output', 'json'],
      { cwd: folder },
    )
    // background, the organ, its tumor
    expect(JSON.parse(inspected.stdout)).toMatchObject({ networks: [{ outputs: 3 }] })
    const ledger = (await readFile(join(folder, 'run', 'ledger.jsonl'), 'utf8')).trim().split('\n')
    const organs = ledger.flatMap((line) => (JSON.parse(line) as { organ?: string }).organ ?? [])
    expect(new Set(organs)).toEqual(new Set([organ]))
  },
)
