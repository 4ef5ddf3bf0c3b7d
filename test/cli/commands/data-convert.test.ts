import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { readNifti } from '../../../src/volume/nifti.js'
import { runCli } from '../../helpers/cli.js'
import { dicomMissing, makeDicom } from '../../helpers/dicom.js'
import { sharedData } from '../../helpers/shared.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const missing = dicomMissing()
const real = missing === null ? sharedData('dicom') : null

/** Runs `data convert` with the key of the test's own folder. */
function convert(cwd: string, ...argv: string[]) {
  return runCli(['data', 'convert', ...argv], { cwd, env: { XDG_STATE_HOME: join(cwd, 'state') } })
}

/** Every file below a folder, with its content; .gz files are inflated. */
function contentsOf(folder: string): { name: string; bytes: Buffer }[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => statSync(join(folder, name)).isFile())
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
    .map(({ name, bytes }) => ({ name, bytes: name.endsWith('.gz') ? gunzipSync(bytes) : bytes }))
}

describe.skipIf(missing !== null)(
  `freetumor data convert${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    test('writes a case with its report, and the second run changes nothing', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'in'), 'shuffled')
      const first = await convert(cwd, 'in', '--out', 'out', '--output', 'json')
      expect(first.code, first.stderr).toBe(0)
      const { series, numCases } = JSON.parse(first.stdout)
      expect(numCases).toBe(1)
      expect(series).toMatchObject([
        {
          number: 1,
          modality: 'CT',
          slices: 6,
          spacingMm: [0.7, 0.8, 2.5],
          ok: true,
          outcome: 'converted',
          phase: 'portal venous',
        },
      ])
      const { shape } = await readNifti(join(cwd, 'out', series[0].image))
      expect(shape).toEqual([24, 20, 6])
      const times = () =>
        contentsOf(join(cwd, 'out')).map(({ name }) => [name, statSync(join(cwd, 'out', name)).mtimeMs])
      const before = times().filter(([name]) => String(name).endsWith('.gz'))
      const second = await convert(cwd, 'in', '--out', 'out')
      expect(second.code).toBe(0)
      expect(second.stderr).toContain('1 of 1 case already converted')
      expect(times().filter(([name]) => String(name).endsWith('.gz'))).toEqual(before)
      expect(readFileSync(join(cwd, 'out/report.csv'), 'utf8')).toContain(',reused,')
    })

    test('lets no text of the files into any output', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'in'), 'canaries')
      const runs = [
        await convert(cwd, 'in', '--list', '--output', 'json'),
        await convert(cwd, 'in', '--out', 'out'),
        await convert(cwd, 'in', '--out', 'out', '--output', 'json', '--map', 'CANARY20=liver'),
      ]
      expect(runs.map(({ code }) => code)).toEqual([0, 0, 0])
      const outputs = [
        ...contentsOf(join(cwd, 'out')).flatMap(({ name, bytes }) => [name, bytes.toString('latin1')]),
        ...runs.flatMap(({ stdout, stderr }) => [stdout, stderr]),
      ]
      expect(outputs.length).toBeGreaterThan(12)
      expect(outputs.filter((text) => /canary|HOSPITAL|Doe/i.test(text))).toEqual([])
      const { series } = JSON.parse(runs[2]!.stdout)
      expect(series[2]).toMatchObject({
        outcome: 'reused',
        segments: [
          { number: 1, code: 'SCT:10200004', label: 'liver' },
          { number: 2, code: null, label: null },
        ],
      })
    })

    test.each(['gap', 'gantry-tilt', 'burned-in-annotation', 'enhanced-multi-frame'])(
      'refuses a study with the fault %s, names it, and exits with 3',
      async (code) => {
        const cwd = temporaryFolder()
        makeDicom(join(cwd, 'in'), code)
        const done = await convert(cwd, 'in', '--out', 'out')
        expect(done.code).toBe(3)
        expect(done.stdout).toContain('refused: ')
        expect(readFileSync(join(cwd, 'out/report.csv'), 'utf8')).toContain(`,refused,${code},`)
        expect(readdirSync(join(cwd, 'out/imagesTr'))).toEqual([])
      },
    )

    test('lists the labels that segments would get', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'in'), 'canaries')
      const listed = await convert(cwd, 'in', '--list', '--output', 'json', '--map', '#2=liver tumor')
      const [seg] = JSON.parse(listed.stdout).series.filter(
        ({ modality }: { modality: string }) => modality === 'SEG',
      )
      expect(seg.segments.map(({ label }: { label: string }) => label)).toEqual(['liver', 'liver tumor'])
    })

    test('counts links to folders, which it does not follow', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'elsewhere'), 'plain')
      mkdirSync(join(cwd, 'in'))
      symlinkSync(join(cwd, 'elsewhere'), join(cwd, 'in/link'))
      const done = await convert(cwd, 'in', '--list')
      expect(done.stderr).toContain('(found 0 other files and 1 link to folders, which are not followed)')
      makeDicom(join(cwd, 'in'), 'plain')
      expect((await convert(cwd, 'in', '--list')).stdout).toContain('1 link to folders not followed')
    })

    test('a label object that cannot be read does not stop the others, and the exit code is 3', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'in'), 'canaries')
      const structures = join(cwd, 'in/CANARY16.rt')
      const content = readFileSync(structures)
      content.write('LH', content.indexOf(Buffer.from('063026004c4f', 'hex')) + 4)
      writeFileSync(structures, content)
      const done = await convert(cwd, 'in', '--out', 'out')
      expect(done.code, done.stderr).toBe(3)
      expect(done.stdout).toContain('refused: its header is damaged')
      expect(readdirSync(join(cwd, 'out/labelsTr'))).toHaveLength(1)
      expect(done.stdout + done.stderr).not.toContain('CANARY')
    })

    test('converts one of two series of a study by rule, the named one, or all', async () => {
      const cwd = temporaryFolder()
      makeDicom(join(cwd, 'in'), 'twoSeries')
      const outcomes = async (...argv: string[]) => {
        const { stdout } = await convert(cwd, 'in', '--output', 'json', ...argv)
        return JSON.parse(stdout).series.map(({ outcome }: { outcome: string }) => outcome)
      }
      expect(await outcomes('--list')).toEqual(['listed', 'listed'])
      expect(await outcomes('--out', 'a')).toEqual(['converted', 'notChosen'])
      expect(await outcomes('--out', 'b', '--series', '2')).toEqual(['notChosen', 'converted'])
      expect(await outcomes('--out', 'b', '--all')).toEqual(['converted', 'reused'])
    })

    test.skipIf(real === null)(
      `gives the real series of ${real ?? 'a reference data set that is missing'} the voxels and the grid of its NIfTI`,
      async () => {
        const cwd = temporaryFolder()
        const done = await convert(cwd, join(real!, 'crlm_ct_1004'), '--out', 'out', '--output', 'json')
        expect(done.code, done.stderr).toBe(0)
        const [{ image }] = JSON.parse(done.stdout).series
        const found = await readNifti(join(cwd, 'out', image))
        const wanted = await readNifti(join(real!, '../crlm/CRLM-CT-1004_ct.nii.gz'))
        expect(found.shape).toEqual(wanted.shape)
        expect(found.affine).toEqual(wanted.affine)
        expect(Buffer.compare(Buffer.from(found.data.buffer), Buffer.from(wanted.data.buffer))).toBe(0)
      },
    )
  },
)

describe('freetumor data convert refuses', () => {
  test.each([
    [['in'], /no output \(expected --out or --list\)/, 2],
    [['nowhere', '--out', 'out'], /nowhere: folder not found/, 3],
    [
      ['in', '--out', 'out', '--map', 'Liver'],
      /--map: wrong rule \(expected SEGMENT=LABEL, found Liver\)/,
      2,
    ],
    [['in', '--out', 'out', '--map', 'a=lever'], /--map: unknown label .*found lever/, 2],
    [['in', '--out', 'out', '--map', 'a=liver', 'b=lung'], /belong to the abdomen and to the chest/, 2],
    [['in', '--out', 'out', '--series', '1', '--all'], /--series: cannot be used with --all/, 2],
    [['in', '--out', 'out', '--key', 'out/key'], /--key: the key must lie outside/, 2],
    [['in', '--out', 'out', '--key', 'open.key'], /open\.key: other users can read the key/, 2],
    [['in', '--out', 'out', '--key', 'short.key'], /short\.key: not a key of this command/, 2],
  ])('%j', async (argv, message, code) => {
    const cwd = temporaryFolder()
    mkdirSync(join(cwd, 'in'))
    writeFileSync(join(cwd, 'in/notes.txt'), 'no image')
    writeFileSync(join(cwd, 'open.key'), `${'ab'.repeat(32)}\n`)
    writeFileSync(join(cwd, 'short.key'), 'ab\n', { mode: 0o600 })
    chmodSync(join(cwd, 'open.key'), 0o644)
    const done = await convert(cwd, ...argv)
    expect(done.stderr).toMatch(message)
    expect(done.stderr).toMatch(/^hint: /m)
    expect(done.code).toBe(code)
    expect(existsSync(join(cwd, 'out/imagesTr'))).toBe(false)
  })

  test.skipIf(missing !== null)(
    `a folder without DICOM${missing === null ? '' : ` (skipped: ${missing})`}`,
    async () => {
      const cwd = temporaryFolder()
      mkdirSync(join(cwd, 'in'))
      writeFileSync(join(cwd, 'in/notes.txt'), 'no image')
      const done = await convert(cwd, 'in', '--out', 'out')
      expect(done).toMatchObject({ code: 3 })
      expect(done.stderr).toMatch(/no DICOM file found \(found 1 other file\)/)
      expect(statSync(join(cwd, 'state/freetumor/dicom.key')).mode & 0o777).toBe(0o600)
    },
  )
})
