import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DataError } from '../../src/errors.js'
import { readNifti } from '../../src/volume/nifti.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import { filled, gzipped, madeNifti } from '../helpers/nifti-fixtures.js'
import { runPython } from '../helpers/python.js'
import { sharedData } from '../helpers/shared.js'
import { temporaryFolder } from '../helpers/temporary.js'

interface Answer {
  readonly verdict: string
  readonly shape?: readonly number[]
  readonly affine?: readonly number[]
  readonly sum?: number
  readonly nan?: number
}

const MAX_BYTES = 2 ** 28
const odd = sharedData('odd_nifti')

function pythonAnswers(files: readonly string[]): Answer[] {
  return JSON.parse(runPython('test/contract/nifti_verdicts.py', files.join('\n'))) as Answer[]
}

async function ourAnswer(file: string): Promise<Answer> {
  try {
    const { data, shape, affine } = await readNifti(file, { maxBytes: MAX_BYTES })
    let sum = 0
    let nan = 0
    for (const [n, value] of data.entries())
      if (Number.isNaN(value)) nan++
      else sum += value * (n % 1009)
    return { verdict: 'ok', shape, affine, sum, nan }
  } catch (error) {
    return { verdict: String((error as DataError).facts.reason) }
  }
}

async function expectAgreement(files: readonly string[]): Promise<Answer[]> {
  const theirs = pythonAnswers(files)
  const ours = []
  for (const [n, file] of files.entries()) {
    const [a, b] = [await ourAnswer(file), theirs[n]!]
    ours.push(a)
    expect({ file, verdict: a.verdict, shape: a.shape, nan: a.nan }).toEqual({
      file,
      verdict: b.verdict,
      shape: b.shape,
      nan: b.nan,
    })
    if (a.verdict !== 'ok') continue
    for (const [cell, value] of a.affine!.entries()) expect(value).toBeCloseTo(b.affine![cell]!, 9)
    expect(Math.abs(a.sum! - b.sum!)).toBeLessThanOrEqual(1e-9 * Math.abs(b.sum!))
  }
  return ours
}

describe.skipIf(odd === null)('real odd files', () => {
  it('get the same verdict, voxels and affine in both languages', async () => {
    const names = readdirSync(odd!, { recursive: true, encoding: 'utf8' }).sort()
    const files = names.map((name) => join(odd!, name)).filter((file) => statSync(file).isFile())
    const answers = await expectAgreement([...files, odd!, join(odd!, 'nowhere.nii')])
    const verdictOf = (name: string) => answers[files.indexOf(join(odd!, name))]!.verdict
    expect(verdictOf('nifti-reader-js/big.nii.gz')).toBe('ok')
    expect(verdictOf('nifti-reader-js/with_extension.nii.gz')).toBe('ok')
    expect(verdictOf('niivue/shear.nii.gz')).toBe('ok')
    expect(verdictOf('nifti-rs/27/int64.nii')).toBe('ok')
    expect(verdictOf('nifti-rs/rgb/3D.nii')).toBe('dataType')
    expect(verdictOf('niivue/complex_image.nii.gz')).toBe('dataType')
    expect(verdictOf('nibabel/functional.nii')).toBe('dimensions')
    expect(verdictOf('nibabel/nifti1.hdr')).toBe('headerOnly')
    expect(verdictOf('nibabel/analyze.hdr')).toBe('notNifti')
    expect(verdictOf('pointers_and_fakes/lfs_pointer_liver_0.nii.gz')).toBe('notNifti')
    for (const [n, file] of files.entries())
      if (file.includes('fuzz')) expect(answers[n]!.verdict).not.toBe('ok')
  })
})

interface Pair {
  readonly header: string
  readonly voxels: string
}

function zipDamaged({ header }: Pair): void {
  const bytes = gzipped(readFileSync(header))
  bytes[bytes.length - 6] = bytes[bytes.length - 6]! ^ 1
  writeFileSync(header, bytes)
}

function folderInstead({ voxels }: Pair): void {
  rmSync(voxels)
  mkdirSync(voxels)
}

