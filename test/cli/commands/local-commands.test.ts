import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readNifti } from '../../../src/volume/nifti.js'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

async function phantoms(folder: string, ...more: string[]): Promise<string> {
  const out = join(folder, 'Phantoms')
  const done = await runCli(['phantom', '--out', out, '--cases', '2', '--size', '48', '--seed', '3', ...more])
  expect(done).toMatchObject({ code: 0, stderr: '' })
  return out
}

describe('freetumor phantom', () => {
  it('writes the published layout and the same bytes for the same seed', async () => {
    const [first, second] = [await phantoms(temporaryFolder()), await phantoms(temporaryFolder())]
    expect((await readdir(first)).sort()).toEqual(['dataset.json', 'imagesTr', 'labelsTr'])
    const list = JSON.parse(await readFile(join(first, 'dataset.json'), 'utf8'))
    expect(list).toMatchObject({ numTraining: 2, training: [{ image: 'imagesTr/phantom_000.nii.gz' }, {}] })
    for (const { image, label } of list.training)
      for (const file of [image, label])
        expect(await readFile(join(first, file))).toEqual(await readFile(join(second, file)))
  })

  it.each([
    ['more hosts than cases', ['--hosts', '2'], '--hosts: more than the cases (expected at most 1, found 2)'],
    [
      'a size that no memory holds',
      ['--size', '100000'],
      '--size: wrong value (expected a whole number from 32',
    ],
  ])('refuses %s', async (_, more, message) => {
    const refused = await runCli(['phantom', '--out', 'Phantoms', '--cases', '1', ...more], {
      cwd: temporaryFolder(),
    })
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toContain(message)
  })

  it('refuses a folder that holds a data set, and leaves no partially written file', async () => {
    const folder = temporaryFolder()
    const out = await phantoms(folder)
    const again = await runCli(['phantom', '--out', out, '--cases', '1'])
    expect(again.code).toBe(2)
    expect(again.stderr).toContain(`${out}: the folder already contains a data set`)
    expect(await readdir(folder)).toEqual(['Phantoms'])
  })
})

describe('freetumor init and config', () => {
  it('writes a file that config check accepts, and prints it complete', async () => {
    const cwd = temporaryFolder()
    const made = await runCli(['init', '--region', 'chest', '--job', 'synthesis', '--output', 'json'], {
      cwd,
    })
    const { file } = JSON.parse(made.stdout)
    expect(existsSync(file)).toBe(true)
    const checked = await runCli(['config', 'check', file, '--output', 'json'], { cwd })
    expect(JSON.parse(checked.stdout)).toMatchObject({ ok: true, job: 'synthesis', region: 'chest' })
    const printed = await runCli(['config', 'print', file, '--output', 'json', '--set', 'seed=7'], { cwd })
    expect(JSON.parse(printed.stdout)).toMatchObject({ seed: 7, prepare: { windowHu: [-1000, 500] } })
    expect((await runCli(['init', '--region', 'chest', '--job', 'synthesis'], { cwd })).code).toBe(2)
  })

  it('starts from a shipped configuration, and names the schema for editors', async () => {
    const cwd = temporaryFolder()
    const made = await runCli(['init', '--from', 'debug-segmentation'], { cwd })
    expect(made).toMatchObject({ code: 0 })
    const [first] = (await readFile(join(cwd, 'debug-segmentation.yaml'), 'utf8')).split('\n')
    const schema = /^# yaml-language-server: \$schema=(.*)$/.exec(first!)![1]!
    expect(JSON.parse(await readFile(schema, 'utf8'))).toMatchObject({ title: 'freetumor run configuration' })
    const unknown = await runCli(['init', '--from', 'none'], { cwd })
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('debug-baseline') })
  })

  it('explains a key, lists the keys of a section, and names the nearest keys', async () => {
    const json = async (...argv: string[]) =>
      JSON.parse((await runCli(['config', 'explain', ...argv, '--output', 'json'])).stdout)
    expect(await json('training.checkpointEverySteps')).toEqual({
      schemaVersion: 1,
      key: 'training.checkpointEverySteps',
      type: 'whole number >= 1; or null',
      description:
        'Number of optimizer steps between checkpoints; null saves at validations and at the end only.',
      effect: 'A crash repeats at most this many steps.',
      unit: 'optimizer steps',
      default: 500,
      source: 'our choice',
      path: false,
      keys: [],
    })
    expect((await json()).keys.map(({ key }: { key: string }) => key)).toContain('training')
    const { stdout } = await runCli(['config', 'explain', 'runtime.restarts'])
    expect(stdout).toContain('runtime.restarts.backoffSeconds')
    expect(await runCli(['config', 'explain', 'training.acumulation'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('hint: did you mean training.accumulation?'),
    })
  })

  it('checks a configuration against its data, unless --no-data', async () => {
    const cwd = temporaryFolder()
    await phantoms(cwd)
    const data = '{ root: ., datasets: [{ name: Phantoms, role: labelled, validationFold: 2 }] }'
    await writeFile(join(cwd, 'run.yaml'), `job: baseline\ndata: ${data}\n`)
    const refused = await runCli(['config', 'check', 'run.yaml'], { cwd })
    expect(refused).toMatchObject({ code: 2, stdout: expect.stringContaining('Phantoms: no fold 2') })
    expect(refused.stdout).toContain('run.yaml: 1 error')
    expect(await runCli(['config', 'check', 'run.yaml', '--no-data'], { cwd })).toMatchObject({
      code: 0,
      stdout: 'run.yaml: ok (data not checked)\n',
      stderr: '',
    })
  })

  it('prints a JSON schema of every section', async () => {
    const { stdout } = await runCli(['config', 'schema'])
    expect(Object.keys(JSON.parse(stdout).properties)).toContain('sampling')
  })

  it('names the unknown key and exits 2', async () => {
    const file = join(temporaryFolder(), 'run.yaml')
    await writeFile(file, 'job: baseline\ndata: { datasets: [{ name: BTCV }] }\ntrainig: { steps: 3 }\n')
    const done = await runCli(['config', 'check', file])
    expect(done).toMatchObject({ code: 2, stdout: '' })
    expect(done.stderr).toContain(`${file}: unknown key trainig (did you mean training?)`)
  })
})

