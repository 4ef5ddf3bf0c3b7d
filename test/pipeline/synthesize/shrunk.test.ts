import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { readManifest } from '../../../src/curation/datasets/manifest.js'
import { readJsonLog } from '../../../src/jsonl.js'
import type { CaseToPrepare } from '../../../src/pipeline/prepare/run.js'
import type { Synthesis } from '../../../src/pipeline/synthesize/dataset.js'
import type { Hosts } from '../../../src/pipeline/synthesize/hosts.js'
import { refusedSources } from '../../../src/pipeline/synthesize/refused-sources.js'
import { synthesizeCases } from '../../../src/pipeline/synthesize/run.js'
import { synthesisSettings } from '../../../src/pipeline/synthesize/settings.js'
import type { SynthesisLine } from '../../../src/quality/ledger.js'
import { synthesisLineSchema } from '../../../src/quality/ledger-schema.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { makeVoxels } from '../../sampling/prepared-case-files.js'
import { memoryRuntime, preparedCase } from '../train/memory-run.js'

const SIDE = 48
const isBall = (at: number, radius: number, [x, y, z]: readonly number[]): boolean =>
  (x! - at) ** 2 + (y! - at) ** 2 + (z! - at) ** 2 <= radius ** 2

/** Ids of the prepared cases, by the end of their name: diameters of the tumors are about 23, 19 and 4 mm. */
const ANATOMIES: Readonly<Record<string, (voxel: readonly number[]) => number>> = {
  tumors: (voxel) => (isBall(16, 7.5, voxel) ? 2 : isBall(34, 6, voxel) ? 2 : 1),
  kidney: (voxel) => (voxel[0]! < 20 ? 1 : isBall(34, 7, voxel) ? 6 : 5),
  healthy: () => 1,
  speck: (voxel) => (isBall(20, 1, voxel) ? 2 : 1),
  full: (voxel) => (voxel.every((at) => at > 3 && at < 44) ? 2 : 1),
}

function runtime() {
  return memoryRuntime({
    prepare: ({ id }, spec) => {
      const idOf = ANATOMIES[Object.keys(ANATOMIES).find((name) => id.endsWith(name))!]!
      const isIn = (voxel: readonly number[]) => voxel.every((at) => at > 1 && at < SIDE - 2)
      const voxels = makeVoxels([SIDE, SIDE, SIDE], (...voxel) => [50, isIn(voxel) ? idOf(voxel) : 0])
      return { caseId: id, result: preparedCase(id, spec.directory, voxels) }
    },
  })
}

function cases(...names: string[]): CaseToPrepare[] {
  return names.map((name, fold) => ({
    id: `Mine/${name}`,
    dataset: 'Mine',
    patient: `patient-${name}`,
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver'] },
    image: `/data/${name}.nii.gz`,
    label: `/data/${name}-label.nii.gz`,
    fold,
    split: 'training',
    labelMap: { '1': 1, '2': 2 },
  }))
}

function configOf(folder: string, synthesize: Partial<RunConfig['synthesize']> = {}): RunConfig {
  return resolveConfig({
    job: 'segmentation',
    name: 'early',
    seed: 3,
    data: { datasets: [{ name: 'Mine', role: 'labelled' }] },
    prepare: { cache: join(folder, 'cache') },
    sampling: { patchVoxels: [32, 32, 32] },
    simulation: { texture: { sizeVoxels: [64, 64, 64], count: 1 } },
    networks: { segmentor: { kind: 'small', levels: 1 }, baseline: null, generator: null },
    synthesize: { method: 'shrunk', variants: 3, tumorsPerVariant: 2, ...synthesize },
    report: { pictures: 0 },
  })
}

interface Made {
  readonly result: Synthesis
  readonly ledger: readonly SynthesisLine[]
  readonly notes: readonly string[]
  readonly out: string
}

async function made(
  hosts: Hosts,
  synthesize: Partial<RunConfig['synthesize']> = {},
  folder = temporaryFolder(),
): Promise<Made> {
  const out = join(folder, 'out')
  const notes: string[] = []
  const context = {
    runtime: runtime(),
    signal: undefined,
    logDirectory: out,
    note: (text: string) => notes.push(text),
  }
  const settings = synthesisSettings(configOf(folder, synthesize))
  const result = await synthesizeCases({ settings, out, hosts }, context)
  const ledger: SynthesisLine[] = []
  for await (const line of readJsonLog<SynthesisLine>(join(out, 'ledger.jsonl'))) ledger.push(line)
  return { result, ledger, notes, out }
}

