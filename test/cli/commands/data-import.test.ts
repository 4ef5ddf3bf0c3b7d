import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { addDataCommand } from '../../../src/cli/commands/data.js'
import { runProgram } from '../../../src/cli/program.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { memoryIo } from '../../helpers/cli.js'
import { writeFiles } from '../../helpers/data-set.js'
import { imageOf, LAYOUTS, writeVolume } from '../../helpers/layouts.js'
import { madeLabel } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

async function data(...argv: string[]) {
  const io = memoryIo()
  const code = await runProgram([addDataCommand], ['data', ...argv], io)
  return { code, out: io.stdout.join('\n'), err: io.stderr.join('\n') }
}

/** A data set of one case in imagesTr and labelsTr. */
async function dataset(name: string, at = 0): Promise<string> {
  const folder = join(temporaryFolder(), name)
  await writeVolume(join(folder, 'imagesTr/x.nii.gz'), imageOf(at))
  await writeVolume(join(folder, 'labelsTr/x.nii.gz'), madeLabel())
  return folder
}

const idsIn = (file: string) =>
  JSON.parse(readFileSync(file, 'utf8')).cases.map(({ id }: { id: string }) => id)

describe('data import', () => {
  it('takes several --lists and all data sets of a configuration', async () => {
    const [tumors, hosts, third] = [await dataset('LiTS'), await dataset('BTCV', 1), await dataset('Mine', 2)]
    const out = join(temporaryFolder(), 'm.json')
    const config = join(third, 'run.yaml')
    const entry = { name: 'Mine', role: 'labelled', labelMap: 'region' }
    writeFileSync(
      config,
      JSON.stringify({ job: 'baseline', data: { root: join(third, '..'), datasets: [entry] } }),
    )
    const {
      code,
      err,
      out: text,
    } = await data('import', tumors, '--lists', hosts, '--config', config, '--out', out)
    expect([code, idsIn(out)], err).toEqual([0, ['BTCV/x', 'Dataset003_Liver/x', 'Mine/x']])
    expect(err).toContain('LiTS: recognised as Dataset003_Liver; `--as none` prevents it')
    expect(text).toMatch(
      /data set +known +layout.*\nDataset003_Liver +registry +imagesTr and labelsTr +abdomen +labelled +1:1,2:2 +1 \+ 0 \+ 0/,
    )
    expect(text.indexOf('Dataset003_Liver')).toBeLessThan(text.indexOf('3 cases in'))
    const only = await data('import', '--config', config, '--out', out)
    expect([only.code, idsIn(out)], only.err).toEqual([0, ['Mine/x']])
    expect((await data('import', '--out', out)).err).toContain(
      'nothing to read (expected data sets or --config)',
    )
  })

  it('prints no id of ignored voxels that a published data set cannot have', async () => {
    const out = join(temporaryFolder(), 'm.json')
    const folder = await dataset('LiTS')
    const { out: text, err } = await data('import', '--lists', folder, '--map', 'region', '--out', out)
    expect(text).toMatch(/ 1:1,2:2,3:3,4:4,5:5,6:6 /)
    expect(err).not.toContain('255')
  })

  it('writes nothing with --dry-run', async () => {
    const folder = await LAYOUTS.find(({ name }) => name.includes('TotalSegmentator'))!.write()
    const place = temporaryFolder()
    const { code, out, err } = await data(
      'import',
      '--lists',
      folder,
      '--out',
      join(place, 'new/m.json'),
      '--dry-run',
    )
    expect(code).toBe(0)
    expect(out).toMatch(/Mine +own +folder per case +abdomen +labelled +2 merged from masks +2 \+ 0 \+ 0/)
    expect(out).toContain('2 cases; nothing was written')
    expect(err).toContain('masks of organs: not read by --dry-run; their values and overlaps are unchecked')
    expect(existsSync(join(place, 'new'))).toBe(false)
  })

  it('decides the data set by --as', async () => {
    const folder = await dataset('MyKits')
    const out = join(temporaryFolder(), 'm.json')
    const run = (...more: string[]) => data('import', '--lists', folder, '--out', out, ...more)
    expect((await run()).err).toContain('unknown data set')
    expect((await run('--as', 'kits-23')).code).toBe(0)
    expect(idsIn(out)).toEqual(['Dataset220_KiTS2023/x'])
    expect(await run('--as', 'Kitts')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--as Kitts: unknown data set'),
    })
    const known = await dataset('LiTS')
    const none = await data(
      'import',
      '--lists',
      known,
      '--as',
      'none',
      '--region',
      'abdomen',
      '--map',
      'region',
      '--out',
      out,
    )
    expect([none.code, idsIn(out)], none.err).toEqual([0, ['LiTS/x']])
    const two = await data('import', folder, known, '--as', 'LiTS', '--out', out)
    expect(two.err).toContain('--as LiTS: several data sets (expected one, found 2)')
  })

  it('measures only what an interrupted import has not measured', async () => {
    const folder = await dataset('LiTS')
    const out = join(temporaryFolder(), 'm.json')
    const journal = `${out}.measures.jsonl`
    const run = () => data('import', '--lists', folder, '--measure', '--map', 'region', '--out', out)
    await run()
    const whole = readFileSync(out, 'utf8')
    expect(existsSync(journal)).toBe(false)
    const [item] = JSON.parse(whole).cases
    const { id, image, label, labelMap, region } = item
    await data('import', '--lists', folder, '--map', 'region', '--out', out)
    const { files } = JSON.parse(readFileSync(out, 'utf8')).cases[0]
    const key = JSON.stringify({ id, image, label, labelMap, region, files })
    const measured = {
      labelMl: { liver: 7 },
      digests: { image: `sha256:${'0'.repeat(64)}`, label: `sha256:${'0'.repeat(64)}` },
      fingerprint: null,
      problem: null,
    }
    writeFileSync(journal, `${JSON.stringify({ key, measured })}\n{"key": "cut`)
    expect((await run()).code).toBe(0)
    expect(JSON.parse(readFileSync(out, 'utf8')).cases[0].labelMl).toEqual({ liver: 7 })
    expect(existsSync(journal)).toBe(false)
  })

  it('exits with 3 if a file that looks like a scan is not taken, and names it', async () => {
    const folder = await dataset('LiTS')
    writeFiles(folder, { 'imagesTr/y.nrrd': '', 'imagesTr/._z.nii.gz': '', '.DS_Store': '' })
    const out = join(temporaryFolder(), 'm.json')
    const { code, err } = await data('import', '--lists', folder, '--out', out)
    expect([code, idsIn(out)]).toEqual([3, ['Dataset003_Liver/x']])
    expect(err).toContain('imagesTr/y.nrrd: not taken (NRRD)')
    const checked = await data('check', folder, '--output', 'json')
    expect(checked.code).toBe(3)
    expect(JSON.parse(checked.out).findings[0]).toMatchObject({ rule: 'not-taken', severity: 'error' })
  })

  it('refuses a case that cannot be read or measured, unless --skip-unreadable accepts it', async () => {
    const folder = await dataset('LiTS')
    await writeVolume(join(folder, 'imagesTr/y.nii.gz'), imageOf(1))
    await writeVolume(join(folder, 'labelsTr/y.nii.gz'), madeLabel())
    await writeVolume(join(folder, 'imagesTr/z.nii.gz'), imageOf(2))
    await writeVolume(
      join(folder, 'labelsTr/z.nii.gz'),
      madeLabel((_i, _j, _k, id) => (id === 2 ? 9 : id)),
    )
    truncateSync(join(folder, 'imagesTr/y.nii.gz'), 500)
    const out = join(temporaryFolder(), 'm.json')
    const run = (...more: string[]) =>
      data('import', '--lists', folder, '--map', 'region', '--measure', '--out', out, ...more)
    const refused = await run()
    expect([refused.code, idsIn(out)], refused.err).toEqual([3, ['Dataset003_Liver/x']])
    expect(refused.err).toContain('imagesTr/y.nii.gz: the compressed data are truncated')
    expect(refused.err).toContain('labelsTr/z.nii.gz: id 9 is not in the label map')
    const skipped = await run('--skip-unreadable')
    expect([skipped.code, idsIn(out)]).toEqual([0, ['Dataset003_Liver/x']])
    const warnings = (text: string) => text.split('\n').filter((line) => line.includes('warning'))
    expect(warnings(skipped.err)).toEqual(warnings(refused.err))
  })

  it('writes no manifest if no case can be read', async () => {
    const folder = await dataset('LiTS')
    writeFileSync(join(folder, 'imagesTr/x.nii.gz'), 'text')
    const out = join(temporaryFolder(), 'm.json')
    const { code, err } = await data('import', '--lists', folder, '--skip-unreadable', '--out', out)
    expect([code, existsSync(out)]).toEqual([3, false])
    expect(err).toMatch(
      /no case can be read \(expected at least 1, found 0 of 1\); first .*x.nii.gz: not a NIfTI file/,
    )
  })

  it('leaves out a case whose masks cannot be merged, with the reason and exit code 3', async () => {
    const folder = await LAYOUTS.find(({ name }) => name.includes('TotalSegmentator'))!.write()
    await writeVolume(join(folder, 's0001/segmentations/liver.nii.gz'), madeLabel())
    const out = join(temporaryFolder(), 'm.json')
    const { code, err } = await data('import', '--lists', folder, '--out', out)
    expect([code, idsIn(out)]).toEqual([3, ['Mine/s0000']])
    expect(err).toMatch(/s0001\/segmentations\/liver.nii.gz: wrong mask values \(expected 0 and 1, found 3\)/)
    const checked = await data('check', folder, '--output', 'json')
    expect(JSON.parse(checked.out).findings[0]).toMatchObject({ rule: 'organ-masks', case: 'Mine/s0001' })
    const mapped = await data('import', '--lists', folder, '--map', '1:1', '--out', out)
    expect(mapped.err).toContain('--map: no ids to map (Mine has masks, which are merged by name)')
  })
})

describe('data remap', () => {
  it('maps all other ids with --rest', async () => {
    const folder = await dataset('Mine')
    const [labels, out] = [join(folder, 'labelsTr/x.nii.gz'), join(folder, 'out.nii.gz')]
    expect((await data('remap', '--labels', labels, '--map', '3:1', '--out', out)).code).toBe(3)
    expect((await data('remap', '--labels', labels, '--map', '3:1', '--rest', '0', '--out', out)).code).toBe(
      0,
    )
    expect([...(await readNifti(out)).data]).toEqual([...madeLabel().data].map((id) => (id === 3 ? 1 : 0)))
    expect((await data('remap', '--labels', labels, '--map', 'region', '--out', out)).code).toBe(0)
    expect([...(await readNifti(out)).data]).toEqual([...madeLabel().data])
  })
})
