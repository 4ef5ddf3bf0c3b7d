import { createHash } from 'node:crypto'
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { CuratedCase } from '../../../src/curation/datasets/curate.js'
import { applyReviews, type ReviewedCuration } from '../../../src/pipeline/prepare/reviews.js'
import { appendReview, type ReviewLine } from '../../../src/quality/reviews.js'
import { IGNORED_LABEL } from '../../../src/volume/labels.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const SHAPE = [4, 3, 2] as const
const AFFINE = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
/** Voxels 0 and 1 belong to tumor 0, voxel 5 to tumor 1; voxel 9 is a real tumor. */
const TUMORS = { 0: [0, 1], 1: [5] } as const

let folder: string
let set: string
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

/** Write a synthetic data set with two scans, of two tumors each, and return its cases. */
async function syntheticSet(): Promise<CuratedCase[]> {
  for (const name of ['imagesTr', 'labelsTr', 'tumorsTr']) mkdirSync(join(set, name), { recursive: true })
  const lines: string[] = []
  const cases: CuratedCase[] = []
  for (const variant of [0, 1]) {
    const name = `a_v00${variant}.nii.gz`
    const volume = (data: Uint8Array) => ({ shape: SHAPE, affine: AFFINE, data })
    const label = new Uint8Array(24).fill(1)
    const numbers = new Uint8Array(24)
    label[9] = 2
    for (const [tumor, voxels] of Object.entries(TUMORS))
      for (const at of voxels) {
        label[at] = 2
        numbers[at] = Number(tumor) + 1
      }
    await writeNifti(join(set, 'imagesTr', name), volume(new Uint8Array(24).fill(variant)))
    await writeNifti(join(set, 'labelsTr', name), volume(label))
    await writeNifti(join(set, 'tumorsTr', name), volume(numbers))
    const image = join(set, 'imagesTr', name)
    for (const tumor of [0, 1])
      lines.push(
        JSON.stringify({
          case: 'a',
          variant,
          tumor,
          attempt: 0,
          verdict: 'accepted',
          file: name,
          sha256: sha256(image),
        }),
      )
    cases.push({
      id: `synthetic/a_v00${variant}`,
      dataset: 'synthetic',
      patient: 'a',
      region: 'abdomen',
      role: { kind: 'labelled', organs: ['liver'] },
      image,
      label: join(set, 'labelsTr', name),
      fold: null,
      split: 'training',
      labelMap: { '0': 0, '1': 1, '2': 2 },
      repeat: 1,
      parent: 'a',
    })
  }
  lines.push(
    JSON.stringify({
      case: 'a',
      variant: 0,
      tumor: 2,
      attempt: 0,
      verdict: 'rejected',
      rejectedFile: 'x.nii.gz',
      sha256: 'e'.repeat(64),
    }),
  )
  writeFileSync(join(set, 'ledger.jsonl'), `${lines.join('\n')}\n`)
  return cases
}

const real: CuratedCase = {
  id: 'real/b',
  dataset: 'real',
  patient: 'b',
  region: 'abdomen',
  role: { kind: 'labelled', organs: ['liver'] },
  image: '/data/real/b.nii.gz',
  label: '/data/real/b-label.nii.gz',
  fold: null,
  split: 'training',
  labelMap: { '0': 0, '1': 1, '2': 2 },
  repeat: 1,
}

async function review(
  variant: number,
  tumor: number,
  decision: ReviewLine['decision'],
  change: Partial<ReviewLine> = {},
): Promise<void> {
  await appendReview(join(set, 'reviews.jsonl'), {
    time: '2026-01-02T03:04:05Z',
    reviewer: 'Ada',
    case: 'a',
    variant,
    tumor,
    sha256: sha256(join(set, 'imagesTr', `a_v00${variant}.nii.gz`)),
    decision,
    reason: null,
    seconds: 1,
    version: '0.1.0',
    ...change,
  })
}

async function applied(cases: readonly CuratedCase[]): Promise<ReviewedCuration & { notes: string[] }> {
  const notes: string[] = []
  const context = { note: (text: string) => void notes.push(text) } as unknown as Parameters<
    typeof applyReviews
  >[2]
  const settings = {
    quality: { reviews: set },
    prepare: { cache: join(folder, 'cache') },
  } as unknown as Parameters<typeof applyReviews>[0]
  const curation = { cases, missing: [], leftOut: [], notes: [] }
  return { ...(await applyReviews(settings, curation, context)), notes }
}

beforeEach(() => {
  folder = temporaryFolder()
  set = join(folder, 'synthetic')
})

