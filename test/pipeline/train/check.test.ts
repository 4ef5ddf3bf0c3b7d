import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput } from '../../../src/config/schema.js'
import { EnvironmentError } from '../../../src/errors.js'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import { checkTraining } from '../../../src/pipeline/train/check.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { keptFolder, temporaryFolder } from '../../helpers/temporary.js'

const root = keptFolder()

beforeAll(async () => {
  const common = { region: 'abdomen', sizeVoxels: 40, seed: 1 } as const
  await writePhantomDataset({ ...common, out: join(root, 'Tumors'), cases: 3, validation: 1 })
  await writePhantomDataset({ ...common, out: join(root, 'Hosts'), cases: 2, hosts: 2, firstIndex: 3 })
})

const TUMORS = { name: 'Tumors', role: 'labelled' } as const
const HOSTS = { name: 'Hosts', role: 'host' } as const

function check(
  input: Partial<ConfigInput> & Pick<ConfigInput, 'job'>,
  inspect: (path: string) => CheckpointFacts = () => checkpointFacts([segmentorFacts(7)]),
  data = true,
) {
  const config = resolveConfig({ data: { root, datasets: [TUMORS] }, ...input })
  const context = {
    runtime: inMemoryRuntime({ inspect }),
    signal: undefined,
    logDirectory: root,
    note: () => {},
  }
  return checkTraining(config, context, { data, workers: 1 })
}

