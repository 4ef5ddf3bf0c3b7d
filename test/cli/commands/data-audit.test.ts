import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { moveAxes } from '../../../src/volume/geometry.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import { runCli } from '../../helpers/cli.js'
import { diagonal } from '../../helpers/nifti-fixtures.js'
import { middlePart, retyped } from '../../helpers/scan-copies.js'
import { temporaryFolder } from '../../helpers/temporary.js'

/** Training cases `A`, and a validation set `B` with a turned float copy of one and a part of another. */
async function madeManifests(cwd: string): Promise<void> {
  await runCli(['phantom', '--out', 'A', '--cases', '3', '--size', '64', '--seed', '5'], { cwd })
  for (const folder of ['imagesTr', 'labelsTr']) await mkdir(join(cwd, 'B', folder), { recursive: true })
  const scan = (n: number) => readNifti(join(cwd, `A/imagesTr/phantom_00${n}.nii.gz`))
  const turned = moveAxes(retyped(await scan(1), Float32Array), {
    source: [2, 0, 1],
    flip: [true, false, true],
  })
  const copies = {
    turned: { ...turned, affine: diagonal([1, 1, 1]) },
    part: middlePart(await scan(2), [0.9, 1, 0.85]),
  }
  for (const [name, copy] of Object.entries(copies))
    for (const folder of ['imagesTr', 'labelsTr'])
      await writeNifti(join(cwd, 'B', folder, `${name}.nii.gz`), copy)
  const { labels } = JSON.parse(await readFile(join(cwd, 'A/dataset.json'), 'utf8'))
  const validation = Object.keys(copies).map((name) => ({
    image: `imagesTr/${name}.nii.gz`,
    label: `labelsTr/${name}.nii.gz`,
  }))
  await writeFile(join(cwd, 'B/dataset.json'), JSON.stringify({ labels, training: [], validation, test: [] }))
  for (const set of ['A', 'B'])
    await runCli(['data', 'import', '--lists', set, '--root', '.', '--out', `${set}.json`], { cwd })
}

describe('freetumor data audit', () => {
  it('finds copies across manifests, shows them, keeps fingerprints, and exits 6', async () => {
    const cwd = temporaryFolder()
    await madeManifests(cwd)
    const done = await runCli(['data', 'audit', 'A.json', 'B.json', '--out', 'out', '--output', 'json'], {
      cwd,
    })
    expect(done.code).toBe(6)
    const { pairs } = JSON.parse(done.stdout)
    expect(pairs).toMatchObject([
      { kind: 'exact', cases: ['A/phantom_001', 'B/turned'], leak: true },
      { kind: 'near', cases: ['A/phantom_002', 'B/part'], leak: true },
    ])
    expect(JSON.parse(await readFile(join(cwd, 'out/audit.json'), 'utf8')).pairs).toEqual(pairs)
    const page = await readFile(join(cwd, 'out/audit.html'), 'utf8')
    expect(page.match(/data:image\/png;base64,/g)).toHaveLength(2)
    expect(page).not.toContain('http')
    expect(await readdir(join(cwd, '.freetumor/cache/fingerprints'))).toHaveLength(5)
    const text = await runCli(['data', 'audit', 'A.json', 'B.json', '--workers', '1'], { cwd })
    expect(text).toMatchObject({ code: 6 })
    expect(text.stdout).toMatch(/leak exact {3}A\/phantom_001 \(training\) \| B\/turned \(validation\)/)
  })

  it('exits with 0 without overlaps, and with 3 if a scan cannot be read', async () => {
    const cwd = temporaryFolder()
    await runCli(['phantom', '--out', 'A', '--cases', '2', '--size', '32', '--seed', '5'], { cwd })
    await runCli(['data', 'import', '--lists', 'A', '--root', '.', '--out', 'A.json'], { cwd })
    const fine = await runCli(['data', 'audit', 'A.json'], { cwd })
    expect(fine).toMatchObject({ code: 0, stdout: '2 cases: 0 leaks, 0 other pairs\n' })
    await writeFile(join(cwd, 'A/imagesTr/phantom_000.nii.gz'), 'no scan')
    const damaged = await runCli(['data', 'audit', 'A.json'], { cwd })
    expect(damaged.code).toBe(3)
    expect(damaged.stderr).toMatch(/A\/phantom_000 was compared with nothing: .*not a NIfTI file/)
  })
})