describe('reviews of the synthetic scans of a training', () => {
  it('give the voxels of a dropped tumor the ignored label, and leave all others as they are', async () => {
    const cases = await syntheticSet()
    await review(0, 0, 'reject')
    await review(0, 1, 'accept')
    const { cases: found, reviews } = await applied([...cases, real])
    expect(found.slice(1)).toEqual([cases[1], real])
    const { label, labelMap, cacheId, ...rest } = found[0]!
    const { label: before, labelMap: _, ...same } = cases[0]!
    expect(rest).toEqual(same)
    expect(labelMap).toEqual({ '0': 0, '1': 1, '2': 2, '255': IGNORED_LABEL })
    expect(cacheId).toMatch(/^synthetic\/a_v000~reviewed-[0-9a-f]{12}$/)
    const [old, fresh] = [await readNifti(before!), await readNifti(label!)]
    expect(fresh.shape).toEqual(old.shape)
    expect(fresh.affine).toEqual(old.affine)
    expect([...fresh.data]).toEqual([...old.data].map((id, at) => (TUMORS[0].includes(at as 0) ? 255 : id)))
    expect(reviews).toMatchObject({ dropped: 1, confirmed: 1, stale: 0, changedScans: 1, leftOutScans: [] })
  })

  it('leave a scan out if all its tumors are dropped, and print it', async () => {
    const cases = await syntheticSet()
    await review(1, 0, 'reject')
    await review(1, 1, 'reject')
    const { cases: found, reviews, notes } = await applied([...cases, real])
    expect(found).toEqual([cases[0], real])
    expect(reviews).toMatchObject({ dropped: 2, changedScans: 0, leftOutScans: ['synthetic/a_v001'] })
    expect(notes).toEqual([
      'reviews: 0 kept against the rule, 2 dropped, 0 confirmed, 0 undecided, 0 unused; 0 scans with ignored tumors, 1 scan left out, first synthetic/a_v001',
    ])
  })

  it('of another version of a file do not apply, and are reported', async () => {
    const cases = await syntheticSet()
    await review(0, 0, 'reject')
    writeFileSync(cases[0]!.image, 'another version')
    const { cases: found, reviews, notes } = await applied(cases)
    expect(found).toEqual(cases)
    expect(reviews).toMatchObject({ dropped: 0, unused: 0, stale: 1, firstStale: ['a variant 0 tumor 0'] })
    await review(0, 1, 'reject', { sha256: 'f'.repeat(64) })
    const later = await applied(cases)
    expect(later.reviews).toMatchObject({ stale: 2 })
    expect(later.notes[1]).toContain('a variant 0 tumor 0, a variant 0 tumor 1')
    expect(notes).toHaveLength(2)
  })

  it('count ties as undecided, and reviews of rejected tumors as unused', async () => {
    const cases = await syntheticSet()
    await review(0, 0, 'reject')
    await review(0, 0, 'accept', { reviewer: 'Bob' })
    await review(0, 2, 'accept', { sha256: 'e'.repeat(64) })
    const { cases: found, reviews } = await applied(cases)
    expect(found).toEqual(cases)
    expect(reviews).toMatchObject({ undecided: 1, unused: 1, stale: 0, dropped: 0 })
  })

  it('use a free id, or the one of ignored voxels, and write equal labels once', async () => {
    const cases = await syntheticSet()
    await review(0, 0, 'reject')
    const taken = { ...cases[0]!, labelMap: { ...cases[0]!.labelMap, '255': 0 } }
    const first = (await applied([taken])).cases[0]!
    expect(first.labelMap['254']).toBe(IGNORED_LABEL)
    const known = { ...cases[0]!, labelMap: { ...cases[0]!.labelMap, '7': IGNORED_LABEL } }
    const second = (await applied([known])).cases[0]!
    expect(second.labelMap).toEqual(known.labelMap)
    expect([...(await readNifti(second.label!)).data].filter((id) => id === 7)).toHaveLength(2)
    expect((await applied([known])).cases[0]!.label).toBe(second.label)
    expect(basename(first.label!)).not.toBe(basename(second.label!))
  })

  it.each(['null', '[]', '5', '{"file":"x"}', '{"case":"a","file":5}', '{"case":"a","review":"maybe"}'])(
    'refuse a ledger with the line %s',
    async (line) => {
      const cases = await syntheticSet()
      await review(0, 0, 'reject')
      appendFileSync(join(set, 'ledger.jsonl'), `${line}\n`)
      await expect(applied(cases)).rejects.toThrow('ledger.jsonl: line 6: not a line of a ledger')
    },
  )

  it('refuse a data set without the numbers of its tumors', async () => {
    const cases = await syntheticSet()
    await review(0, 0, 'reject')
    rmSync(join(set, 'tumorsTr'), { recursive: true })
    await expect(applied(cases)).rejects.toThrow(`${join(set, 'tumorsTr', 'a_v000.nii.gz')}: file not found`)
  })
})
