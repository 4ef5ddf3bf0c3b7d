import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { checkCase } from '../../../src/curation/check/case.js'
import type { Finding } from '../../../src/curation/check/finding.js'
import type { ManifestCase } from '../../../src/curation/datasets/manifest.js'
import { findPreset } from '../../../src/curation/datasets/presets.js'
import { moveAxes } from '../../../src/volume/geometry.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import type { Affine } from '../../../src/volume/volume.js'
import { madeCase, madeImage, madeLabel } from '../../helpers/made-cases.js'
import { madeNifti } from '../../helpers/nifti-fixtures.js'
import { sharedData } from '../../helpers/shared.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const OPTIONS = { prepared: null, maxBytes: null } as const

function short(findings: readonly Finding[]): string[] {
  return findings.map(({ rule, severity }) => `${rule}:${severity}`)
}

async function check(item: ManifestCase): Promise<string[]> {
  const findings = await checkCase(item, OPTIONS)
  for (const finding of findings) {
    expect(finding.case).toBe(item.id)
    expect([item.image, item.label]).toContain(finding.file)
    expect(finding.message.length * finding.fix.length).toBeGreaterThan(0)
  }
  return short(findings)
}

describe('checkCase', () => {
  it('finds nothing in a valid case', async () => {
    expect(await check(await madeCase(temporaryFolder(), madeImage(), madeLabel()))).toEqual([])
  })

  it('calls a label without any voxel empty', async () => {
    const empty = madeLabel(() => 0)
    const findings = await checkCase(await madeCase(temporaryFolder(), madeImage(), empty), OPTIONS)
    expect(findings).toMatchObject([{ rule: 'no-organ', message: expect.stringContaining('empty label') }])
  })

  it('reports ignored voxels, and judges the label without them', async () => {
    const label = madeLabel((_i, _j, k, id) => (k > 3 ? 4 : id))
    const made = await madeCase(temporaryFolder(), madeImage(), label)
    const item = { ...made, labelMap: { ...made.labelMap, '4': 255 } }
    const findings = (await checkCase(item, OPTIONS)).filter(({ rule }) => rule === 'ignored-voxels')
    const voxels = label.data.filter((id) => id === 4).length
    expect(findings).toMatchObject([
      { severity: 'info', message: expect.stringContaining(`${voxels.toLocaleString('en-US')} voxels (`) },
    ])
  })

  it('states a place of NaN, of an unknown id, of an ignored id and of the tumor of a host, in millimetres', async () => {
    const at = (i: number, j: number, k: number, value: number) => (one: readonly number[], old: number) =>
      one[0] === i && one[1] === j && one[2] === k ? value : old
    const [nan, id] = [at(5, 6, 7, Number.NaN), at(2, 3, 4, 9)]
    const image = madeImage((hu, i, j, k) => nan([i, j, k], hu), Float32Array)
    const label = madeLabel((i, j, k, old) => id([i, j, k], old))
    const placesIn = async (made: ManifestCase, more: Partial<ManifestCase> = {}) =>
      Object.fromEntries(
        (await checkCase({ ...made, ...more }, OPTIONS)).map(({ rule, placeMm }) => [rule, placeMm]),
      )
    const made = await madeCase(temporaryFolder(), image, label)
    expect(await placesIn(made)).toMatchObject({
      'non-finite': [-14, -12, -10],
      'label-ids': [-20, -18, -16],
    })
    const ignoring = { labelMap: { ...made.labelMap, '9': 255 }, role: { kind: 'host' } as const }
    expect(await placesIn(made, ignoring)).toMatchObject({
      'ignored-voxels': [-20, -18, -16],
      // rows run along the first axis of the file, in which the tumor is one voxel thick
      'host-with-tumor': [8, -4, -4],
    })
  })

  it('reports unreadable files and still checks the other file', async () => {
    const item = await madeCase(
      temporaryFolder(),
      madeImage(),
      madeLabel((_i, _j, _k, id) => (id === 3 ? 9 : id)),
    )
    writeFileSync(item.image, 'version https://git-lfs.github.com/spec/v1\n')
    const findings = await checkCase(item, OPTIONS)
    expect(short(findings)).toEqual(['unreadable:error', 'label-ids:error'])
    expect(findings[0]!.fix).toContain('git lfs pull')
    expect(findings[1]!.message).toContain('unknown ids (expected 0, 1, 2, 3, found 9 in 192 voxels)')
  })

  it('compares grids in physical space: other axes are info, another place is an error', async () => {
    const label = madeLabel()
    const turned = moveAxes(label, { source: [1, 0, 2], flip: [false, true, true] })
    expect(await check(await madeCase(temporaryFolder(), madeImage(), turned))).toEqual([
      'orientation-differs:info',
    ])
    const shifted: Affine = label.affine.with(3, label.affine[3]! + 5)
    const findings = await checkCase(
      await madeCase(temporaryFolder(), madeImage(), { ...label, affine: shifted }),
      OPTIONS,
    )
    expect(short(findings)).toEqual(['grid-mismatch:error'])
    expect(findings[0]!.message).toContain('first voxel at')
  })

  it('checks what is possible if the meaning of the ids is unknown', async () => {
    const unknown = { labelMap: null, role: { kind: 'host' } } as const
    expect(await check(await madeCase(temporaryFolder(), madeImage(), madeLabel(), unknown))).toEqual([
      'label-unknown:warning',
    ])
  })

  it('applies a rescale and reads wide types', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), madeLabel())
    const { data, shape, affine } = madeLabel()
    await writeNifti(item.label!, { data: Float64Array.from(data), shape, affine })
    expect(await check(item)).toEqual([])
    const stored = madeImage((hu) => (hu + 1024) * 2)
    await writeNifti(item.image, stored)
    const bytes = gunzipSync(readFileSync(item.image))
    bytes.writeFloatLE(0.5, 112)
    bytes.writeFloatLE(-1024, 116)
    writeFileSync(item.image, bytes)
    expect(await check(item)).toEqual([])
  })

  it('reports label values that are no ids', async () => {
    const label = { ...madeLabel(), data: Float32Array.from(madeLabel().data, (id) => id * 0.5) }
    expect(await check(await madeCase(temporaryFolder(), madeImage(), label))).toEqual(['label-values:error'])
  })

  it('reports missing organs and tumors', async () => {
    const empty = madeLabel(() => 0)
    expect(await check(await madeCase(temporaryFolder(), madeImage(), empty))).toEqual(['no-organ:error'])
    const noPancreas = madeLabel((_i, _j, _k, id) => (id === 1 ? 1 : 0))
    expect(await check(await madeCase(temporaryFolder(), madeImage(), noPancreas))).toEqual([
      'organ-missing:info',
      'no-tumor:info',
    ])
    const host = { role: { kind: 'host' } } as const
    expect(await check(await madeCase(temporaryFolder(), madeImage(), madeLabel(), host))).toEqual([
      'host-with-tumor:warning',
    ])
  })

  it('reports tumors outside their organ and specks', async () => {
    const away = madeLabel((i, j, k, id) => (i === 4 && j >= 4 && j < 7 && k >= 4 && k < 7 ? 2 : id))
    const findings = await checkCase(await madeCase(temporaryFolder(), madeImage(), away), OPTIONS)
    expect(short(findings)).toEqual(['tumor-outside-organ:warning'])
    expect(findings[0]!.message).toContain(
      '1 of 2 components of liver tumor without contact to the liver (9 voxels)',
    )
    const fine = { affine: [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1] }
    const speck = madeLabel((i, j, k, id) => (i === 14 && j === 9 && k === 9 ? 2 : id))
    expect(
      await check(await madeCase(temporaryFolder(), { ...madeImage(), ...fine }, { ...speck, ...fine })),
    ).toEqual(['specks:warning'])
  })

  it('reports kidneys on the wrong side and a mirrored patient', async () => {
    const kidneys = madeLabel((i, j, k) =>
      j === 12 && k > 8 && k < 14 && (i === 5 || i === 18) ? (i === 5 ? 2 : 3) : 0,
    )
    const btcv = {
      role: { kind: 'host' },
      labelMap: { '2': 5, '3': 5 },
      kidneySides: { left: 3, right: 2 },
    } as const
    // Id 2 is the right kidney of BTCV; the first axis runs to the right.
    expect(await check(await madeCase(temporaryFolder(), madeImage(), kidneys, btcv))).toEqual([
      'kidney-sides:warning',
    ])
    const right = { ...kidneys, data: kidneys.data.map((id) => (id === 2 ? 3 : id === 3 ? 2 : 0)) }
    expect(await check(await madeCase(temporaryFolder(), madeImage(), right, btcv))).toEqual([])
    const mirrored = madeLabel().affine.with(0, -2).with(3, 22)
    expect(
      await check(
        await madeCase(
          temporaryFolder(),
          { ...madeImage(), affine: mirrored },
          { ...madeLabel(), affine: mirrored },
        ),
      ),
    ).toEqual(['mirrored:warning'])
  })

  it('reports headers with contradictions or values outside CT', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), null)
    const gridRules = async (bytes: Buffer) => {
      writeFileSync(item.image, bytes)
      return (await check(item)).filter((rule) => /spacing|position|sheared/.test(rule))
    }
    expect(await gridRules(madeNifti({ pixdim: [1, 1, 2, 2.5, 1, 1, 1, 1] }))).toEqual([
      'spacing-contradiction:warning',
    ])
    expect(await gridRules(madeNifti({ sformCode: 0 }))).toEqual(['position-unknown:warning'])
    expect(await gridRules(madeNifti({ srow: [1, 0.3, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0] }))).toContain(
      'sheared:warning',
    )
    const tilted = madeNifti({ qformCode: 1, quaternion: [0.1, 0, 0] })
    expect(await gridRules(tilted)).toEqual([])
    const findings = (await checkCase(item, OPTIONS)).filter(({ rule }) => rule === 'forms-differ')
    expect(findings[0]).toMatchObject({ severity: 'warning' })
    expect(findings[0]!.message).toMatch(/sform and qform differ by up to \d+\.\d mm; the sform is used/)
    const thick = { srow: [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 15, 0], pixdim: [1, 1, 2, 15, 1, 1, 1, 1] }
    expect(await gridRules(madeNifti(thick))).toEqual(['spacing-range:warning'])
  })

  it('reports scans that do not fill a patch', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), madeLabel())
    const prepared = (patch: number) =>
      ({ spacingMm: [1.5, 1.5, 1.5], lowerHu: -175, patchVoxels: [patch, 23, 23] }) as const
    expect(await checkCase(item, { ...OPTIONS, prepared: prepared(23) })).toEqual([])
    const findings = await checkCase(item, { ...OPTIONS, prepared: prepared(24) })
    expect(findings[0]).toMatchObject({ rule: 'too-small', severity: 'warning' })
    expect(findings[0]!.message).toContain('when prepared, found 23 x 23 x 24')
  })
})

