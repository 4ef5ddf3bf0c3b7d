import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { addDataCommand } from '../../../src/cli/commands/data.js'
import { runProgram } from '../../../src/cli/program.js'
import { manifestJsonSchema } from '../../../src/curation/datasets/manifest.js'
import { moveAxes } from '../../../src/volume/geometry.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import { type MemoryIo, memoryIo } from '../../helpers/cli.js'
import { writeFiles } from '../../helpers/data-set.js'
import { madeImage, madeLabel } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

async function data(...argv: string[]): Promise<MemoryIo & { code: number }> {
  const io = memoryIo()
  const code = await runProgram([addDataCommand], ['data', ...argv], io)
  return Object.assign(io, { code })
}

/** A data-set folder of one pair, with ids named or not. */
async function folderOf(label = madeLabel(), labels?: Record<string, number>): Promise<string> {
  const folder = join(temporaryFolder(), 'Mine')
  writeFiles(folder, { 'imagesTr/a_0000.nii.gz': '', 'labelsTr/a.nii.gz': '' })
  await writeNifti(join(folder, 'imagesTr/a_0000.nii.gz'), madeImage())
  await writeNifti(join(folder, 'labelsTr/a.nii.gz'), label)
  if (labels)
    writeFiles(folder, { 'dataset.json': { channel_names: { '0': 'CT' }, labels, file_ending: '.nii.gz' } })
  return folder
}

const NAMES = { background: 0, liver: 1, liver_tumor: 2, pancreas: 3 }