describe('checkTraining', () => {
  it('counts the cases of sound data and reads their labels', async () => {
    expect(await check({ job: 'baseline' })).toEqual({
      ok: true,
      data: 'checked',
      cases: { labelled: 2, hosts: 0, heldOut: 1 },
      labels: { read: 3, of: 3 },
      findings: [],
    })
  })

  it.each([
    [{ datasets: [{ ...TUMORS, validationFold: 3 }] }, /Tumors: no fold 3/, 2],
    [{ datasets: [{ name: 'Tumors' }] }, /unknown role/, 2],
    [{ datasets: [HOSTS] }, /job baseline has no training case/, 3],
    [{ datasets: [{ name: 'Absent', role: 'host' }] }, /Absent/, 3],
    [{ datasets: [{ ...TUMORS, labelMap: { '1': 1, '2': 2 } }] }, /label ids .* are not in its label map/, 3],
  ])('refuses %j', async (data, message, exitCode) => {
    const { ok, findings } = await check({ job: 'baseline', data: { root, ...data } as never })
    expect(ok).toBe(false)
    expect(findings.find(({ severity }) => severity === 'error')).toMatchObject({
      message: expect.stringMatching(message),
      exitCode,
      hint: expect.any(String),
    })
  })

  it('refuses a label map that leads out of the region, also without data', async () => {
    const datasets = [{ ...TUMORS, labelMap: { '1': 1, '2': 7 } }]
    for (const data of [true, false])
      expect(await check({ job: 'baseline', data: { root, datasets } }, undefined, data)).toMatchObject({
        ok: false,
        findings: [
          {
            message: expect.stringContaining(
              'maps 2 to 7 (expected an id of the abdomen, 0 to 6, or ignore)',
            ),
          },
        ],
      })
  })

  it('refuses a label file with an undeclared id', async () => {
    const own = temporaryFolder()
    await writePhantomDataset({
      out: join(own, 'Odd'),
      region: 'abdomen',
      cases: 2,
      sizeVoxels: 40,
      seed: 2,
      validation: 1,
    })
    const file = join(own, 'Odd/labelsTr/phantom_001.nii.gz')
    const label = await readNifti(file)
    const data = Uint8Array.from(label.data as Uint8Array)
    data[0] = 9
    renameSync(file, `${file}.old`)
    await writeNifti(file, { ...label, data })
    const { findings } = await check({
      job: 'baseline',
      data: { root: own, datasets: [{ name: 'Odd', role: 'labelled' }] },
    })
    expect(findings).toMatchObject([
      {
        severity: 'error',
        message: expect.stringContaining(`label ids 9 are not in its label map`),
        exitCode: 3,
      },
    ])
    expect(findings[0]!.message).toContain(file)
  })

  it('warns of roles that the labels contradict', async () => {
    const datasets = [
      { ...TUMORS, role: 'host' as const },
      { ...HOSTS, role: 'labelled' as const },
    ]
    const { ok, findings } = await check({ job: 'baseline', data: { root, datasets } })
    expect(ok).toBe(true)
    expect(findings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/Hosts: its role is labelled, but none of 2 labels/),
      expect.stringMatching(/Tumors: its role is host, but Tumors\/phantom_\d+ has a real tumor/),
    ])
  })

  it('checks the outputs of the checkpoints that a run builds on', async () => {
    const file = join(temporaryFolder(), 'model.pt')
    writeFileSync(file, '')
    const networks = { baseline: { checkpoint: file }, generator: null }
    const segmentation = { job: 'segmentation', data: { root, datasets: [TUMORS, HOSTS] } } as const
    const blind = await check({ ...segmentation, training: { target: 'all' }, networks }, () =>
      checkpointFacts([segmentorFacts(3)]),
    )
    expect(blind.findings).toMatchObject([
      { severity: 'error', message: expect.stringContaining('do not cover the planned organs'), exitCode: 2 },
    ])
    const generator = await check(
      {
        job: 'synthesis',
        data: segmentation.data,
        networks: { baseline: { checkpoint: join(root, 'none.pt') } },
      },
      () => checkpointFacts([generatorFacts(3)]),
    )
    expect(generator.findings).toMatchObject([
      { message: expect.stringContaining('none.pt: file not found') },
    ])
  })

  it('checks the weights that a segmentor starts from', async () => {
    const file = join(temporaryFolder(), 'start.pt')
    writeFileSync(file, '')
    const start = (facts: CheckpointFacts, more = {}) =>
      check({ job: 'baseline', networks: { segmentor: { initialWeights: file, ...more } } }, () => facts)
    const unstated = { patchMerging: { order: null, assumed: false, needed: true } }
    expect((await start(checkpointFacts([segmentorFacts(7)], unstated))).findings).toMatchObject([
      { severity: 'error', message: expect.stringContaining('does not state the patch-merging order') },
    ])
    expect((await start(checkpointFacts([segmentorFacts(3)]))).findings).toMatchObject([
      {
        severity: 'warning',
        message: expect.stringContaining('its head starts from random weights (expected 7 outputs, found 3)'),
      },
    ])
    expect((await start(checkpointFacts([segmentorFacts(7, { width: 24 })]))).findings).toMatchObject([
      { severity: 'error', message: expect.stringContaining('feature size 24, this configuration has 48') },
    ])
    const four = segmentorFacts(7, { causes: ['expects 1 input channel, the file has 4'] })
    expect((await start(checkpointFacts([four]))).findings).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('expects 1 input channel, the file has 4') },
    ])
    expect((await start(checkpointFacts([generatorFacts(3)]))).findings).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('has no weights of a swinunetr') },
    ])
  })

  it('warns where the machine cannot inspect a checkpoint', async () => {
    const file = join(temporaryFolder(), 'model.pt')
    writeFileSync(file, '')
    const { ok, findings } = await check(
      { job: 'synthesis', networks: { baseline: { checkpoint: file } } },
      () => {
        throw new EnvironmentError('no Python runtime was found', { hint: 'run `freetumor setup`' })
      },
    )
    expect(ok).toBe(true)
    expect(findings).toMatchObject([
      {
        severity: 'warning',
        message: 'not checked: no Python runtime was found',
        hint: 'run `freetumor setup`',
      },
    ])
  })

  it('only warns of absent data, and of earlier configurations that are absent too', async () => {
    const nowhere = join(root, 'nowhere')
    const networks = { baseline: { trainFrom: join(nowhere, 'baseline.yaml') } }
    const draft = await check({ job: 'synthesis', data: { root: nowhere, datasets: [TUMORS] }, networks })
    expect(draft).toMatchObject({ ok: true, data: 'missing', cases: null })
    expect(draft.findings.map(({ message }) => message)).toEqual([
      expect.stringContaining(`data.root: ${nowhere}: folder not found`),
      expect.stringContaining('networks.baseline.trainFrom'),
    ])
    expect(await check({ job: 'synthesis', networks })).toMatchObject({ ok: false, data: 'checked' })
  })

  it('warns of an organ that the curriculum cannot aim at, and still checks the data', async () => {
    const curriculum = [
      { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 3 },
      { organ: 'kidney', diameterMm: [5, 10], found: 0, missed: 3 },
    ] as const
    const found = await check({
      job: 'baseline',
      simulation: { curriculum: structuredClone(curriculum) as never },
    })
    expect(found).toMatchObject({ ok: true, data: 'checked' })
    expect(found.findings).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('aims at no diameter of the liver') },
    ])
    const none = await check({
      job: 'baseline',
      simulation: { curriculum: [structuredClone(curriculum[0])] as never },
    })
    expect(none).toMatchObject({ ok: false, data: 'skipped' })
  })

  it('reads no data if the data check is skipped', async () => {
    mkdirSync(join(root, 'empty'), { recursive: true })
    const config = { job: 'baseline', data: { root: join(root, 'empty'), datasets: [TUMORS] } } as const
    expect(await check(config, undefined, false)).toEqual({
      ok: true,
      data: 'skipped',
      cases: null,
      labels: null,
      findings: [],
    })
  })
})
