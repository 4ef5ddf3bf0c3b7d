import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput, RunConfig } from '../../../src/config/schema.js'
import type { AuditPair } from '../../../src/curation/audit/run.js'
import { curate } from '../../../src/curation/datasets/curate.js'
import { LeakError } from '../../../src/errors.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { refuseLeaks } from '../../../src/pipeline/prepare/leak-check.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { moveAxes } from '../../../src/volume/geometry.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import type { Volume } from '../../../src/volume/volume.js'
import { retyped } from '../../helpers/scan-copies.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../train/memory-run.js'

const scans = [0, 1, 2, 3].map(
  (index) => makePhantom({ region: 'abdomen', index, seed: 9, sizeVoxels: 24, tumors: true }).image,
)
const turned = moveAxes(retyped(scans[1]!, Float32Array), { source: [1, 2, 0], flip: [false, true, true] })

let root: string
beforeEach(() => {
  root = temporaryFolder()
})

type Entries = Readonly<Record<string, Volume>>

async function dataSet(
  name: string,
  training: Entries,
  validation: Entries = {},
  more: object = {},
): Promise<void> {
  for (const folder of ['imagesTr', 'labelsTr']) await mkdir(join(root, name, folder), { recursive: true })
  for (const [stem, scan] of Object.entries({ ...training, ...validation }))
    for (const folder of ['imagesTr', 'labelsTr'])
      await writeNifti(join(root, name, folder, `${stem}.nii.gz`), scan)
  const listed = (entries: Entries) =>
    Object.keys(entries).map((stem) => ({
      image: `imagesTr/${stem}.nii.gz`,
      label: `labelsTr/${stem}.nii.gz`,
      ...more,
    }))
  const list = { training: listed(training), validation: listed(validation) }
  await writeFile(join(root, name, 'dataset.json'), JSON.stringify(list))
}

function configOf(data: object, more: Partial<ConfigInput> = {}): RunConfig {
  return resolveConfig({
    job: 'baseline',
    ...more,
    data: { root, ...data } as ConfigInput['data'],
    prepare: { cache: join(root, 'cache'), workers: 1 },
  })
}

async function gate(config: RunConfig) {
  const notes: string[] = []
  const { cases } = await curate(config.data, config.region)
  const context = {
    runtime: memoryRuntime(),
    signal: undefined,
    logDirectory: root,
    note: (text: string, level = 'info') => void notes.push(`${level}: ${text}`),
  }
  await refuseLeaks(config, cases, context)
  return notes
}

const LIVER = { name: 'Dataset003_Liver' }

