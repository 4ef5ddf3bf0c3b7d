import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataError } from '../../src/errors.js'
import { readNifti, readNiftiHeader } from '../../src/volume/nifti.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { gzipped, type MadeHeader, madeNifti } from '../helpers/nifti-fixtures.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freetumor-nifti-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function fileOf(bytes: Uint8Array, name = 'scan.nii'): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, bytes)
  return file
}

async function reasonFor(bytes: Uint8Array, options = {}): Promise<string> {
  const file = await fileOf(bytes)
  const error = await readNifti(file, options).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (error === null) return 'ok'
  expect(error).toBeInstanceOf(DataError)
  expect((error as DataError).message).toContain(file)
  expect((error as DataError).hint).toBeTruthy()
  return String((error as DataError).facts.reason)
}

describe('readNifti', () => {
  it('converts the file order (first axis fastest) into C order', async () => {
    const volume = await readNifti(await fileOf(madeNifti()))
    expect(volume.shape).toEqual([3, 4, 5])
    expect(volume.data).toBeInstanceOf(Int16Array)
    // Voxel (i, j, k) was written as i + 3 j + 12 k.
    expect(volume.data[(2 * 4 + 3) * 5 + 1]).toBe(2 + 3 * 3 + 12 * 1)
    expect([...volume.data.slice(0, 3)]).toEqual([0, 12, 24])
    expect(volume.affine.slice(0, 4)).toEqual([1, 0, 0, -10])
    expect(volume).toMatchObject({ dataType: 'int16', slope: 1, inter: 0, spacingMm: [1, 2, 3] })
  })

  it('detects gzip by content, also several members, and reads voxels behind an extension', async () => {
    const plain = await readNifti(await fileOf(madeNifti()))
    const zipped = await readNifti(await fileOf(gzipped(madeNifti()), 'named-wrongly.nii'))
    const bytes = madeNifti()
    const members = Buffer.concat([gzipSync(bytes.subarray(0, 400)), gzipSync(bytes.subarray(400))])
    const extended = await readNifti(await fileOf(gzipped(madeNifti({ offset: 736 }))))
    for (const volume of [zipped, await readNifti(await fileOf(members)), extended])
      expect(volume.data).toEqual(plain.data)
  })

  it('swaps the bytes of a big-endian file', async () => {
    const volume = await readNifti(await fileOf(madeNifti({ bigEndian: true })))
    expect(volume.data).toEqual((await readNifti(await fileOf(madeNifti()))).data)
    expect(volume.littleEndian).toBe(false)
  })

  it('applies slope and intercept, and treats a slope of 0 as none', async () => {
    const scaled = await readNifti(await fileOf(madeNifti({ slope: 0.5, inter: -1024 })))
    expect(scaled.data).toBeInstanceOf(Float32Array)
    expect([...scaled.data.slice(0, 3)]).toEqual([-1024, -1018, -1012])
    const unscaled = await readNifti(await fileOf(madeNifti({ slope: 0, inter: 7 })))
    expect([...unscaled.data.slice(0, 3)]).toEqual([0, 12, 24])
    expect(unscaled.slope).toBe(1)
  })

  it('returns 64-bit integers as float64', async () => {
    const voxels = new Uint8Array(BigInt64Array.from({ length: 60 }, (_, n) => BigInt(n - 30)).buffer)
    const volume = await readNifti(await fileOf(madeNifti({ dataType: 1024, bits: 64 }, voxels)))
    expect(volume.data).toBeInstanceOf(Float64Array)
    expect(volume.data[0]).toBe(-30)
  })

  it('accepts a fourth axis of one volume and refuses a real one', async () => {
    expect(await reasonFor(madeNifti({ dims: [4, 3, 4, 5, 1, 1, 1, 1] }))).toBe('ok')
    expect(await reasonFor(madeNifti({ dims: [4, 3, 4, 5, 2, 1, 1, 1] }))).toBe('dimensions')
    expect(await reasonFor(madeNifti({ dims: [2, 3, 4, 1, 1, 1, 1, 1] }))).toBe('dimensions')
  })
})