describe('freetumor data check', () => {
  it('passes another order of axes with a note, and fails on a label that is elsewhere', async () => {
    const turned = moveAxes(madeLabel(), { source: [1, 0, 2], flip: [false, true, false] })
    const passed = await data('check', await folderOf(turned, NAMES), '--output', 'json')
    expect(passed.code).toBe(0)
    expect(JSON.parse(passed.stdout[0]!)).toMatchObject({
      ok: true,
      numCases: 1,
      findings: [{ rule: 'orientation-differs', severity: 'info', case: 'Mine/a' }],
    })
    const { data: voxels, shape, affine } = madeLabel()
    const moved = { data: voxels, shape, affine: affine.with(3, affine[3]! + 5) }
    const failed = await data('check', await folderOf(moved, NAMES))
    expect(failed.code).toBe(3)
    expect(failed.stdout[0]).toMatch(
      /error {3}grid-mismatch +Mine\/a: .*\n.*\n +\/.*labelsTr\/a.nii.gz\n1 case: 1 error/,
    )
  })

  it('prints SARIF, and accepts a map for undocumented ids', async () => {
    const folder = await folderOf()
    const unknown = await data('check', folder, '--output', 'sarif')
    expect(unknown.code).toBe(0)
    expect(JSON.parse(unknown.stdout[0]!)).toMatchObject({
      version: '2.1.0',
      runs: [{ results: [{ ruleId: 'label-unknown', level: 'warning' }] }],
    })
    const mapped = await data('check', folder, '--map', '1:1,2:2,3:3', '--output', 'json')
    expect(JSON.parse(mapped.stdout[0]!)).toEqual({ schemaVersion: 1, ok: true, numCases: 1, findings: [] })
    const wrong = await data('check', folder, '--map', 'chaos', '--output', 'json')
    expect(wrong.code).toBe(3)
    expect(JSON.parse(wrong.stdout[0]!).findings[0]).toMatchObject({ rule: 'label-ids', severity: 'error' })
  })

  it('checks a manifest and a configuration with data sets of its own', async () => {
    const folder = await folderOf()
    const manifest = join(folder, 'manifest.json')
    const own = {
      name: 'Mine',
      region: 'abdomen',
      role: { kind: 'host' },
      labelMap: { '1': 1, '2': 0, '3': 3 },
      overlaps: [{ dataset: 'BTCV', note: 'its first two', cases: '^a[12]$' }],
    }
    const config = join(folder, 'run.json')
    const root = join(folder, '..')
    writeFiles(folder, {
      'run.json': { job: 'baseline', data: { root, registry: [own], datasets: [{ name: 'Mine' }] } },
    })
    writeFileSync(config.replace('.json', '.yaml'), readFileSync(config))
    const checked = await data('check', config.replace('.json', '.yaml'), '--output', 'json')
    expect(JSON.parse(checked.stdout[0]!)).toMatchObject({ ok: true, findings: [{ rule: 'too-small' }] })
    const listed = await data('list', '--config', config)
    expect(listed.stdout[0]).toMatch(/\nMine +abdomen +host.*\n +ids 1:1,3:3 \(1 more to 0\)\n/)
    const all = JSON.parse((await data('list', '--config', config, '--output', 'json')).stdout[0]!)
    expect(all.at(-1).overlaps).toEqual(own.overlaps)
    expect(all[0].overlaps[0].cases).toContain('liver_')

    await data('import', '--lists', folder, '--root', root, '--config', config, '--out', manifest)
    expect(JSON.parse((await data('check', manifest, '--output', 'json')).stdout[0]!)).toMatchObject({
      numCases: 1,
    })
  })

  it('checks a shipped configuration by its name', async () => {
    const checked = await data('check', 'debug-baseline')
    // its data may be missing, but its name is found
    expect(checked.stderr.join('\n')).not.toContain('debug-baseline')
    const listed = await data('list', '--config', 'debug-baseline')
    expect(listed.code).toBe(0)
  })

  it('checks one scan with its label, and all scans of a folder, without a list', async () => {
    const folder = await folderOf()
    const [scan, label] = [join(folder, 'imagesTr/a_0000.nii.gz'), join(folder, 'labelsTr/a.nii.gz')]
    const findingsOf = async (...argv: string[]) => {
      const { code, stdout } = await data('check', ...argv, '--output', 'json')
      const { findings, numCases } = JSON.parse(stdout[0]!)
      return { code, numCases, rules: findings.map(({ rule }: { rule: string }) => rule) }
    }
    expect(await findingsOf(scan)).toEqual({ code: 0, numCases: 1, rules: [] })
    expect(await findingsOf(scan, '--labels', label)).toMatchObject({ code: 0, rules: ['label-unknown'] })
    expect(
      await findingsOf(join(folder, 'imagesTr'), '--labels', join(folder, 'labelsTr'), '--map', 'chaos'),
    ).toEqual({ code: 3, numCases: 1, rules: ['label-ids'] })
    writeFiles(folder, { 'imagesTr/deeper/pointer.nii': 'version https://git-lfs' })
    expect(await findingsOf(join(folder, 'imagesTr'))).toEqual({
      code: 3,
      numCases: 2,
      rules: ['unreadable'],
    })
    const refused = await data('check', join(folder, 'imagesTr'), '--labels', label)
    expect([refused.code, refused.stderr.join('')]).toEqual([
      3,
      expect.stringContaining('one label (expected a folder for 2 scans)'),
    ])
    expect((await data('check', join(folder, 'nowhere.nii.gz'))).stderr.join('')).toContain(
      'nowhere.nii.gz: scan not found',
    )
  })

  it('refuses a file above the budget that is asked for', async () => {
    const small = await data(
      'check',
      await folderOf(madeLabel(), NAMES),
      '--max-mb',
      '0.01',
      '--output',
      'json',
    )
    expect(small.code).toBe(3)
    expect(JSON.parse(small.stdout[0]!).findings[0]).toMatchObject({
      rule: 'unreadable',
      message: expect.stringContaining('expected at most 10000'),
    })
  })
})