const timeless = ({ time: _, ...line }: SynthesisLine): unknown => line

describe('a synthesis of shrunk real tumors', () => {
  it('lists the source of every copy, with a factor that gives a diameter in the range', async () => {
    const { result, ledger } = await made(cases('tumors'))
    expect(result).toMatchObject({ scans: 3, tumors: { kept: 6, tried: 6, noRoom: 0 }, failed: [] })
    for (const line of ledger) {
      synthesisLineSchema.parse(line)
      expect(line).toMatchObject({
        method: 'shrunk',
        source: { case: 'Mine/tumors' },
        organ: 'liver',
        size: 'tiny',
      })
      const { diameterMm, factor } = line.source!
      expect(diameterMm * factor).toBeGreaterThanOrEqual(5)
      expect(diameterMm * factor).toBeLessThanOrEqual(10)
      // 1.5 mm voxels, the first one 20 mm from the origin: the tumors lie around voxels 16 and 34
      const centre = line.source!.component === 0 ? 4 : 31
      for (const at of line.source!.centreMm) expect(Math.abs(at - centre)).toBeLessThan(1)
    }
    expect(new Set(ledger.map(({ source }) => source!.component)).size).toBe(2)
    expect(new Set(ledger.map(({ plan }) => plan!.centre.join())).size).toBe(6)
  })

  it('gives its scans the patient, fold and parent of the source, which is their host', async () => {
    const { out } = await made(cases('a-tumors', 'b-tumors'), { variants: 1 })
    const { cases: children } = await readManifest(join(out, 'manifest.json'))
    expect(children.map(({ parent, patient, fold, split }) => ({ parent, patient, fold, split }))).toEqual([
      { parent: 'Mine/a-tumors', patient: 'patient-a-tumors', fold: 0, split: 'training' },
      { parent: 'Mine/b-tumors', patient: 'patient-b-tumors', fold: 1, split: 'training' },
    ])
  })

  it('depends on seed and case only: other cases, and a second run, change nothing', async () => {
    const both = await made(cases('tumors', 'kidney'))
    const alone = await made(cases('kidney'))
    const again = await made(cases('tumors', 'kidney'))
    expect(again.ledger.map(timeless)).toEqual(both.ledger.map(timeless))
    const ofKidney = both.ledger.filter(({ case: id }) => id === 'Mine/kidney')
    expect(alone.ledger.map(timeless)).toEqual(ofKidney.map(timeless))
  })

  it('uses only organs with a real tumor', async () => {
    const { ledger } = await made(cases('kidney'))
    expect(ledger).toHaveLength(6)
    expect(new Set(ledger.map(({ organ, verdict }) => `${organ} ${verdict}`))).toEqual(
      new Set(['kidney accepted']),
    )
  })

  it('refuses cases without a tumor, with a tumor below the target, and without a place, each by its reason', async () => {
    const { result, ledger, notes } = await made(cases('healthy', 'speck', 'full', 'tumors'), { variants: 1 })
    const reasons = new Map(
      ledger.filter(({ organ }) => organ === 'liver').map((line) => [line.case, line.reason]),
    )
    expect(Object.fromEntries(reasons)).toEqual({
      'Mine/healthy': 'noTumor',
      'Mine/speck': 'tumorTooSmall',
      'Mine/full': expect.stringMatching(/^(noRoom|organTooSmall)$/),
      'Mine/tumors': 'notJudged',
    })
    for (const line of ledger) synthesisLineSchema.parse(line)
    expect(result).toMatchObject({ scans: 1, tumors: { kept: 2 } })
    expect(notes).toEqual(
      expect.arrayContaining([
        '1 case has no labelled tumor in the selected organs (first Mine/healthy)',
        '1 case has only tumors below the smallest diameter of a copy: no tumor is enlarged (first Mine/speck)',
        '1 case has no place for a copy in the healthy part of the organ (first Mine/full)',
      ]),
    )
  })

  it('never enlarges a tumor: the largest copy is the largest source', async () => {
    const { ledger } = await made(cases('tumors'), {
      shrunkDiameterMm: [15, 60],
      tumorsPerVariant: 1,
      variants: 8,
    })
    const placed = ledger.filter(({ source }) => source !== undefined)
    expect(placed.length).toBeGreaterThan(0)
    for (const { source } of placed) expect(source!.factor).toBeLessThanOrEqual(1)
  })

  it('never takes a validation, test or synthetic case as source', async () => {
    const [a, b, c, d] = cases('a-tumors', 'b-tumors', 'c-tumors', 'd-tumors') as [
      CaseToPrepare,
      CaseToPrepare,
      CaseToPrepare,
      CaseToPrepare,
    ]
    const held = [
      { ...a, split: 'validation' as const },
      { ...b, split: 'test' as const },
      { ...c, parent: a.id },
    ]
    const { ledger, notes } = await made([...held, d], { variants: 1 })
    expect(new Set(ledger.map(({ case: id }) => id))).toEqual(new Set([d.id]))
    expect(notes).toContain('3 held-out or synthetic cases left out: never shrunk')
    await expect(made(held)).rejects.toThrow(
      'no tumor to shrink (expected a training case with labelled tumors)',
    )
  })

  it('takes the training part of a data set that a path names', async () => {
    const images = temporaryFolder()
    const entry = (name: string) => ({ image: `imagesTr/${name}.nii.gz`, label: `labelsTr/${name}.nii.gz` })
    for (const folder of ['imagesTr', 'labelsTr']) {
      mkdirSync(join(images, folder))
      for (const name of ['a-tumors', 'b-tumors']) writeFileSync(join(images, folder, `${name}.nii.gz`), '')
    }
    const list = { training: [entry('a-tumors')], validation: [entry('b-tumors')] }
    writeFileSync(join(images, 'dataset.json'), JSON.stringify(list))
    const { ledger } = await made({ images })
    expect(new Set(ledger.map(({ case: id }) => id))).toEqual(new Set(['a-tumors']))
    const painted = await made({ images }, { method: 'simulated' })
    expect(new Set(painted.ledger.map(({ case: id }) => id))).toEqual(new Set(['a-tumors', 'b-tumors']))
  })

  it('refuses a folder that holds another method or other diameters', async () => {
    const folder = temporaryFolder()
    await made(cases('tumors'), {}, folder)
    await expect(made(cases('tumors'), { shrunkDiameterMm: [6, 10] }, folder)).rejects.toThrow(
      'other settings (synthesize)',
    )
    await expect(made(cases('tumors'), { method: 'simulated' }, folder)).rejects.toThrow(
      'other settings (synthesize)',
    )
  })
})

