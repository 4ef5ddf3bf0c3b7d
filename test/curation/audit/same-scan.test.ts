import { describe, expect, it } from 'vitest'
import { coarseGrid, readingsOf } from '../../../src/curation/audit/coarse-grid.js'
import { wholeHu } from '../../../src/curation/audit/exact-hash.js'
import {
  decodeLandmarks,
  encodeLandmarks,
  findLandmarks,
  LANDMARK_CELL_MM,
} from '../../../src/curation/audit/landmarks.js'
import { compareScans, SAME_SCAN_CORRELATION } from '../../../src/curation/audit/same-scan.js'
import { voxelSketch } from '../../../src/curation/audit/voxel-sketch.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { moveAxes, spacingOf, toRas } from '../../../src/volume/geometry.js'
import { readNifti } from '../../../src/volume/nifti.js'
import type { Vec3, Volume } from '../../../src/volume/volume.js'
import { candidatesOf, type DescribedScan } from '../../helpers/audit-candidates.js'
import { diagonal } from '../../helpers/nifti-fixtures.js'
import { allMoves, middlePart, resampled, retyped, windowed } from '../../helpers/scan-copies.js'
import { sharedData } from '../../helpers/shared.js'

const CELL: Vec3 = [LANDMARK_CELL_MM, LANDMARK_CELL_MM, LANDMARK_CELL_MM]

const known = new WeakMap<Volume, DescribedScan>()

function searchable(volume: Volume): DescribedScan {
  if (!known.has(volume)) known.set(volume, describeScan(volume))
  return known.get(volume)!
}

function describeScan(volume: Volume): DescribedScan {
  const hu = wholeHu(volume)
  const landmarks = readingsOf(hu).map((reading) => findLandmarks(coarseGrid(hu, reading, CELL)))
  return { sketch: voxelSketch(hu), landmarks }
}

/** What an audit makes of two scans. */
async function judge(a: Volume, b: Volume) {
  const [candidate] = await candidatesOf([searchable(a), searchable(b)])
  if (!candidate) return { proven: false, noise: 0, offsetMm: null, same: false }
  const [huA, huB] = [wholeHu(a), wholeHu(b)]
  const { proven, landmarks } = candidate
  const found =
    landmarks &&
    compareScans(
      { volume: huA, reading: readingsOf(huA)[landmarks.readingA]! },
      { volume: huB, reading: readingsOf(huB)[landmarks.readingB]! },
      landmarks.offsetMm,
    )
  const noise = found?.noiseCorrelation ?? 0
  return { proven, noise, offsetMm: found?.offsetMm ?? null, same: proven || noise >= SAME_SCAN_CORRELATION }
}

const phantom = (index: number, region: 'abdomen' | 'chest' = 'abdomen') =>
  makePhantom({ region, index, seed: 11, sizeVoxels: 80, tumors: true }).image
const scan = phantom(0)
const spacing: Vec3 = [1.5, 1.5, 1.5]
const share = Math.cbrt(0.75)

