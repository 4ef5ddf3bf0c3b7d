import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkCase, checkCases, listFindings } from '../../src/curation/check.js'
import type { Finding } from '../../src/curation/finding.js'
import { collectCases } from '../../src/curation/import.js'
import type { ManifestCase } from '../../src/curation/manifest.js'
import { ensurePhantoms } from '../../src/curation/phantom-dataset.js'
import { moveAxes } from '../../src/volume/geometry.js'
import { readNifti } from '../../src/volume/nifti.js'
import type { Affine } from '../../src/volume/volume.js'
import { madeCase, madeImage, madeLabel } from '../helpers/made-cases.js'
import { madeNifti } from '../helpers/nifti-fixtures.js'
import { sharedData } from '../helpers/shared.js'
import { temporaryFolder } from '../helpers/temporary.js'

const OPTIONS = { prepared: null, concurrency: 2 } as const

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
  it('finds nothing wrong with a sound case', async () => {
    expect(await check(await madeCase(temporaryFolder(), madeImage(), madeLabel()))).toEqual([])
  })

  it('reports files that cannot be read and goes on with the other', async () => {
    const item = await madeCase(
      temporaryFolder(),
      madeImage(),
      madeLabel((_i, _j, _k, id) => (id === 3 ? 9 : id)),
    )
    writeFileSync(item.image, 'version https://git-lfs.github.com/spec/v1\n')
    const findings = await checkCase(item, OPTIONS)
    expect(short(findings)).toEqual(['unreadable:error', 'label-ids:error'])
    expect(findings[0]!.fix).toContain('git lfs pull')
    expect(findings[1]!.message).toContain('ids 9 are not in the label map')
  })

  it('compares grids in the world: other axes are info, another place is an error', async () => {
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

  it('reports label values that are no ids', async () => {
    const label = { ...madeLabel(), data: Float32Array.from(madeLabel().data, (id) => id * 0.5) }
    expect(await check(await madeCase(temporaryFolder(), madeImage(), label))).toEqual(['label-values:error'])
  })

  it('reports what organs and tumors lack', async () => {
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
    expect(findings[0]!.message).toContain('1 of 2 pieces of liver tumor touch no liver (9 voxels)')
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
    const btcv = { dataset: 'BTCV', role: { kind: 'host' }, labelMap: { '2': 5, '3': 5 } } as const
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

  it('reports headers that contradict themselves or CT', async () => {
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
    const thick = { srow: [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 15, 0], pixdim: [1, 1, 2, 15, 1, 1, 1, 1] }
    expect(await gridRules(madeNifti(thick))).toEqual(['spacing-range:warning'])
  })

  it('reports scans that do not fill a patch', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), madeLabel())
    const prepared = (patch: number) =>
      ({ spacingMm: [1.5, 1.5, 1.5], patchVoxels: [patch, patch, patch] }) as const
    expect(await checkCase(item, { prepared: prepared(32) })).toEqual([])
    const findings = await checkCase(item, { prepared: prepared(33) })
    expect(findings[0]).toMatchObject({ rule: 'too-small', severity: 'warning' })
    expect(findings[0]!.message).toContain('32 x 32 x 32 voxels when prepared')
  })
})

describe('listFindings', () => {
  it('reports ids, images and patients that occur where they must not', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), null)
    const findings = listFindings([
      item,
      { ...item, image: '/elsewhere.nii.gz' },
      { ...item, id: 'Made/b', patient: 'Made/b' },
      { ...item, id: 'Made/c', image: '/c.nii.gz', split: 'validation' },
    ])
    expect(short(findings)).toEqual([
      'duplicate-id:error',
      'duplicate-image:error',
      'patient-in-two-splits:error',
    ])
    expect(findings.map((finding) => finding.case)).toEqual(['Made/a', 'Made/b', 'Made/c'])
  })
})

describe('checkCases', () => {
  it('reports in the order of the cases, counts missing files as errors, and tells its progress', async () => {
    const root = temporaryFolder()
    const bad = await madeCase(
      join(root, 'bad'),
      madeImage((hu) => hu + 1024),
      madeLabel(),
      { id: 'Made/bad', patient: 'bad' },
    )
    const good = await madeCase(join(root, 'good'), madeImage(), madeLabel())
    const seen: number[] = []
    const missing = [{ dataset: 'Made', count: 3, example: '/gone.nii.gz' }]
    const report = await checkCases([bad, good], missing, {
      ...OPTIONS,
      onCase: (done, total) => seen.push(done / total),
    })
    expect(report).toMatchObject({ ok: false, numCases: 2 })
    expect(short(report.findings)).toEqual(['missing-files:error', 'rescale-lost:error'])
    expect(seen).toEqual([0.5, 1])
    expect((await checkCases([good], [], OPTIONS)).ok).toBe(true)
  })

  it('stops when it is asked to', async () => {
    const good = await madeCase(temporaryFolder(), madeImage(), madeLabel())
    await expect(checkCases([good], [], { ...OPTIONS, signal: AbortSignal.abort() })).rejects.toThrow()
  })

  it('finds no error in phantoms', async () => {
    const root = temporaryFolder()
    const asked = {
      labelledCases: 1,
      validationCases: 0,
      hostCases: 1,
      testCases: 0,
      sizeVoxels: 48,
      seed: 3,
    }
    for (const region of ['abdomen', 'chest'] as const) {
      const folder = join(root, region)
      await ensurePhantoms(folder, region, asked)
      for (const name of ['phantom_labelled', 'phantom_hosts']) {
        const { cases, missing } = await collectCases(join(folder, name), folder)
        const report = await checkCases(cases, missing, OPTIONS)
        expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([])
      }
    }
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

  it('of a sound pair give nothing but info', async () => {
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

  it('of an LPS image with an LAS label on one grid are no mistake', async () => {
    const item: ManifestCase = {
      ...host,
      id: 'TS/2',
      patient: 'TS/2',
      labelMap,
      image: join(real!, 'example_ct_dicom_as_nifti.nii.gz'),
      label: join(real!, 'example_seg_dicom.nii.gz'),
    }
    const findings = await checkCase(item, OPTIONS)
    expect(short(findings)).toContain('orientation-differs:info')
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([])
    expect((await readNifti(item.image)).shape).toEqual([512, 512, 20])
  })
})