describe('freetumor data', () => {
  it('lists the known data sets', async () => {
    const { stdout } = await runCli(['data', 'list', '--output', 'json'])
    const names = JSON.parse(stdout).map((dataset: { name: string }) => dataset.name)
    expect(names).toEqual(expect.arrayContaining(['Dataset003_Liver', 'Covid19_20', 'MELA']))
  })

  it('passes sound phantoms, and exits 3 naming a file that is damaged', async () => {
    const out = await phantoms(temporaryFolder())
    const sound = await runCli(['data', 'check', out, '--output', 'json'])
    expect(sound.code).toBe(0)
    expect(JSON.parse(sound.stdout)).toMatchObject({ ok: true, numCases: 2 })
    const file = join(out, 'imagesTr/phantom_001.nii.gz')
    await writeFile(file, (await readFile(file)).subarray(0, 5000))
    const damaged = await runCli(['data', 'check', out, '--output', 'json'])
    expect(damaged.code).toBe(3)
    const errors = JSON.parse(damaged.stdout).findings.filter(
      (finding: { severity: string }) => finding.severity === 'error',
    )
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({ file, case: expect.stringContaining('phantom_001') })
  })

  it('imports a data set into a manifest', async () => {
    const folder = temporaryFolder()
    const out = await phantoms(folder)
    const file = join(folder, 'manifest.json')
    const done = await runCli(['data', 'import', '--lists', out, '--root', folder, '--out', file])
    expect(done.code).toBe(0)
    expect(JSON.parse(await readFile(file, 'utf8')).cases).toHaveLength(2)
  })

  it('remaps declared ids with a table, and refuses an id that the map leaves out', async () => {
    const folder = temporaryFolder()
    const labels = join(await phantoms(folder), 'labelsTr/phantom_000.nii.gz')
    const target = join(folder, 'mapped.nii.gz')
    const map = '1:1,2:1,3:0,4:0,5:0,6:0'
    const done = await runCli([
      'data',
      'remap',
      '--labels',
      labels,
      '--map',
      map,
      '--out',
      target,
      '--output',
      'json',
    ])
    const before = JSON.parse(done.stdout).before as { source: number; target: number; voxels: number }[]
    const liver = before.filter((row) => row.target === 1).reduce((sum, row) => sum + row.voxels, 0)
    const mapped = await readNifti(target)
    expect(mapped.data.filter((value) => value === 1)).toHaveLength(liver)
    const refused = await runCli([
      'data',
      'remap',
      '--labels',
      labels,
      '--map',
      '1:1',
      '--out',
      join(folder, 'no.nii.gz'),
    ])
    expect(refused.code).toBe(3)
    expect(refused.stderr).toContain('unknown label ids')
    expect(existsSync(join(folder, 'no.nii.gz'))).toBe(false)
  })
})