describe('the leak check', () => {
  it('refuses a held-out scan among the training scans, whatever its header, orientation and type', async () => {
    await dataSet('Dataset003_Liver', { liver_0: scans[0]!, liver_1: scans[1]! }, { liver_2: turned })
    const refused = await gate(configOf({ datasets: [LIVER] })).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LeakError)
    expect(refused).toMatchObject({
      exitCode: 6,
      message: expect.stringContaining(
        'Dataset003_Liver/liver_2 is held out, Dataset003_Liver/liver_1 trains',
      ),
      facts: {
        leaks: [{ kind: 'exact', training: 'Dataset003_Liver/liver_1', heldOut: 'Dataset003_Liver/liver_2' }],
      },
    })
  })

  it('looks at hosts where they are sampled, and only there', async () => {
    await dataSet('Dataset003_Liver', { liver_0: scans[0]! }, { liver_2: scans[1]! })
    await dataSet('BTCV', { img1: turned })
    const datasets = [LIVER, { name: 'BTCV' }]
    await expect(gate(configOf({ datasets }))).resolves.toBeDefined()
    const weights = { checkpoint: 'b.pt', trainFrom: null }
    const synthesis = { job: 'synthesis', networks: { baseline: weights } } as const
    await expect(gate(configOf({ datasets }, synthesis))).rejects.toThrow(
      /BTCV\/img1 trains: the same voxels/,
    )
    const unused = [LIVER, { name: 'BTCV', repeat: 0 }]
    await expect(gate(configOf({ datasets: unused }, synthesis))).resolves.toBeDefined()
  })

  it('refuses a patient on both sides, and a synthetic case of a held-out host', async () => {
    await dataSet('PANORAMA', { '100417_00001': scans[0]! }, { '100417_00002': scans[1]! })
    await expect(gate(configOf({ datasets: [{ name: 'PANORAMA', role: 'labelled' }] }))).rejects.toThrow(
      /100417_00002 is held out, PANORAMA\/100417_00001 trains: the same patient/,
    )
    await dataSet('Dataset003_Liver', { liver_0: scans[0]! }, { liver_2: scans[2]! })
    const host = { host: 'Dataset003_Liver/liver_2', patient: 'Dataset003_Liver/liver_2' }
    await dataSet('Made', { liver_2_0: scans[3]! }, {}, host)
    const made = { name: 'Made', role: 'labelled', labelMap: { '1': 1, '2': 2 } }
    await expect(gate(configOf({ datasets: [LIVER, made] }))).rejects.toThrow(
      /Made\/liver_2_0 trains: the same patient/,
    )
  })

  it('refuses LiTS cases that are known to be in the test set of 3D-IRCADb', async () => {
    await dataSet('Dataset003_Liver', { liver_27: scans[0]!, liver_28: scans[1]! })
    await dataSet('3Dircadb1_convert', { p1: scans[2]! })
    const ircad = { name: '3Dircadb1_convert', labelMap: { '1': 1, '2': 2 } }
    const refused = await gate(configOf({ datasets: [LIVER, ircad] })).catch((error: LeakError) => error)
    expect(refused).toMatchObject({
      facts: {
        leaks: [{ kind: 'known', training: 'Dataset003_Liver/liver_28', heldOut: '3Dircadb1_convert/*' }],
      },
    })
  })

  it('lets through what the configuration gives a reason for, notes it, and refuses the rest', async () => {
    const training = { liver_0: scans[0]!, liver_1: scans[1]! }
    await dataSet('Dataset003_Liver', training, { liver_2: turned, liver_3: scans[0]! })
    const reason = 'a rehearsal on purpose, no figure is taken from it'
    const allowing = (...allowedLeaks: object[]) => gate(configOf({ datasets: [LIVER], allowedLeaks }))
    const one = { training: '*', heldOut: 'Dataset003_Liver/liver_2', reason }
    await expect(allowing(one)).rejects.toThrow(
      /1 held-out case is .*\n.*liver_3 is held out, .*liver_0 trains/,
    )
    const other = { training: 'Dataset003_Liver/liver_0', heldOut: '*_3', reason }
    const notes = await allowing(one, other, { training: 'X/*', heldOut: '*', reason })
    expect(notes).toContainEqual(
      expect.stringMatching(/^warning: leak allowed: .*liver_2 .*liver_1.* a rehearsal/),
    )
    expect(notes).toContainEqual(expect.stringMatching(/^warning: leak allowed: .*liver_3 .*liver_0/))
    expect(notes).toContainEqual(expect.stringMatching(/^info: .*training X\/\*.*no such leak was found/))
    expect(() =>
      configOf({ datasets: [LIVER], allowedLeaks: [{ training: '*', heldOut: '*', reason: ' ' }] }),
    ).toThrow(/allowedLeaks.0.reason/)
  })

  it('reads only scans of the size of a held-out one, and each of them once', async () => {
    const small = makePhantom({ region: 'abdomen', index: 7, seed: 9, sizeVoxels: 20, tumors: true }).image
    await dataSet('Dataset003_Liver', { liver_0: scans[0]!, liver_1: small }, { liver_2: scans[2]! })
    const config = configOf({ datasets: [LIVER] })
    await gate(config)
    const folder = join(root, 'cache/fingerprints')
    const kept = await readdir(folder)
    expect(kept).toHaveLength(2)
    const times = () => Promise.all(kept.map(async (name) => (await stat(join(folder, name))).mtimeMs))
    const before = await times()
    await gate(config)
    expect(await times()).toEqual(before)
    // another file in its place is read again
    const image = join(root, 'Dataset003_Liver/imagesTr/liver_2.nii.gz')
    await writeNifti(image, scans[0]!)
    await utimes(image, 1, 1)
    await expect(gate(config)).rejects.toThrow(/the same voxels/)
  })

  it('takes near-duplicates from the last audit, and lists the scans that the audit lacks', async () => {
    await dataSet('Dataset003_Liver', { liver_0: scans[0]! }, { liver_2: scans[2]! })
    const config = configOf({ datasets: [LIVER] })
    expect(await gate(config)).toEqual([
      expect.stringMatching(/^info: no audit searched for near-duplicates/),
    ])
    const [a, b] = ['Dataset003_Liver/liver_2', 'Dataset003_Liver/liver_0']
    const near: Partial<AuditPair> = { kind: 'near', cases: [a, b], message: 'a resampled copy' }
    const save = (cases: string[], pairs: unknown[]) =>
      writeFile(
        join(root, 'cache/audit.json'),
        JSON.stringify({ version: 1, time: '2026-01-01', cases, pairs }),
      )
    await mkdir(join(root, 'cache'), { recursive: true })
    await save([a, b], [near])
    await expect(gate(config)).rejects.toThrow(/liver_2 is held out, .*liver_0 trains: a resampled copy/)
    await save([a], [])
    expect(await gate(config)).toEqual([
      expect.stringMatching(/did not compare 1 of 2 cases \(first .*liver_0/),
    ])
    await save([a, b], [])
    expect(await gate(config)).toEqual([])
    await writeFile(join(root, 'cache/audit.json'), '{')
    await expect(gate(config)).rejects.toThrow(/audit.json: is no audit/)
  })

  it('warns of data sets that are known to share scans when no audit looked', async () => {
    await dataSet('Dataset003_Liver', { liver_0: scans[0]! }, { liver_2: scans[2]! })
    await dataSet('Flare22', { f_1: scans[3]! })
    const weights = { checkpoint: 'b.pt', trainFrom: null }
    const notes = await gate(
      configOf(
        { datasets: [LIVER, { name: 'Flare22' }] },
        { job: 'synthesis', networks: { baseline: weights } },
      ),
    )
    expect(notes).toContainEqual(
      expect.stringMatching(/^warning: Dataset003_Liver and Flare22 are known to share/),
    )
  })
})

