import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { synthesisLineSchema } from '../../src/quality/ledger-schema.js'
import { readNifti } from '../../src/volume/nifti.js'
import type { Volume } from '../../src/volume/volume.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const SPACING_MM = 1.5
const FOLDERS = ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'] as const

const digests = (out: string): string[] =>
  FOLDERS.flatMap((folder) =>
    readdirSync(join(out, folder)).map((file) => {
      const hash = createHash('sha256').update(readFileSync(join(out, folder, file)))
      return `${folder}/${file} ${hash.digest('hex')}`
    }),
  )

it('freetumor synthesize --method shrunk adds early tumors to scans with a tumor, and changes nothing else', async () => {
  const folder = temporaryFolder()
  const phantoms = join(folder, 'phantoms')
  // the second case is healthy
  const size = ['--cases', '2', '--hosts', '1', '--size', '64', '--seed', '5']
  await runCli(['phantom', '--out', phantoms, ...size])
  const out = join(folder, 'early')
  const paths = ['--images', join(phantoms, 'imagesTr'), '--labels', join(phantoms, 'labelsTr')]
  const flags = [
    'synthesize',
    '--method',
    'shrunk',
    '--region',
    'abdomen',
    ...paths,
    '--variants',
    '2',
    '--tumors',
    '2',
  ]
  const done = await runCli([...flags, '--out', out, '--output', 'json'], { cwd: folder })
  expect(done.code, done.stderr).toBe(0)
  expect(done.stderr).toContain('1 case has no labelled tumor in the selected organs (first phantom_001)')
  expect(JSON.parse(done.stdout)).toMatchObject({ hosts: 2, scans: 2, failed: [] })
  const lines = readFileSync(join(out, 'ledger.jsonl'), 'utf8').trim().split('\n')
  const placed = lines
    .map((text) => synthesisLineSchema.parse(JSON.parse(text)))
    .filter(({ verdict }) => verdict === 'accepted')
  expect(placed.length).toBeGreaterThanOrEqual(3)
  for (const { file, tumor, source } of placed) {
    const made = await Promise.all(FOLDERS.map((name) => readNifti(join(out, name, file!))))
    const [image, label, change, tumors] = made as unknown as [Volume, Volume, Volume, Volume]
    const host = await readNifti(join(phantoms, 'imagesTr', 'phantom_000.nii.gz'))
    const hostLabel = await readNifti(join(phantoms, 'labelsTr', 'phantom_000.nii.gz'))
    expect(image.data.every((value, at) => value === host.data[at] || change.data[at] === 1)).toBe(true)
    const voxels = tumors.data.filter((number) => number === tumor + 1).length
    const diameterMm = Math.cbrt((6 * voxels * SPACING_MM ** 3) / Math.PI)
    expect(Math.abs(diameterMm - source!.diameterMm * source!.factor)).toBeLessThan(SPACING_MM)
    // organ 1, 3 or 5 becomes its tumor 2, 4 or 6; every other voxel keeps its id
    const isWanted = [...label.data].every((id, at) =>
      tumors.data[at] === 0 ? id === hostLabel.data[at] : id === hostLabel.data[at]! + 1 && id % 2 === 0,
    )
    expect(isWanted).toBe(true)
  }
  const again = await runCli([...flags, '--out', join(folder, 'again'), '--workers', '2'], { cwd: folder })
  expect(again.code, again.stderr).toBe(0)
  expect(digests(join(folder, 'again'))).toEqual(digests(out))
})