function withoutMagic({ header }: Pair): void {
  const bytes = readFileSync(header)
  bytes.fill(0, 344, 348)
  writeFileSync(header, bytes)
}

describe('constructed files', () => {
  it('with any one byte of the header changed get equal verdicts', async () => {
    const folder = temporaryFolder()
    const samples = fc.sample(
      fc.record({
        at: fc.integer({ min: 0, max: 351 }),
        value: fc.integer({ min: 0, max: 255 }),
        zipped: fc.boolean(),
        bigEndian: fc.boolean(),
      }),
      { seed: 7, numRuns: 600 },
    )
    const files = await Promise.all(
      samples.map(async ({ at, value, zipped, bigEndian }, n) => {
        const bytes = madeNifti({ bigEndian, qformCode: 1 })
        bytes[at] = value
        const file = join(folder, `${n}.nii`)
        await writeFile(file, zipped ? gzipped(bytes) : bytes)
        return file
      }),
    )
    const answers = await expectAgreement(files)
    const kinds = new Set(answers.map(({ verdict }) => verdict))
    expect(kinds.size).toBeGreaterThan(5)
  })

  it('changed at random in several ways get equal verdicts', async () => {
    // A sample of the campaign in scripts/faults/nifti_files.py.
    const written = runPython('test/contract/mutated_nifti.py', '', [temporaryFolder(), '300', '11'])
    const answers = await expectAgreement(written.trim().split('\n'))
    expect(new Set(answers.map(({ verdict }) => verdict)).size).toBeGreaterThan(7)
    expect(answers.map(({ verdict }) => verdict)).not.toContain('undefined')
  })

  it('of pairs by nibabel are read as nibabel reads them', async () => {
    const written = runPython('test/contract/pair_files.py', '', [temporaryFolder(), '200', '5'])
    const theirs = JSON.parse(written) as (Answer & { file: string })[]
    const answers = await expectAgreement(theirs.map(({ file }) => file))
    for (const [n, { file, shape, affine, sum }] of theirs.entries()) {
      const ours = answers[n]!
      expect([file, ours.verdict, ours.shape]).toEqual([file, 'ok', shape])
      for (const [cell, value] of affine!.entries()) expect(ours.affine![cell]!).toBeCloseTo(value, 9)
      // a rescale of small types gives float32 here, and float64 in nibabel
      expect(Math.abs(ours.sum! - sum!)).toBeLessThanOrEqual(1e-6 * Math.abs(sum!) + 1e-3)
    }
  })

  it('of damaged pairs get the same verdict in both languages', async () => {
    const damages: Record<string, [string, (pair: Pair) => void]> = {
      'without its .img': ['headerOnly', ({ voxels }) => rmSync(voxels)],
      'with a truncated .img': ['truncated', ({ voxels }) => truncateSync(voxels, 100)],
      'with an empty .img': ['truncated', ({ voxels }) => truncateSync(voxels, 0)],
      'with a longer .img': ['trailingData', ({ voxels }) => appendFileSync(voxels, 'x')],
      'with a folder as .img': ['notAFile', folderInstead],
      'with a truncated .hdr': ['notNifti', ({ header }) => truncateSync(header, 340)],
      'with damage in a compressed .hdr': ['corruptGzip', zipDamaged],
      'without the NIfTI magic (Analyze 7.5)': ['notNifti', withoutMagic],
    }
    const folder = temporaryFolder()
    const bytes = madeNifti({ magic: 'ni1\0', offset: 0 })
    const pairs = Object.keys(damages).map((name): Pair => {
      const stem = join(folder, name)
      writeFileSync(`${stem}.hdr`, bytes.subarray(0, 352))
      writeFileSync(`${stem}.img`, bytes.subarray(352))
      return { header: `${stem}.hdr`, voxels: `${stem}.img` }
    })
    const headers = pairs.map(({ header }) => header)
    expect(new Set((await expectAgreement(headers)).map(({ verdict }) => verdict))).toEqual(new Set(['ok']))
    for (const [n, [, damage]] of Object.values(damages).entries()) damage(pairs[n]!)
    const answers = await expectAgreement(headers)
    expect(answers.map(({ verdict }) => verdict)).toEqual(Object.values(damages).map(([reason]) => reason))
  })

  it('of a pair by its .img, or with another name than .hdr, are refused', async () => {
    const stem = join(temporaryFolder(), 'a')
    const bytes = madeNifti({ magic: 'ni1\0', offset: 0 })
    for (const ending of ['hdr', 'nii']) await writeFile(`${stem}.${ending}`, bytes.subarray(0, 352))
    await writeFile(`${stem}.img`, bytes.subarray(352))
    const answers = await expectAgreement([`${stem}.img`, `${stem}.nii`])
    expect(answers.map(({ verdict }) => verdict)).toEqual(['notNifti', 'headerOnly'])
    await expect(readNifti(`${stem}.img`)).rejects.toThrow(
      `${stem}.img: not a NIfTI header (found the voxels of a pair)`,
    )
  })

  it('that unfold into too many bytes are refused in both languages, without unfolding them', async () => {
    const bytes = 300 * 1024 * 1024
    const files = runPython('test/contract/mutated_nifti.py', '', [temporaryFolder(), 'bombs', String(bytes)])
    const before = process.memoryUsage().rss
    const answers = await expectAgreement(files.trim().split('\n'))
    expect(process.memoryUsage().rss - before).toBeLessThan(bytes / 3)
    expect(answers.map(({ verdict }) => verdict)).toEqual([
      'trailingData',
      'tooLarge',
      'truncated',
      'trailingData',
    ])
  })

  it('with any one byte of the compressed data changed are refused or read in both languages', async () => {
    const folder = temporaryFolder()
    const whole = gzipped(madeNifti())
    const files = await Promise.all(
      [...whole.keys()].map(async (at) => {
        const bytes = Buffer.from(whole)
        bytes[at] = bytes[at]! ^ 0x11
        const file = join(folder, `${at}.nii.gz`)
        await writeFile(file, bytes)
        return file
      }),
    )
    const theirs = pythonAnswers(files)
    for (const [n, file] of files.entries())
      expect([n, (await ourAnswer(file)).verdict === 'ok']).toEqual([n, theirs[n]!.verdict === 'ok'])
  })

  it('with bytes behind their compressed data are refused for the same reason', async () => {
    const folder = temporaryFolder()
    const whole = gzipped(madeNifti())
    const tails = [
      [0],
      [0, 0],
      [0, 31],
      [0, 31, 139],
      Array<number>(5000).fill(0),
      [31],
      [65],
      [65, 66],
      [31, 139],
    ]
    const files = await Promise.all(
      tails.map(async (tail, n) => {
        const file = join(folder, `${n}.nii.gz`)
        await writeFile(file, Buffer.concat([whole, Buffer.from(tail)]))
        return file
      }),
    )
    const answers = await expectAgreement(files)
    expect(answers.slice(0, 5).map(({ verdict }) => verdict)).toEqual(Array(5).fill('corruptGzip'))
    expect(answers.map(({ verdict }) => verdict)).not.toContain('ok')
  })

  it('written by TypeScript are read by Python', async () => {
    const folder = temporaryFolder()
    const affine = [0, -0.8, 0, 10, 0.8, 0, 0, -20, 0, 0, 2.5, 7, 0, 0, 0, 1]
    const value = (i: number, j: number, k: number) => i + 5 * j + k
    const shape = [5, 6, 7] as const
    const volumes = [
      filled(Uint8Array, shape, value, affine),
      filled(Int16Array, shape, value, affine),
      filled(Float32Array, shape, value, affine),
    ]
    const files = volumes.map((_, n) => join(folder, `${n}.nii.gz`))
    for (const [n, volume] of volumes.entries()) await writeNifti(files[n]!, volume)
    const answers = await expectAgreement(files)
    expect(answers.map(({ verdict }) => verdict)).toEqual(['ok', 'ok', 'ok'])
  })
})