describe('copies of a scan are found', () => {
  it.each([
    ['three quarters of it', middlePart(scan, [share, share, share])],
    ['three quarters of its slices', middlePart(scan, [1, 1, 0.75])],
    ['its values clipped', retyped(windowed(scan, -175, 250), Float64Array)],
    ['another padding', { ...scan, data: scan.data.map((hu) => (hu < -900 ? -3024 : hu)) }],
  ])('by their voxels: %s', async (what, copy) => {
    const found = await judge(scan, copy)
    expect(found.same, JSON.stringify(found)).toBe(true)
    if (what !== 'its values clipped') expect(found.proven).toBe(true)
  })

  it('by their voxels under every orientation, with a wrong header', () => {
    const part = { ...middlePart(scan, [share, share, share]), affine: diagonal([1, 1, 1]) }
    const { sketch } = searchable(scan)
    for (const moves of allMoves()) {
      const shared = voxelSketch(wholeHu(moveAxes(part, moves))).filter((hash) => sketch.includes(hash))
      expect(shared.length).toBeGreaterThan(30)
    }
  })

  it.each([
    ['3 mm', resampled(scan, spacing, [3, 3, 3])],
    ['slices of 5 mm', resampled(scan, spacing, [1, 1, 5])],
    ['a prepared grid and window', windowed(resampled(scan, spacing, [2, 2, 2]), -175, 250)],
    [
      'a lung window in 8 bits',
      retyped(windowed(resampled(scan, spacing, [2, 2, 2]), -1000, 500), Float32Array),
    ],
    ['a lost intercept', retyped(resampled(scan, spacing, [2, 2, 2.5]), Int16Array, 1024)],
    [
      'a part of a resampled copy',
      middlePart(resampled(scan, spacing, [1.3, 1.3, 2]), [share, share, share]),
    ],
  ])('by their noise: %s', async (_, copy) => {
    const found = await judge(scan, copy)
    expect(found.same, JSON.stringify(found)).toBe(true)
  })

  it('with the position of one in the other', async () => {
    const whole = resampled(scan, spacing, [2, 2, 2])
    const [x, y, z] = whole.shape
    const part = middlePart(whole, [(x - 8) / x, (y - 4) / y, (z - 12) / z])
    for (const [axis, wanted] of [8, 4, 12].entries())
      expect(Math.abs((await judge(scan, part)).offsetMm![axis]! - wanted)).toBeLessThan(1)
  })
})

describe('different scans', () => {
  it('are separated although their anatomy follows one recipe', async () => {
    for (const region of ['abdomen', 'chest'] as const) {
      const scans = [0, 1, 2, 3].map((index) => phantom(index, region))
      for (const [at, a] of scans.entries())
        for (const b of scans.slice(at + 1))
          expect(await judge(a, b)).toMatchObject({ proven: false, same: false })
    }
  })
})

describe('landmarks', () => {
  it('are decoded to a tenth of a millimetre', () => {
    const [found] = searchable(scan).landmarks
    const back = decodeLandmarks(encodeLandmarks(found!))
    expect(back.keys).toEqual(found!.keys)
    for (const [at, mm] of found!.mm.entries()) expect(Math.abs(back.mm[at]! - mm)).toBeLessThan(0.051)
  })

  it('of an empty or tiny volume are empty, and nothing is found', async () => {
    const nothing = { data: new Int16Array(8), shape: [2, 2, 2] as const, affine: diagonal() }
    expect(searchable(nothing)).toMatchObject({ sketch: [], landmarks: [] })
    expect(await candidatesOf([searchable(nothing), searchable(nothing), searchable(scan)])).toEqual([])
  })
})

const files = [
  ['totalsegmentator', 'example_ct.nii.gz'],
  ['totalsegmentator', 'example_ct_dicom_as_nifti.nii.gz'],
  ['crlm', 'CRLM-CT-1004_ct.nii.gz'],
  ['nsclc_lung1_001', 'ct_ds2.nii.gz'],
] as const
const folders = files.map(([folder]) => sharedData(folder))

describe.skipIf(folders.includes(null))('real scans', () => {
  it('are separated, and each is found as a crop and as a resampled, windowed copy', {
    timeout: 120_000,
  }, async () => {
    const scans = await Promise.all(
      files.map(async ([, name], at) => toRas(await readNifti(`${folders[at]}/${name}`))),
    )
    for (const [at, a] of scans.entries()) {
      for (const b of scans.slice(at + 1)) expect((await judge(a, b)).same).toBe(false)
      expect(await judge(a, middlePart(a, [share, share, share]))).toMatchObject({ proven: true })
      // the larger ones are part of scripts/figures/audit
      if (a.data.length > 5e6) continue
      const copy = windowed(resampled(a, spacingOf(a.affine), [3, 3, 4]), -175, 250)
      expect(await judge(a, copy)).toMatchObject({ proven: false, same: true })
    }
  })
})