describe('the affine', () => {
  const forms: Partial<MadeHeader> = {
    quaternion: [0, 0, 1],
    qoffset: [1, 2, 3],
    pixdim: [-1, 1, 2, 3, 1, 1, 1, 1],
  }

  it('is the sform if that has a code, even a lower one than the qform', async () => {
    const header = await readNiftiHeader(await fileOf(madeNifti({ ...forms, qformCode: 4, sformCode: 1 })))
    expect(header.affineSource).toBe('sform')
    expect(header.affine).toEqual([1, 0, 0, -10, 0, 2, 0, 20, 0, 0, 3, 30, 0, 0, 0, 1])
  })

  it('is the qform without an sform, also for a quaternion that is slightly too long', async () => {
    const header = await readNiftiHeader(await fileOf(madeNifti({ ...forms, qformCode: 1, sformCode: 0 })))
    expect(header.affineSource).toBe('qform')
    // Half a turn about the third axis, which qfac -1 turns as well.
    expect(header.affine.map((value) => value + 0)).toEqual([
      -1, 0, 0, 1, 0, -2, 0, 2, 0, 0, -3, 3, 0, 0, 0, 1,
    ])
    const long: Vec3 = [0, 0, 1.00000012]
    const rounded = await readNiftiHeader(
      await fileOf(madeNifti({ ...forms, quaternion: long, qformCode: 1, sformCode: 0 })),
    )
    expect(rounded.affine.every(Number.isFinite)).toBe(true)
  })

  it('comes from pixdim without either, as in nibabel', async () => {
    const header = await readNiftiHeader(await fileOf(madeNifti({ qformCode: 0, sformCode: 0 })))
    expect(header.affineSource).toBe('pixdim')
    expect(header.affine).toEqual([-1, 0, 0, 1, 0, 2, 0, -3, 0, 0, 3, -6, 0, 0, 0, 1])
  })
})