const real = sharedData('totalsegmentator')

describe.skipIf(real === null)('real scans', () => {
  const host = {
    role: { kind: 'host' },
    split: 'training',
    fold: null,
    region: 'abdomen',
    dataset: 'TS',
  } as const
  const ids = Array.from({ length: 117 }, (_, n) => [String(n + 1), 0])
  const labelMap = { ...Object.fromEntries(ids), '2': 5, '3': 5, '5': 1, '7': 3 } as Record<string, number>

  it('of a valid pair give nothing but info', async () => {
    const item: ManifestCase = {
      ...host,
      id: 'TS/1',
      patient: 'TS/1',
      labelMap,
      image: join(real!, 'example_ct.nii.gz'),
      label: join(real!, 'example_seg_fast_force_split.nii.gz'),
    }
    const findings = await checkCase(item, OPTIONS)
    expect(findings.filter(({ severity }) => severity !== 'info')).toEqual([])
  })

  it('with lungs in the right place give no error, although lungs are uneven', async () => {
    const lungs = findPreset('TotalSegmentator', 'chest').map
    const item: ManifestCase = {
      ...host,
      region: 'chest',
      id: 'TS/3',
      patient: 'TS/3',
      labelMap: lungs,
      image: join(real!, 'example_ct.nii.gz'),
      label: join(real!, 'example_seg_fast_force_split.nii.gz'),
    }
    expect(await checkCase(item, OPTIONS)).toEqual([])
  })

  const pair: ManifestCase = {
    ...host,
    id: 'TS/2',
    patient: 'TS/2',
    labelMap,
    image: join(real!, 'example_ct_dicom_as_nifti.nii.gz'),
    label: join(real!, 'example_seg_dicom.nii.gz'),
  }

  it('of an LPS image with an LAS label on one grid give no error', async () => {
    const findings = await checkCase(pair, OPTIONS)
    expect(short(findings)).toContain('orientation-differs:info')
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(short(await checkCase({ ...pair, labelMap: null }, OPTIONS))).toEqual([
      'orientation-differs:info',
      'label-unknown:warning',
    ])
  })

  it('of that pair with one affine copied onto the other give an error with an explanation', async () => {
    const folder = temporaryFolder()
    const [image, label] = await Promise.all([pair.image, pair.label!].map((file) => readNifti(file)))
    const copies = [
      { ...pair, label: join(folder, 'label.nii.gz') },
      { ...pair, image: join(folder, 'image.nii.gz') },
    ]
    await writeNifti(copies[0]!.label!, { ...label!, affine: image!.affine })
    await writeNifti(copies[1]!.image, { ...image!, affine: label!.affine })
    for (const item of copies) {
      const findings = await checkCase(item, OPTIONS)
      const errors = findings.filter(({ severity }) => severity === 'error')
      expect(short(errors)).toEqual(['misplaced-label:error'])
      const unexplained = await checkCase({ ...item, labelMap: null }, OPTIONS)
      expect(short(unexplained)).toEqual(['misplaced-label:error', 'label-unknown:warning'])
      expect(unexplained[0]!.message).toMatch(
        /id 5 has -\d\d \+- 3\d\d HU by the headers, (8|9)\d \+- 2\d HU with the second axis of the image reversed/,
      )
      expect(errors[0]!.message).toMatch(
        /the liver has -7\d \+- 3\d\d HU by the headers, (8|9)\d \+- 2\d HU with the second axis of the image reversed/,
      )
    }
  })
})
