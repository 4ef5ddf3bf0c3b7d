import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { multiplyAffines } from '../../src/volume/geometry.js'
import { readNifti } from '../../src/volume/nifti.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import type { Affine } from '../../src/volume/volume.js'
import { diagonal, filled } from '../helpers/nifti-fixtures.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freetumor-nifti-'))
})
afterAll(() => rm(folder, { recursive: true }))

const scan = filled(
  Int16Array,
  [3, 4, 5],
  (i, j, k) => 100 * i + 10 * j - k,
  diagonal([0.5, 0.75, 5], [-90, -80, 1234.5]),
)

describe('writeNifti', () => {
  it('writes what readNifti reads, plain and gzipped', async () => {
    for (const name of ['a.nii', 'a.nii.gz']) {
      const file = join(folder, name)
      await writeNifti(file, scan)
      const back = await readNifti(file)
      expect(back.data).toEqual(scan.data)
      expect(back.affine).toEqual(scan.affine)
      expect(back).toMatchObject({
        shape: [3, 4, 5],
        dataType: 'int16',
        pixdimMm: [0.5, 0.75, 5],
        affineSource: 'sform',
      })
      const magic = await readFile(file)
      expect(magic[0] === 0x1f).toBe(name.endsWith('.gz'))
    }
  })

  it('gives equal bytes for equal volumes, without a time and without free text', async () => {
    const [a, b] = [join(folder, 'b.nii.gz'), join(folder, 'c.nii.gz')]
    await writeNifti(a, scan)
    await writeNifti(b, scan)
    const bytes = await readFile(a)
    expect(bytes.equals(await readFile(b))).toBe(true)
    expect(bytes.readUInt32LE(4)).toBe(0)
    const header = gunzipSync(bytes).subarray(0, 352)
    for (const [start, end] of [
      [4, 38],
      [148, 252],
      [328, 344],
    ] as const)
      expect(header.subarray(start, end).every((byte) => byte === 0)).toBe(true)
  })

  it('states equal sform and qform for any rotation, also for left-handed grids', async () => {
    const turn = (angle: number): Affine => [
      Math.cos(angle),
      -Math.sin(angle),
      0,
      0,
      Math.sin(angle),
      Math.cos(angle),
      0,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      1,
    ]
    const tilt = (angle: number): Affine => [
      1,
      0,
      0,
      0,
      0,
      Math.cos(angle),
      -Math.sin(angle),
      0,
      0,
      Math.sin(angle),
      Math.cos(angle),
      0,
      0,
      0,
      0,
      1,
    ]
    const angles = [0, 0.3, 1.6, 2.9, Math.PI, -2.2]
    for (const a of angles)
      for (const b of angles)
        for (const spacing of [
          [1, 2, 3],
          [-1, 2, 3],
          [1, 2, -3],
        ] as const) {
          const affine = multiplyAffines(multiplyAffines(turn(a), tilt(b)), diagonal(spacing, [5, 6, 7]))
          const file = join(folder, 'turned.nii')
          await writeNifti(file, { ...scan, affine })
          const bytes = await readFile(file)
          const sform = await readNifti(file)
          // With the sform's code taken away the reader must find the same place by the quaternion.
          bytes.writeInt16LE(0, 254)
          await writeFile(file, bytes)
          const qform = await readNifti(file)
          expect(qform.affineSource).toBe('qform')
          for (const [n, cell] of qform.affine.entries()) expect(cell).toBeCloseTo(sform.affine[n]!, 4)
        }
  })

  it('omits the qform of a sheared grid', async () => {
    const file = join(folder, 'sheared.nii')
    await writeNifti(file, { ...scan, affine: [1, 0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] })
    const bytes = await readFile(file)
    expect(bytes.readInt16LE(252)).toBe(0)
    expect(bytes.readInt16LE(254)).toBe(1)
  })

  it('stores another type if every value fits, and refuses it otherwise', async () => {
    const file = join(folder, 'typed.nii')
    await writeNifti(file, scan, { dataType: 'float32' })
    expect((await readNifti(file)).data).toEqual(Float32Array.from(scan.data))
    await expect(writeNifti(file, scan, { dataType: 'uint8' })).rejects.toThrow(
      /value out of range .expected uint8, found -1/,
    )
    await expect(
      writeNifti(
        file,
        filled(Float32Array, [1, 1, 1], () => 0.5),
        { dataType: 'int16' },
      ),
    ).rejects.toThrow(/expected int16, found 0.5/)
  })

  it('leaves no file if it cannot write', async () => {
    await expect(writeNifti(join(folder, 'no', 'where.nii'), scan)).rejects.toThrow(
      /cannot be written \(a folder of its path is missing or refuses new files, ENOENT\)/,
    )
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})
