import { mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { ConfigInput, RunConfig } from '../../src/config/schema.js'
import { startTraining } from '../../src/pipeline/train/run.js'
import type { LedgerLine } from '../../src/quality/ledger.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import type { RunEvent } from '../../src/training/events.js'
import { sharedFile } from '../helpers/shared.js'
import { temporaryFolder } from '../helpers/temporary.js'

const abdomen = {
  image: sharedFile('data/totalsegmentator/example_ct.nii.gz'),
  label: sharedFile('data/totalsegmentator/example_seg_fast_force_split.nii.gz'),
}
const chest = {
  image: sharedFile('data/nsclc_lung1_001/ct_ds2.nii.gz'),
  label: sharedFile('data/nsclc_lung1_001/label_ds2.nii.gz'),
}

/** Every id of TotalSegmentator is background but the organs of the abdomen. */
const TOTAL_SEGMENTATOR: Record<string, number> = {
  ...Object.fromEntries(Array.from({ length: 117 }, (_, at) => [String(at + 1), 0])),
  '5': 1,
  '7': 3,
  '2': 5,
  '3': 5,
}

describe('training on real scans', () => {
  it.skipIf(!abdomen.image || !abdomen.label)(
    'paints tumors into a real abdominal host CT next to phantoms with tumors',
    async () => {
      const folder = temporaryFolder()
      await linkCase(join(folder, 'data', 'RealHost'), abdomen.image!, abdomen.label!)
      const config = await debugConfig(folder, 'abdomen', [
        { name: 'phantom_labelled' },
        { name: 'RealHost', role: 'host', labelMap: TOTAL_SEGMENTATOR, repeat: 6 },
      ])
      const { events, ledger } = await run(config, join(folder, 'run'))
      expect(losses(events)).toHaveLength(config.training.steps!)
      expect(losses(events).every(Number.isFinite)).toBe(true)
      const real = ledger.filter((line) => line.case.startsWith('RealHost') && line.verdict !== 'noRoom')
      expect(real.length).toBeGreaterThan(0)
      expect(real.every((line) => line.measures!.syntheticVoxels > 0)).toBe(true)
    },
  )

  it.skipIf(!chest.image || !chest.label)(
    'trains the chest variant on a real scan with a real lesion',
    async () => {
      const folder = temporaryFolder()
      await linkCase(join(folder, 'data', 'RealChest'), chest.image!, chest.label!)
      const config = await debugConfig(folder, 'chest', [
        // both lungs are the organ, the tumor is the lesion, the cord is nothing
        { name: 'RealChest', role: 'labelled', labelMap: { '1': 1, '2': 1, '3': 2, '4': 0 }, repeat: 3 },
      ])
      const { events, ledger } = await run(config, join(folder, 'run'))
      expect(losses(events).every(Number.isFinite)).toBe(true)
      expect(ledger.some((line) => line.organ === 'lung' && line.measures!.contrast > 0)).toBe(true)
    },
  )
})

/** The debug segmentation with hand-crafted tumors judged by nobody, for a few steps. */
async function debugConfig(
  folder: string,
  region: RunConfig['region'],
  datasets: NonNullable<NonNullable<ConfigInput['data']>['datasets']>,
): Promise<RunConfig> {
  const debug = await loadConfig(new URL('../../configs/debug-segmentation.yaml', import.meta.url).pathname)
  const chestOnly =
    region === 'chest'
      ? {
          prepare: { spacingMm: [2, 2, 3] as const, windowHu: [-1000, 500] as const },
          simulation: { ...debug.simulation, organWeights: { lung: 1 } },
          training: { ...debug.training, steps: 6, target: 'covid' as const },
        }
      : { training: { ...debug.training, steps: 6 } }
  return resolveConfig({
    ...debug,
    ...chestOnly,
    region,
    data: {
      root: join(folder, 'data'),
      phantoms:
        region === 'abdomen' ? { ...debug.data.phantoms!, labelledCases: 2, validationCases: 0 } : null,
      datasets,
    },
    prepare: { ...debug.prepare, ...chestOnly.prepare, cache: join(folder, 'cache') },
    networks: { ...debug.networks, baseline: null, generator: null },
  })
}

async function linkCase(dataset: string, image: string, label: string): Promise<void> {
  for (const [part, file] of [
    ['imagesTr', image],
    ['labelsTr', label],
  ] as const) {
    await mkdir(join(dataset, part), { recursive: true })
    await symlink(file, join(dataset, part, 'case.nii.gz'))
  }
}

async function run(config: RunConfig, out: string): Promise<{ events: RunEvent[]; ledger: LedgerLine[] }> {
  const events: RunEvent[] = []
  const training = startTraining(config, torchRuntime(), { out })
  for await (const event of training) events.push(event)
  expect((await training.result).outcome).toBe('completed')
  const lines = (await readFile(join(out, 'ledger.jsonl'), 'utf8')).trim().split('\n')
  return { events, ledger: lines.map((line) => JSON.parse(line) as LedgerLine) }
}

function losses(events: readonly RunEvent[]): number[] {
  return events.flatMap((event) => (event.type === 'step' ? [event.losses.total!] : []))
}
