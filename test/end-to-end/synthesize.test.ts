import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyAffine } from '../../src/volume/geometry.js'
import { readNifti } from '../../src/volume/nifti.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { runCli, startCli } from '../helpers/cli.js'
import { sharedFile } from '../helpers/shared.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Textures of the published size take seconds each. */
const SMALL_TEXTURES = ['--set', 'simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=2']
const real = {
  image: sharedFile('data/totalsegmentator/example_ct.nii.gz'),
  label: sharedFile('data/totalsegmentator/example_seg_fast_force_split.nii.gz'),
}

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
const digests = (out: string): Record<string, string> =>
  Object.fromEntries(
    ['imagesTr', 'labelsTr', 'changeTr'].flatMap((folder) =>
      readdirSync(join(out, folder)).map((file) => [`${folder}/${file}`, digest(join(out, folder, file))]),
    ),
  )

async function phantoms(folder: string): Promise<{ images: string; labels: string }> {
  await runCli(['phantom', '--out', join(folder, 'hosts'), '--cases', '2', '--size', '48', '--seed', '5'])
  return { images: join(folder, 'hosts', 'imagesTr'), labels: join(folder, 'hosts', 'labelsTr') }
}

describe('freetumor synthesize', () => {
  it('changes nothing outside the change mask, keeps the grid, marks tumors in the organ, the same by two ranks', async () => {
    const folder = temporaryFolder()
    const { images, labels } = await phantoms(folder)
    const kind = ['--region', 'abdomen', '--organs', 'liver', '--variants', '2', ...SMALL_TEXTURES]
    const flags = ['synthesize', '--images', images, '--labels', labels, ...kind]
    const [out, nnunet] = ['plain', 'nnunet'].map((name) => join(folder, name)) as [string, string]
    const done = await runCli([...flags, '--out', out, '--output', 'json'])
    expect(done.code, done.stderr).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({ hosts: 2, scans: 4, failed: [] })
    for (const file of readdirSync(join(out, 'imagesTr'))) {
      const host = await readNifti(join(images, file.replace(/_v\d+/, '')))
      const hostLabel = await readNifti(join(labels, file.replace(/_v\d+/, '')))
      const [image, label, change] = await Promise.all(
        ['imagesTr', 'labelsTr', 'changeTr'].map((name) => readNifti(join(out, name, file))),
      )
      expect(image!.shape).toEqual(host.shape)
      expect(image!.affine).toEqual(host.affine)
      const differs = image!.data.map((value, at) => Number(value !== host.data[at]))
      expect(differs.some(Boolean)).toBe(true)
      expect(differs.every((value, at) => value <= Number(change!.data[at]))).toBe(true)
      const news = [...label!.data].flatMap((id, at) =>
        id === hostLabel.data[at] ? [] : [[hostLabel.data[at], id]],
      )
      expect(news.length).toBeGreaterThan(0)
      expect(news.every(([before, after]) => before === 1 && after === 2)).toBe(true)
    }
    const both = await runCli([...flags, '--out', nnunet, '--workers', '2', '--layout', 'nnunet'])
    expect(both.code, both.stderr).toBe(0)
    const named = Object.entries(digests(nnunet)).map(([name, hash]) => [name.replace('_0000', ''), hash])
    expect(Object.fromEntries(named)).toEqual(digests(out))
    expect(readdirSync(join(nnunet, 'imagesTr')).every((name) => name.endsWith('_0000.nii.gz'))).toBe(true)
  })

  it.skipIf(!real.image || !real.label)(
    'works on a real scan whose label has another order of axes',
    async () => {
      const folder = temporaryFolder()
      for (const [name, file] of Object.entries(real)) {
        mkdirSync(join(folder, name))
        symlinkSync(file!, join(folder, name, 'case.nii.gz'))
      }
      const out = join(folder, 'out')
      const flags = ['--images', join(folder, 'image'), '--labels', join(folder, 'label'), '--out', out]
      const kind = ['--region', 'abdomen', '--map', 'TotalSegmentator', '--tumors', '3', ...SMALL_TEXTURES]
      const done = await runCli(['synthesize', ...flags, ...kind])
      expect(done.code, done.stderr).toBe(0)
      const [host, image, label, change] = await Promise.all(
        [
          real.image!,
          ...['imagesTr', 'labelsTr', 'changeTr'].map((name) => join(out, name, 'case_v000.nii.gz')),
        ].map((file) => readNifti(file)),
      )
      expect(image!.affine).toEqual(host!.affine)
      expect(label!.affine).toEqual(host!.affine)
      let changed = 0
      for (let at = 0; at < host!.data.length; at++) {
        if (image!.data[at] === host!.data[at]) continue
        changed++
        if (change!.data[at] !== 1) throw new Error(`voxel ${at} changed outside the mask`)
      }
      expect(changed).toBeGreaterThan(50)
      expect(label!.data.some((id) => id === 2 || id === 4 || id === 6)).toBe(true)
    },
  )

  it('lays the tumors of a case where a list wants them', async () => {
    const folder = temporaryFolder()
    const { images, labels } = await phantoms(folder)
    const file = readdirSync(labels)[0]!
    const host = await readNifti(join(labels, file))
    const wanted = deepestVoxel(host.data, host.shape, 1)
    const place = { case: file.replace('.nii.gz', ''), mm: applyAffine(host.affine, wanted), organ: 'liver' }
    writeFileSync(join(folder, 'places.ndjson'), JSON.stringify(place))
    const settings = [
      'job: baseline',
      'data: { root: ., datasets: [{ name: phantom_hosts }] }',
      'simulation: { positions: places.ndjson, sizeOdds: { tiny: 1, small: 0, medium: 0, large: 0 } }',
    ]
    writeFileSync(join(folder, 'run.yaml'), settings.join('\n'))
    const out = join(folder, 'out')
    const flags = ['--images', images, '--labels', labels, '--organs', 'liver', '--variants', '2']
    const sources = ['--config', join(folder, 'run.yaml'), ...flags, ...SMALL_TEXTURES]
    const done = await runCli(['synthesize', ...sources, '--out', out])
    expect(done.code, done.stderr).toBe(0)
    for (const variant of ['v000', 'v001']) {
      const label = await readNifti(join(out, 'labelsTr', `${place.case}_${variant}.nii.gz`))
      const [, width, length] = host.shape
      const places = [...label.data].flatMap((id, at) =>
        id === host.data[at]
          ? []
          : [[Math.floor(at / (width * length)), Math.floor(at / length) % width, at % length]],
      )
      expect(places.length).toBeGreaterThan(50)
      // a tiny tumor has radii of 3 to 5 voxels, and its warps move it by a voxel or two
      for (const axis of [0, 1, 2])
        expect(Math.max(...places.map((voxel) => Math.abs(voxel[axis]! - wanted[axis]!)))).toBeLessThan(10)
    }
  })

  it('stopped by a signal exits with 75, and resumes to the files of an uninterrupted run', async () => {
    const folder = temporaryFolder()
    const { images, labels } = await phantoms(folder)
    const kind = ['--region', 'specialist', '--organs', 'liver', '--variants', '6', '--output', 'ndjson']
    const map = ['--map', '1:1,2:2,3:3,4:4,5:5,6:6']
    const flags = ['synthesize', '--images', images, '--labels', labels, ...map, ...kind, ...SMALL_TEXTURES]
    const out = join(folder, 'stopped')
    const started = startCli([...flags, '--out', out])
    started.child.stdout!.once('data', () => started.child.kill('SIGTERM')) // with the first variant done
    const stopped = await started.finished
    expect(stopped.code, stopped.stderr).toBe(75)
    expect(stopped.stderr).toContain('synthesize was stopped')
    const [on, whole] = [
      await runCli([...flags, '--out', out]),
      await runCli([...flags, '--out', `${out}-not`]),
    ]
    expect([on.code, whole.code], on.stderr + whole.stderr).toEqual([0, 0])
    expect(digests(out)).toEqual(digests(`${out}-not`))
    const first = await readNifti(join(out, 'labelsTr', readdirSync(join(out, 'labelsTr'))[0]!))
    expect([...new Set(first.data)].sort()).toEqual([0, 1, 2])
  })

  it('lists missing values instead of guessing them', async () => {
    const folder = temporaryFolder()
    const { images, labels } = await phantoms(folder)
    const flags = ['--images', images, '--labels', labels, '--out', join(folder, 'out')]
    const untold = await runCli(['synthesize', ...flags])
    expect(untold.code).toBe(2)
    expect(untold.stderr).toContain('pass --region abdomen or --region chest')
    const strange = await runCli(['synthesize', ...flags, '--region', 'abdomen', '--organs', 'lung'])
    expect(strange.code).toBe(2)
    expect(strange.stderr).toContain('organs of the abdomen: liver, pancreas, kidney')
    const alone = await runCli(['synthesize', '--images', images, '--out', join(folder, 'out')])
    expect(alone.code).toBe(2)
    const many = await runCli(['synthesize', ...flags, '--region', 'specialist', '--organs', 'liver,kidney'])
    expect(many.code).toBe(2)
    expect(many.stderr).toContain('--region specialist: needs exactly one organ')
  })
})

/** The voxel of an organ with the most of it around, in a cube of growing sides. */
function deepestVoxel(data: ArrayLike<number>, [nx, ny, nz]: Vec3, organ: number): Vec3 {
  const isInside = ([x, y, z]: Vec3, reach: number) => {
    for (let i = x - reach; i <= x + reach; i++)
      for (let j = y - reach; j <= y + reach; j++)
        for (let k = z - reach; k <= z + reach; k++)
          if (
            i < 0 ||
            j < 0 ||
            k < 0 ||
            i >= nx ||
            j >= ny ||
            k >= nz ||
            data[(i * ny + j) * nz + k] !== organ
          )
            return false
    return true
  }
  let [best, reach]: [Vec3 | null, number] = [null, 2]
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++)
      for (let z = 0; z < nz; z++) while (isInside([x, y, z], reach)) [best, reach] = [[x, y, z], reach + 1]
  if (best === null) throw new Error('the organ is nowhere deep')
  return best
}
