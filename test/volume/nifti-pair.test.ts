import { readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { keepFingerprint, keptFingerprint } from '../../src/curation/audit/fingerprint-cache.js'
import { writeMergedLabel } from '../../src/curation/datasets/organ-masks.js'
import { measureCase } from '../../src/curation/measure-case.js'
import { inputOf } from '../../src/pipeline/predict/record.js'
import { readNifti, voxelMemory } from '../../src/volume/nifti.js'
import { probeNifti } from '../../src/volume/nifti-probe.js'
import { filesOfScan, statesOfScan } from '../../src/volume/scan-files.js'
import { imageOf, writePair } from '../helpers/layouts.js'
import { madeCase, madeImage, madeLabel } from '../helpers/made-cases.js'
import { runPython } from '../helpers/python.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('the files of a scan', () => {
  const sets: readonly [string[], string, string[]][] = [
    [['a.nii.gz', 'a.img'], 'a.nii.gz', ['a.nii.gz']],
    [['a.hdr', 'a.img'], 'a.hdr', ['a.hdr', 'a.img']],
    [['a.HDR', 'a.IMG'], 'a.HDR', ['a.HDR', 'a.IMG']],
    [['a.Hdr', 'a.Img'], 'a.Hdr', ['a.Hdr', 'a.Img']],
    [['a.hdr', 'a.IMG'], 'a.hdr', ['a.hdr', 'a.IMG']],
    [['a.hdr', 'a.img', 'a.img.gz'], 'a.hdr', ['a.hdr', 'a.img']],
    [['a.hdr.gz', 'a.img', 'a.img.gz'], 'a.hdr.gz', ['a.hdr.gz', 'a.img.gz']],
    [['a.hdr', 'a.img.gz'], 'a.hdr', ['a.hdr', 'a.img.gz']],
    [['a.hdr', 'b.img'], 'a.hdr', ['a.hdr']],
    [['a.hdr.nii', 'a.img'], 'a.hdr.nii', ['a.hdr.nii']],
  ]

  it('are both files of a pair, in both languages', async () => {
    const root = temporaryFolder()
    const scans = sets.map(([files, scan], at) => {
      for (const name of files) writeFileSync(join(root, `${at}${name}`), '')
      return join(root, `${at}${scan}`)
    })
    const expected = sets.map(([, , files], at) => files.map((name) => join(root, `${at}${name}`)))
    expect(await Promise.all(scans.map(filesOfScan))).toEqual(expected)
    expect(JSON.parse(runPython('test/contract/files_of_scan.py', scans.join('\n')))).toEqual(expected)
  })
})

describe('a changed .img', () => {
  const place = { folder: '', scan: '', voxels: '' }

  beforeEach(async () => {
    place.folder = temporaryFolder()
    place.scan = join(place.folder, 'a.hdr')
    place.voxels = join(place.folder, 'a.img')
    await writePair(place.scan, imageOf(0))
  })

  /** Change the voxels and keep size and header. */
  async function changeVoxels(): Promise<void> {
    const { mtimeMs } = statSync(place.scan)
    await writePair(place.scan, imageOf(1))
    utimesSync(place.scan, mtimeMs / 1000, mtimeMs / 1000)
    utimesSync(place.voxels, 1, 1)
  }

  it('changes the state of the scan and the inputs of a prediction', async () => {
    const of = () =>
      Promise.all([
        statesOfScan(place.scan),
        inputOf({ id: 'a', image: place.scan, organMask: null, label: null }),
      ])
    const before = await of()
    await changeVoxels()
    const after = await of()
    for (const at of [0, 1]) {
      expect(after[at]).toHaveLength(2)
      expect(after[at]).not.toEqual(before[at])
    }
  })

  it('changes the digests of a manifest, which count both files', async () => {
    const before = await probeNifti(place.scan)
    expect(before.bytes).toBe(statSync(place.scan).size + statSync(place.voxels).size)
    writeFileSync(place.voxels, readFileSync(place.voxels).fill(7, 0, 9))
    expect((await probeNifti(place.scan)).digest).not.toBe(before.digest)
    const item = { ...(await madeCase(join(place.folder, 'case'), madeImage(), null)), image: place.scan }
    const measured = await measureCase(item, voxelMemory())
    await changeVoxels()
    const again = await measureCase(item, voxelMemory())
    expect([measured.problem, again.problem]).toEqual([null, null])
    expect(again.digests.image).not.toBe(measured.digests.image)
  })

  it('makes a new fingerprint', async () => {
    const memory = voxelMemory()
    const cache = join(place.folder, 'cache')
    const first = await keptFingerprint(place.scan, cache, memory)
    await keepFingerprint(place.scan, cache, first)
    expect((await keptFingerprint(place.scan, cache, memory)).fresh).toBe(null)
    await changeVoxels()
    const second = await keptFingerprint(place.scan, cache, memory)
    expect(second.fingerprint.exact).not.toBe(first.fingerprint.exact)
  })

  it('makes a new merged label', async () => {
    const mask = (id: number) => ({
      ...madeLabel(),
      data: madeLabel().data.map((found) => Number(found === id)),
    })
    const merge = () =>
      writeMergedLabel('a', [{ name: 'liver', file: place.scan }], 'abdomen', join(place.folder, 'merged'))
    await writePair(place.scan, mask(1))
    const first = readFileSync((await merge()).file)
    await writePair(place.scan, mask(3))
    utimesSync(place.scan, 1, 1)
    expect(readFileSync((await merge()).file).equals(first)).toBe(false)
  })

  it('is named if it is missing or truncated', async () => {
    truncateSync(place.voxels, 10)
    await expect(readNifti(place.scan)).rejects.toThrow(
      `${place.voxels}: truncated (expected 27648 bytes by its header, found 10)`,
    )
    rmSync(place.voxels)
    await expect(probeNifti(place.scan)).rejects.toThrow(
      `${place.scan}: a header without voxels (its .img is missing)`,
    )
  })
})