describe('freetumor simulate', () => {
  it('writes one record a tumor that its mask bears out, the same for the same seed', async () => {
    const folder = temporaryFolder()
    const labels = join(await phantoms(folder, '--hosts', '2'), 'labelsTr/phantom_000.nii.gz')
    const simulate = (out: string, count: string) =>
      runCli([
        ...['simulate', '--labels', labels, '--organ', 'liver', '--size', 'tiny', '--tumors', count],
        ...['--seed', '5', '--out', join(folder, out), '--write-masks', '2'],
      ])
    expect((await simulate('a', '6')).code).toBe(0)
    expect((await simulate('b', '3')).code).toBe(0)
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (out) =>
        (await readFile(join(folder, out, 'tumors.ndjson'), 'utf8')).trim().split('\n'),
      ),
    )
    expect(b).toEqual(a!.slice(0, 3))
    const tumor = JSON.parse(a![0]!)
    const mask = await readNifti(join(folder, 'a', 'tumor_00000.nii.gz'))
    const label = await readNifti(labels)
    const inside = mask.data.filter((value, voxel) => value === 1 && label.data[voxel] === 1)
    expect(inside).toHaveLength(tumor.volume)
    expect(existsSync(join(folder, 'a', 'tumor_00002.nii.gz'))).toBe(false)
  })

  it('takes places and volumes of a list, and leaves a picture of the three planes', async () => {
    const folder = temporaryFolder()
    const labels = join(await phantoms(folder), 'labelsTr/phantom_000.nii.gz')
    const out = join(folder, 'out')
    const simulate = (...more: string[]) =>
      runCli([
        ...['simulate', '--labels', labels, '--organ', '1', '--size', 'mixed', '--tumors', '3', '--out', out],
        ...more,
      ])
    expect((await simulate()).code).toBe(0)
    const lines = async () => (await readFile(join(out, 'tumors.ndjson'), 'utf8')).trim().split('\n')
    const first = (await lines()).map((line) => JSON.parse(line))
    // The records of one run are places for another.
    await rename(join(out, 'tumors.ndjson'), join(folder, 'places.ndjson'))
    await writeFile(join(folder, 'volumes.txt'), '# ml\n0.05\n')
    const again = ['--positions', join(folder, 'places.ndjson'), '--volumes', join(folder, 'volumes.txt')]
    expect((await simulate(...again)).code).toBe(0)
    const second = (await lines()).map((line) => JSON.parse(line))
    expect(second.map(({ centre }) => centre)).toEqual(first.map(({ centre }) => centre))
    expect(new Set(second.map(({ size }) => size)).size).toBe(1)
    expect((await readFile(join(out, 'preview.png'))).subarray(1, 4).toString()).toBe('PNG')

    await writeFile(join(folder, 'volumes.txt'), '0.05\nlarge\n')
    const refused = await simulate(...again)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('volumes.txt: line 2: no volume (expected a number above 0')
  })

  it('names an organ that is not in the map, and its ids', async () => {
    const folder = temporaryFolder()
    const labels = join(await phantoms(folder), 'labelsTr/phantom_000.nii.gz')
    await mkdir(join(folder, 'out'))
    const done = await runCli([
      ...['simulate', '--labels', labels, '--organ', '9', '--size', 'tiny', '--tumors', '1'],
      ...['--out', join(folder, 'out')],
    ])
    expect(done.code).toBe(3)
    expect(done.stderr).toContain('no voxel has the id 9')
    expect(await readdir(join(folder, 'out'))).toEqual([])
  })
})
