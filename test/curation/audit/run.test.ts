import { describe, expect, it } from 'vitest'
import type { Fingerprint } from '../../../src/curation/audit/fingerprint.js'
import { encodeLandmarks, type Landmarks } from '../../../src/curation/audit/landmarks.js'
import { auditCases } from '../../../src/curation/audit/run.js'
import { type ScanAnswer, scanKeysStore } from '../../../src/curation/audit/scan-keys.js'
import { childCase } from '../../../src/curation/datasets/child.js'
import type { ManifestCase } from '../../../src/curation/datasets/manifest.js'

function item(id: string, more: Partial<ManifestCase> = {}): ManifestCase {
  return {
    id,
    dataset: id.slice(0, id.indexOf('/')),
    patient: id,
    region: 'abdomen',
    role: { kind: 'host' },
    image: `/data/${id}.nii.gz`,
    label: null,
    fold: null,
    split: 'training',
    labelMap: {},
    ...more,
  }
}

type Answer = { readonly fingerprint: Fingerprint } | { readonly problem: string }

/** Scans with one seed share landmarks; those with one hash share all. */
function print(exact: string, seed: number): Answer {
  const landmarks: Landmarks = {
    mm: Float32Array.from({ length: 90 }, (_, at) => (at * 7) % 101),
    keys: Uint32Array.from({ length: 90 }, (_, at) => seed * 1000 + at),
  }
  const reading = { low: -175, high: 250 }
  const fingerprint = {
    version: 1,
    exact,
    shape: [1, 1, 1],
    sketch: [],
    landmarks: [{ reading, encoded: encodeLandmarks(landmarks) }],
  } as const
  return { fingerprint }
}

async function audited(entries: readonly (readonly [ManifestCase, Answer])[], noise = 0) {
  const compared: string[] = []
  const report = await auditCases(
    entries.map(([one]) => one),
    entries.map(
      ([, answer]): ScanAnswer => ('problem' in answer ? answer : scanKeysStore()(answer.fingerprint)),
    ),
    {
      fingerprintOf: async ({ id }) => {
        const [, answer] = entries.find(([one]) => one.id === id)!
        return (answer as Extract<Answer, { fingerprint: Fingerprint }>).fingerprint
      },
      compare: async (a, b) => {
        compared.push(`${a.case.id} ${b.case.id}`)
        return { noiseCorrelation: noise, offsetMm: [1, 2, 3] }
      },
    },
  )
  return {
    ...report,
    lines: report.pairs.map(({ kind, cases, leak }) => [kind, ...cases, leak]),
    comparisons: compared,
  }
}

describe('auditCases', () => {
  it('reports equal voxels, and marks a leak only between training and held-out cases', async () => {
    const report = await audited([
      [item('A/1'), print('x', 1)],
      [item('B/1'), print('x', 1)],
      [item('C/1', { split: 'test' }), print('x', 1)],
      [item('C/2', { split: 'validation' }), print('y', 2)],
    ])
    expect(report.lines).toEqual([
      ['exact', 'A/1', 'C/1', true],
      ['exact', 'B/1', 'C/1', true],
      ['exact', 'A/1', 'B/1', false],
    ])
    expect(report).toMatchObject({ ok: false, numCases: 4, compared: 0 })
  })

  it('compares the images of scans whose landmarks agree, and trusts their noise', async () => {
    const entries = [
      [item('A/1', { fold: 0 }), print('x', 1)],
      [item('A/2', { fold: 1 }), print('y', 1)],
      [item('A/3', { fold: 1 }), print('z', 3)],
    ] as const
    const copies = await audited(entries, 0.9)
    expect(copies.comparisons).toEqual(['A/1 A/2'])
    expect(copies.pairs).toMatchObject([
      {
        kind: 'near',
        cases: ['A/1', 'A/2'],
        sides: ['training, fold 0', 'training, fold 1'],
        leak: true,
        measures: { noiseCorrelation: 0.9 },
        offsetMm: [1, 2, 3],
      },
    ])
    expect(await audited(entries, 0.5)).toMatchObject({ ok: true, pairs: [], compared: 1 })
  })

  it('lists only the conflicting pairs among copies of copies', async () => {
    const report = await audited(
      [
        [item('A/1'), print('x', 1)],
        [item('B/1'), print('y', 1)],
        [item('B/2', { split: 'test' }), print('y', 1)],
      ],
      0.9,
    )
    expect(report.lines).toContainEqual(['near', 'A/1', 'B/2', true])
  })

  it('reports patients on two sides once, unless another pair covers them', async () => {
    const scans = (split: ManifestCase['split'], ...names: string[]) =>
      names.map((name) => item(`P/${name}`, { patient: 'P/7', split }))
    const [a, b, c] = [...scans('training', 'a', 'b'), ...scans('validation', 'c')] as const
    const report = await audited([
      [a!, print('a', 1)],
      [b!, print('b', 2)],
      [c!, print('c', 3)],
    ])
    expect(report.lines).toEqual([['patient', 'P/a', 'P/c', true]])
    expect(report.pairs[0]!.message).toMatch(/in 2 pairs of scans/)
    const twice = await audited([
      [a!, print('a', 1)],
      [c!, print('a', 1)],
    ])
    expect(twice.lines).toEqual([['exact', 'P/a', 'P/c', true]])
  })

  it('recognises LiTS 28 to 47 as cases of 3D-IRCADb, by their names', async () => {
    const ircad = item('3Dircadb1_convert/p1', { split: 'test' })
    const lits = [27, 28, 47, 48].map((n) => item(`Dataset003_Liver/liver_${n}`))
    const report = await audited(
      [ircad, ...lits, item('Dataset003_Liver/liver_40', { split: 'validation' })].map((one, at) => [
        one,
        print(`${at}`, at),
      ]),
    )
    expect(report.lines).toEqual([
      ['known', 'Dataset003_Liver/liver_28', '3Dircadb1_convert', true],
      ['known', 'Dataset003_Liver/liver_47', '3Dircadb1_convert', true],
      ['known', 'Dataset003_Liver/liver_40', '3Dircadb1_convert', false],
    ])
    const alone = await audited(lits.map((one, at) => [one, print(`${at}`, at)]))
    expect(alone.pairs).toEqual([])
  })

  it('lists the data sets that are known to share scans', async () => {
    const report = await audited([
      [item('Dataset003_Liver/liver_0'), print('a', 1)],
      [item('Flare22/1'), print('b', 2)],
    ])
    expect(report.sharedSources).toMatchObject([{ datasets: ['Dataset003_Liver', 'Flare22'] }])
  })

  it('ignores a synthetic case next to its host, and reports both on different sides', async () => {
    const host = item('H/1')
    const files = { id: 'S/1_0', image: '/s.nii.gz', label: '/l.nii.gz' }
    const child = childCase(host, files, ['liver'])
    const near = (one: ManifestCase) =>
      audited(
        [
          [host, print('a', 1)],
          [one, print('b', 1)],
        ],
        0.9,
      )
    expect((await near(child)).pairs).toEqual([])
    const apart = await near({ ...child, split: 'validation' })
    expect(apart.lines).toEqual([['near', 'H/1', 'S/1_0', true]])
    expect(apart.pairs[0]!.family).toBe(true)
  })

  it('lists unreadable cases', async () => {
    const report = await audited([
      [item('A/1'), { problem: '/data/A/1.nii.gz: not a NIfTI file' }],
      [item('A/2'), print('b', 2)],
    ])
    expect(report.unreadable).toEqual([{ case: 'A/1', message: '/data/A/1.nii.gz: not a NIfTI file' }])
  })
})