describe('freetumor data import', () => {
  it('writes a file that matches its schema, and exits with 3 if a scan without its label is left out', async () => {
    const folder = await folderOf(madeLabel(), NAMES)
    writeFiles(folder, { 'imagesTr/b.nii.gz': 'no image', 'labelsTr/b.nii.gz': '', 'imagesTr/c.nii.gz': '' })
    const out = join(folder, 'manifest.json')
    const done = await data(
      'import',
      '--lists',
      folder,
      '--root',
      folder,
      '--measure',
      '--out',
      out,
      '--output',
      'json',
    )
    expect(done.code).toBe(3)
    expect(JSON.parse(done.stdout[0]!)).toMatchObject({
      numCases: 1,
      missing: [{ dataset: 'Mine', count: 1 }],
      refused: [{ id: 'Mine/b', message: expect.stringContaining('not a NIfTI file') }],
    })
    expect(done.stderr.join('\n')).toContain('Mine: 1 listed case lacks a file, first')
    expect(done.stderr.join('\n')).toContain('imagesTr/b.nii.gz: not a NIfTI file')
    const manifest = JSON.parse(readFileSync(out, 'utf8'))
    expect(manifest.cases[0]).toMatchObject({
      geometry: { shape: [24, 24, 24] },
      labelMl: { 'liver tumor': 0.072 },
    })
    const { stdout } = await data('schema')
    expect(JSON.parse(stdout[0]!)).toEqual(JSON.parse(JSON.stringify(manifestJsonSchema())))
    expect(z.fromJSONSchema(JSON.parse(stdout[0]!)).safeParse(manifest).success).toBe(true)
    expect(z.fromJSONSchema(JSON.parse(stdout[0]!)).safeParse({ version: 1 }).success).toBe(false)
  })

  it('asks what the ids of an unknown data set mean', async () => {
    const folder = await folderOf()
    const out = join(folder, 'manifest.json')
    const refused = await data('import', '--lists', folder, '--root', folder, '--out', out)
    expect(refused.code).toBe(3)
    expect(refused.stderr.join('\n')).toMatch(/unknown data set[\s\S]*--region.*--map/)
    const told = ['--region', 'abdomen', '--map', '1:1,2:2,3:3']
    expect((await data('import', '--lists', folder, '--root', folder, '--out', out, ...told)).code).toBe(0)
    expect(JSON.parse(readFileSync(out, 'utf8')).cases[0].role).toEqual({
      kind: 'labelled',
      organs: ['liver'],
    })
  })
})

describe('freetumor data remap', () => {
  it('maps by a preset and shows the voxels before and after', async () => {
    const folder = await folderOf()
    const [labels, out] = [join(folder, 'labelsTr/a.nii.gz'), join(folder, 'out.nii.gz')]
    const done = await data('remap', '--labels', labels, '--map', 'kits', '--region', 'abdomen', '--out', out)
    expect(done.code).toBe(0)
    expect(done.stdout[0]).toMatch(
      /3 -> 5 .*\n\nafter .*\n +0 background .*\n +5 kidney .*\n +6 kidney tumor/,
    )
    expect(new Set((await readNifti(out)).data)).toEqual(new Set([0, 5, 6]))
  })

  it('refuses conflicts, a preset of the other region, and to write over its input', async () => {
    const folder = await folderOf()
    const [labels, out] = [join(folder, 'labelsTr/a.nii.gz'), join(folder, 'out.nii.gz')]
    const remap = async (...argv: string[]) =>
      (await data('remap', '--labels', labels, ...argv)).stderr.join('\n')
    expect(await remap('--map', '1:1,1:2,2:2,3:3', '--out', out)).toContain('id 1 has two targets (1 and 2)')
    expect(await remap('--map', 'lungmask', '--region', 'abdomen', '--out', out)).toContain('found chest')
    expect(await remap('--map', '1:1,2:2,3:9', '--region', 'abdomen', '--out', out)).toContain(
      'wrong target of id 3',
    )
    expect(await remap('--map', '1:1,2:2,3:3', '--out', labels)).toContain('--out: same file as --labels')
    expect(existsSync(out)).toBe(false)
  })
})
