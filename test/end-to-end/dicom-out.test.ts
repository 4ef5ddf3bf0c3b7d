import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import { writePhantomDataset } from '../../src/phantom/dataset.js'
import { readNifti } from '../../src/volume/nifti.js'
import { type Finished, runCli } from '../helpers/cli.js'
import { filesIn } from '../helpers/files-in.js'
import { runPython } from '../helpers/python.js'
import { keptFolder } from '../helpers/temporary.js'

const folder = keptFolder()
const series = join(folder, 'series')
const data = join(folder, 'data')
let canaries: string[]
let phantom: string

beforeAll(async () => {
  runPython('test/fixtures/make_segmentor.py', folder)
  await writePhantomDataset({ out: data, cases: 1, region: 'abdomen', sizeVoxels: 48, seed: 4 })
  phantom = readdirSync(join(data, 'imagesTr'))[0]!
  const scan = join(data, 'imagesTr', phantom)
  canaries = JSON.parse(runPython('test/fixtures/make_ct_series.py', '', [scan, series]))
})

interface Seg {
  readonly patient: string
  readonly series: string
  readonly description: string
  readonly segments: readonly {
    label: string
    type: string
    scheme: string
    region: string[]
    voxels: number
  }[]
  readonly slices: number
  readonly digest: string
}

function readSegs(scan: string, files: readonly string[]): Seg[] {
  return runPython('test/fixtures/read_seg.py', '', [scan, ...files])
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Every file below a folder that holds a canary, compressed ones too. */
function leaks(root: string, { stdout, stderr }: Finished): string[] {
  const holds = (content: Buffer): boolean =>
    canaries.some((canary) => content.toString('latin1').includes(canary))
  const files = filesIn(root).map(([file]) => file)
  const found = files.filter((file) => {
    const content = readFileSync(join(root, file))
    return holds(file.endsWith('.gz') ? gunzipSync(content) : content)
  })
  return holds(Buffer.from(stdout + stderr)) ? [...found, 'output'] : found
}

describe('freetumor predict --dicom --dicom-seg', () => {
  test('leads from a series to masks and their SEG, which alone carry the identity; and resumes', async () => {
    const out = join(folder, 'hospital')
    const argv = ['predict', '--dicom', series, '--checkpoint', join(folder, 'a.pt'), '--out', out]
    const env = { XDG_STATE_HOME: join(folder, 'state') }
    const flags = [...argv, '--dicom-seg', '--dicom-seg-labels', '1:liver,2:liver-tumor', '--threads', '1']

    const done = await runCli([...flags, '--output', 'json'], { env })

    expect(done.code, done.stderr).toBe(0)
    expect(done.stderr).toContain('step 1 of 2')
    expect(done.stderr).toContain('carries the identity of the patients')
    const told = JSON.parse(done.stdout)
    const [file] = told.segmentations.cases.map((one: { file: string }) => one.file)
    const mask = told.cases[0].output
    expect(mask.startsWith(join(out, 'masks'))).toBe(true)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(join(out, 'masks/dicom-seg')).mode & 0o777).toBe(0o700)
    const images = join(out, 'scans/imagesTr')
    const [seg] = readSegs(join(images, readdirSync(images)[0]!), [file])
    expect(seg).toMatchObject({ patient: canaries[0], series: '1.2.826.3' })
    expect(seg!.segments.every(({ scheme }) => scheme === 'SCT')).toBe(true)
    const { data: ids } = await readNifti(mask)
    const wanted = Buffer.from(ids.map((id) => (id <= seg!.segments.length ? id : 0)) as Uint8Array)
    expect(seg!.digest).toBe(createHash('sha256').update(wanted).digest('hex'))
    expect(leaks(out, done)).toEqual([`masks/dicom-seg/${file.split('/').at(-1)}`])

    const again = await runCli([...flags, '--output', 'json'], { env })
    expect(again.code, again.stderr).toBe(0)
    const resumed = JSON.parse(again.stdout)
    expect(resumed.cases[0].reused).toBe(true)
    expect(resumed.segmentations.cases[0].reused).toBe(true)
  })

  test('reports a mask whose series is another one', async () => {
    const out = join(folder, 'other')
    await writePhantomDataset({
      out: join(folder, 'others'),
      cases: 1,
      region: 'abdomen',
      sizeVoxels: 48,
      seed: 5,
    })
    const argv = [
      'predict',
      '--images',
      join(folder, 'others/imagesTr'),
      '--checkpoint',
      join(folder, 'a.pt'),
    ]
    const more = ['--dicom-seg', series, '--dicom-seg-labels', '1:liver,2:liver-tumor', '--threads', '1']
    const done = await runCli([...argv, '--out', out, ...more, '--output', 'json'])
    expect(done.code, done.stderr).toBe(3)
    expect(JSON.parse(done.stdout).segmentations.failed[0].error.message).toContain(
      'the series with the grid of the scan has other pixels',
    )
    expect(readdirSync(join(out, 'dicom-seg'))).toEqual([])
  })
})

describe('freetumor synthesize --dicom --organs-with', () => {
  test('leads from a series to synthetic tumors and their SEG, named SYNTHETIC', async () => {
    const out = join(folder, 'synthesis')
    const label = join(data, 'labelsTr', readdirSync(join(data, 'labelsTr'))[0]!)
    const tool = `/bin/sh -c 'cp "$1" "$2"' sh ${label} {output} {image}`
    const argv = ['synthesize', '--dicom', series, '--organs-with', 'command', tool, '--out', out]
    const more = ['--region', 'abdomen', '--organs', 'liver', '--seed', '3', '--dicom-seg', '--workers', '1']
    const env = { XDG_STATE_HOME: join(folder, 'state') }
    const done = await runCli([...argv, ...more, '--output', 'json'], { env })

    expect(done.code, done.stderr).toBe(0)
    expect(done.stderr).toContain('step 3 of 3')
    for (const name of ['scans', 'organs', 'synthetic']) expect(existsSync(join(out, name))).toBe(true)
    const [file] = JSON.parse(done.stdout).segmentations.cases.map((one: { file: string }) => one.file)
    const [seg] = readSegs(join(out, 'scans/imagesTr', readdirSync(join(out, 'scans/imagesTr'))[0]!), [file])
    expect(seg!.description).toBe('SYNTHETIC tumors, not findings')
    const tumor = seg!.segments.find(({ label }) => label === 'SYNTHETIC liver tumor')
    expect(tumor).toMatchObject({ type: '108369006', region: ['10200004'] })
    expect(leaks(out, done)).toEqual([`synthetic/dicom-seg/${file.split('/').at(-1)}`])
  })
})