describe('the settings of shrunk tumors', () => {
  it('have no generator, and refuse one that is named', () => {
    const config = configOf(temporaryFolder())
    const generator = { checkpoint: 'g.pt', channel: 'organ', weights: null, trainFrom: null, plugin: null }
    const networks = { ...config.networks, generator } as RunConfig['networks']
    expect(synthesisSettings({ ...config, networks })).toMatchObject({
      generator: null,
      generatorChannel: null,
    })
    expect(() => synthesisSettings(config, { generator: '/g.pt' })).toThrow(
      '--generator: not possible with method shrunk',
    )
    expect(() => synthesisSettings(config, { generator: '/g.pt', method: 'simulated' })).not.toThrow()
  })

  it('refuse diameters of less than three voxels', () => {
    const config = configOf(temporaryFolder())
    const prepare = { ...config.prepare, spacingMm: [1.25, 1.25, 5] as const }
    expect(() => synthesisSettings({ ...config, prepare })).toThrow(
      'synthesize.shrunkDiameterMm: too small for the grid (expected at least 3 voxels, 15 mm, found 5 mm)',
    )
    const synthesize = { ...config.synthesize, shrunkDiameterMm: [15, 20] as const }
    expect(() => synthesisSettings({ ...config, prepare, synthesize })).not.toThrow()
  })
})

describe('the reasons without a copy', () => {
  it('count each case once, by its last step, and cases with a copy not at all', () => {
    const line = (id: string, reason: string, plan: unknown = null) =>
      ({ case: id, reason, plan, method: 'shrunk' }) as SynthesisLine
    const lines = [line('a', 'noTumor'), line('a', 'noRoom'), line('b', 'noTumor'), line('c', 'noRoom')]
    expect(refusedSources([...lines, line('c', 'seen', {})])).toEqual([
      '1 case has no labelled tumor in the selected organs (first b)',
      '1 case has no place for a copy in the healthy part of the organ (first a)',
    ])
    expect(refusedSources([{ ...line('a', 'noRoom'), method: undefined } as never])).toEqual([])
  })
})