describe('a training', () => {
  it('ends before any weights are looked at when it is refused, and shows the reason of a leak in its report', async () => {
    const config = await memoryConfig('baseline', root)
    const { cases } = await made(config)
    const heldOut = cases.find(({ split }) => split === 'validation')!
    const training = cases.find(({ split, role }) => split === 'training' && role.kind === 'labelled')!
    await writeFile(heldOut.image, await readFile(training.image))
    const refused = startTraining(config, memoryRuntime(), { out: join(root, 'refused') })
    await expect(refused.result).rejects.toMatchObject({ exitCode: 6 })
    const exit = JSON.parse(await readFile(join(root, 'refused/exit.json'), 'utf8'))
    expect(exit).toMatchObject({ outcome: 'failed', exitCode: 6 })

    const reason = 'this rehearsal shows what a report says'
    const allowedLeaks = [{ training: training.id, heldOut: heldOut.id, reason }]
    const allowed = resolveConfig({ ...config, data: { ...config.data, allowedLeaks } })
    await startTraining(allowed, memoryRuntime(), { out: join(root, 'run') }).result
    expect(await readFile(join(root, 'run/events.jsonl'), 'utf8')).toContain(reason)
    expect(await readFile(join(root, 'run/report.html'), 'utf8')).toMatch(
      new RegExp(`<li class="warning">leak allowed: ${heldOut.id} .*${reason}`),
    )
  })

  /** The phantoms that the configuration asks for, made by a first run. */
  async function made(config: RunConfig) {
    await startTraining(config, memoryRuntime(), { out: join(root, 'first') }).result
    return curate(config.data, config.region)
  }
})