describe('the verdict on damaged and hostile files', () => {
  const lies: readonly [string, Partial<MadeHeader>][] = [
    ['notNifti', { sizeofHdr: 349 }],
    ['notNifti', { magic: '\0\0\0\0' }],
    ['headerOnly', { magic: 'ni1\0' }],
    ['dimensions', { dims: [3, 0, 4, 5, 1, 1, 1, 1] }],
    ['dimensions', { dims: [3, -3, 4, 5, 1, 1, 1, 1] }],
    ['dimensions', { dims: [3, 4097, 4, 5, 1, 1, 1, 1] }],
    ['dimensions', { dims: [9, 3, 4, 5, 1, 1, 1, 1] }],
    ['dataType', { dataType: 128, bits: 24 }],
    ['dataType', { dataType: 32, bits: 64 }],
    ['dataType', { dataType: 4, bits: 8 }],
    ['voxelOffset', { offset: 351 }],
    ['voxelOffset', { offset: 352.5 }],
    ['voxelOffset', { offset: Number.NaN }],
    ['spacing', { pixdim: [1, 0, 2, 3, 1, 1, 1, 1] }],
    ['spacing', { pixdim: [1, 1, Number.NaN, 3, 1, 1, 1, 1] }],
    ['spacing', { pixdim: [1, 1, -2, 3, 1, 1, 1, 1] }],
    ['spacing', { pixdim: [1, 1, 2, 300, 1, 1, 1, 1] }],
    ['scaling', { slope: Number.NaN }],
    ['scaling', { inter: Number.POSITIVE_INFINITY }],
    ['affine', { srow: [1, 0, 0, Number.NaN, 0, 2, 0, 0, 0, 0, 3, 0] }],
    ['affine', { srow: [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0] }],
    ['affine', { srow: [900, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0] }],
    ['affine', { sformCode: 0, qformCode: 1, quaternion: [1, 1, 0] }],
    ['truncated', { dims: [3, 3, 4, 6, 1, 1, 1, 1] }],
    ['trailingData', { dims: [3, 3, 4, 4, 1, 1, 1, 1] }],
  ]
  for (const [reason, header] of lies)
    it(`is ${reason} for ${JSON.stringify(header)}`, async () => {
      expect(await reasonFor(madeNifti(header))).toBe(reason)
      expect(await reasonFor(gzipped(madeNifti(header)))).toBe(reason)
    })

  it('is corruptGzip if the checksum is wrong although every voxel is there', async () => {
    const bytes = gzipped(madeNifti())
    bytes.writeUInt32LE((bytes.readUInt32LE(bytes.length - 8) ^ 1) >>> 0, bytes.length - 8)
    expect(await reasonFor(bytes)).toBe('corruptGzip')
  })

  it('is corruptGzip if anything follows the stream, also zeros', async () => {
    for (const tail of [Buffer.alloc(10), Buffer.from('more')])
      expect(await reasonFor(Buffer.concat([gzipped(madeNifti()), tail]))).toBe('corruptGzip')
  })

  it('is truncated if the stream stops, even in its checksum', async () => {
    const bytes = gzipped(madeNifti())
    for (const cut of [1, 4, 8, 20])
      expect(await reasonFor(bytes.subarray(0, bytes.length - cut))).toBe('truncated')
  })

  it('is trailingData for a small file that unfolds without end, and holds no more than the header promises', async () => {
    const bomb = gzipSync(Buffer.concat([madeNifti(), Buffer.alloc(64 * 1024 * 1024)]))
    expect(bomb.length).toBeLessThan(100_000)
    expect(await reasonFor(bomb)).toBe('trailingData')
  })

  it('is truncated, before memory is allocated, for a header that promises more than the file can unfold to', async () => {
    const before = process.memoryUsage().arrayBuffers
    expect(await reasonFor(gzipped(madeNifti({ dims: [3, 1000, 1000, 1000, 1, 1, 1, 1] })))).toBe('truncated')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024)
  })

  it('is tooLarge beyond the limit, by the file or by the header', async () => {
    expect(await reasonFor(madeNifti(), { maxBytes: 471 })).toBe('tooLarge')
    expect(await reasonFor(gzipped(madeNifti()), { maxBytes: 471 })).toBe('tooLarge')
    expect(await reasonFor(madeNifti(), { maxBytes: 472 })).toBe('ok')
  })

  it('is missing, notAFile or notNifti for other things than a volume', async () => {
    const reason = (file: string) => readNifti(file).catch((error: DataError) => error.facts.reason)
    expect(await reason(join(folder, 'nowhere.nii'))).toBe('missing')
    expect(await reason(folder)).toBe('notAFile')
    const pipe = join(folder, 'pipe.nii')
    execFileSync('mkfifo', [pipe])
    expect(await reason(pipe)).toBe('notAFile')
    expect(await reasonFor(Buffer.alloc(0))).toBe('notNifti')
  })

  it('names a Git LFS pointer and a copied link in the hint', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'
    const hint = async (text: string) => {
      const file = await fileOf(Buffer.from(text))
      return readNifti(file).catch((error: DataError) => error.hint)
    }
    expect(await hint(pointer)).toContain('git lfs pull')
    expect(await hint('/data/imagesTr/liver_0.nii.gz')).toContain('link')
  })
})

describe('a file with many bytes before its voxels', () => {
  it('is read from the stated offset, compressed or not', async () => {
    const offset = 3 * 1024 * 1024
    const bytes = Buffer.concat([madeNifti({ offset }).subarray(0, 352), Buffer.alloc(offset - 352)])
    const whole = Buffer.concat([bytes, madeNifti().subarray(352)])
    for (const content of [whole, gzipped(whole)])
      expect((await readNifti(await fileOf(content))).data[59]).toBe(59)
  })
})

describe('readNiftiHeader', () => {
  it('checks the header and does not read the data', async () => {
    const bytes = gzipped(madeNifti())
    const header = await readNiftiHeader(await fileOf(bytes.subarray(0, bytes.length - 4)))
    expect(header).toMatchObject({ shape: [3, 4, 5], dataType: 'int16', pixdimMm: [1, 2, 3], version: 1 })
    expect(header).not.toHaveProperty('data')
  })
})
