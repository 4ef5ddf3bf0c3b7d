import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { childCase } from '../../../src/curation/datasets/child.js'
import { type ManifestCase, makeManifest } from '../../../src/curation/datasets/manifest.js'
import { assignFolds, type FoldRow, type SplitOptions } from '../../../src/curation/split/run.js'
import { type Stratum, stratumOfVolume } from '../../../src/curation/split/strata.js'

function item(id: string, more: Partial<ManifestCase> = {}): ManifestCase {
  return {
    id,
    dataset: id.slice(0, id.indexOf('/')),
    patient: id,
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver'] },
    image: `/data/${id}.nii.gz`,
    label: `/data/${id}_label.nii.gz`,
    fold: null,
    split: 'training',
    labelMap: { '1': 1, '2': 2 },
    ...more,
  }
}

const liver = (count: number, first = 0) =>
  Array.from({ length: count }, (_, at) => item(`Liver/liver_${first + at}`))

function split(
  cases: readonly ManifestCase[],
  options: Partial<SplitOptions> = {},
  stratum: (id: string) => Stratum = () => '20 to 50 mm',
) {
  const strata = new Map(cases.map(({ id }) => [id, stratum(id)]))
  const plan = assignFolds(makeManifest(cases), strata, { folds: 5, seed: 0, ...options })
  return { ...plan, foldOf: new Map(plan.manifest.cases.map(({ id, fold }) => [id, fold])) }
}

const sizes = (table: readonly FoldRow[]) => table.map(({ patients }) => patients)

describe('assignFolds by hash', () => {
  it('moves no case when others are added, removed, relabelled or reordered', () => {
    const id = fc.oneof(
      fc.nat(300).map((n) => `Liver/liver_${n}`),
      fc.stringMatching(/^[a-z]{1,6}$/).map((name) => `Own/${name}`),
    )
    fc.assert(
      fc.property(
        fc.uniqueArray(id, { minLength: 1, maxLength: 40 }),
        fc.uniqueArray(id, { maxLength: 40 }),
        (here, more) => {
          const alone = split(here.map((one) => item(one))).foldOf
          const all = [...new Set([...more, ...here])].map((one) => item(one))
          const joined = split(all.reverse(), {}, () => 'no tumor').foldOf
          for (const one of here) expect(joined.get(one)).toBe(alone.get(one))
        },
      ),
    )
  })

  it('gives consecutive numbers folds of equal size, and another seed other folds', () => {
    const plan = split(liver(131))
    expect(sizes(plan.table).sort()).toEqual([26, 26, 26, 26, 27])
    const other = split(liver(131), { seed: 1 })
    const moved = [...plan.foldOf].filter(([id, fold]) => other.foldOf.get(id) !== fold)
    expect(moved.length).toBeGreaterThan(80)
  })

  it('spreads names without numbers as chance does', () => {
    const letters = 'abcdefghijklmnopqrstuvwxyz'
    const names = [...letters].flatMap((a) => [...letters].map((b) => item(`Own/${a}${b}x`)))
    const counts = sizes(split(names).table)
    // 676 patients: 135 a fold, standard deviation 10
    for (const count of counts) expect(Math.abs(count - 135)).toBeLessThan(40)
  })

  it('keeps the scans of a patient together and gives test cases no fold', () => {
    const scans = ['a', 'b', 'c'].map((scan) => item(`P/100417_${scan}`, { patient: 'P/100417' }))
    const plan = split([...scans, item('P/test', { split: 'test' })])
    expect(new Set(scans.map(({ id }) => plan.foldOf.get(id))).size).toBe(1)
    expect(plan.foldOf.get('P/test')).toBeNull()
    expect(plan.patients).toHaveLength(1)
  })

  it('assigns synthetic children to the fold of their host, which alone decides the stratum', () => {
    const host = item('H/a', { role: { kind: 'host' } })
    const files = { id: 'Made/a_0', image: '/made/a.nii.gz', label: '/made/l.nii.gz' }
    const child = childCase(host, files, ['liver'])
    const plan = split([child, host], {}, (id) => (id === 'H/a' ? 'host' : '>= 50 mm'))
    expect(plan.foldOf.get('Made/a_0')).toBe(plan.foldOf.get('H/a'))
    expect(plan.patients).toMatchObject([{ patient: 'H/a', dataset: 'H', stratum: 'host' }])
  })
})

describe('published folds', () => {
  it('are kept, and a validation part without numbers is fold 0 alone', () => {
    const validation = liver(27).map((one) => ({ ...one, split: 'validation' as const }))
    const plan = split([...validation, ...liver(104, 27)])
    const [published, ...others] = sizes(plan.table)
    expect(published).toBe(27)
    for (const count of others) expect(Math.abs(count - 26)).toBeLessThanOrEqual(1)
    expect(plan.patients.filter(({ by }) => by === 'published')).toHaveLength(27)
    const numbered = split([item('C/a', { fold: 3 }), item('C/b', { fold: 1 }), item('C/c')])
    expect([numbered.foldOf.get('C/a'), numbered.foldOf.get('C/b')]).toEqual([3, 1])
    const free = split([...validation, ...liver(104, 27)], { ignorePublished: true })
    expect(free.patients.every(({ by }) => by === 'hash')).toBe(true)
  })

  it('reunite a patient that they separate, with a warning', () => {
    const both = [
      item('P/100417_1', { patient: 'P/100417' }),
      item('P/100417_2', { patient: 'P/100417', split: 'validation' }),
    ]
    const plan = split(both)
    expect([...plan.foldOf.values()]).toEqual([0, 0])
    expect(plan.warnings[0]).toMatch(/patient P\/100417 is on both sides/)
  })

  it('above the number of folds are refused', () => {
    expect(() => split([item('C/a', { fold: 4 })], { folds: 3 })).toThrow(
      /patient C\/a: wrong fold \(expected 0 to 2, found 4\)/,
    )
  })

  it('cannot separate a patient that a test set shares', () => {
    const shared = [item('T/1', { patient: 'x' }), item('T/2', { patient: 'x', split: 'test' })]
    expect(split(shared).warnings[0]).toMatch(/patient x has test cases and others/)
  })
})

describe('assignFolds evenly', () => {
  const stratum = (id: string): Stratum =>
    (['no tumor', '< 20 mm', '20 to 50 mm', '>= 50 mm'] as const)[id.charCodeAt(id.length - 1) % 4]!
  const people = Array.from({ length: 63 }, (_, at) => item(`Own/${((at * 7919) % 1000).toString(36)}q${at}`))

  it('balances every stratum to within one patient, for any order of the cases', () => {
    const plan = split(people, { method: 'even' }, stratum)
    for (const name of ['no tumor', '< 20 mm', '20 to 50 mm', '>= 50 mm'] as const) {
      const counts = plan.table.map(({ strata }) => strata[name] ?? 0)
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    }
    const counts = sizes(plan.table)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(split([...people].reverse(), { method: 'even' }, stratum).foldOf).toEqual(plan.foldOf)
  })

  it('moves no patient of an earlier split that is kept, and balances the others around them', () => {
    const earlier = split(people.slice(0, 40), { method: 'even' }, stratum)
    const grown = split(people, { method: 'even', keep: earlier.manifest }, stratum)
    for (const [id, fold] of earlier.foldOf) expect(grown.foldOf.get(id)).toBe(fold)
    const counts = sizes(grown.table)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2)
  })
})

describe('strata', () => {
  it('follow the ball with the volume of all tumor voxels', () => {
    const ball = (diameterMm: number) => (Math.PI / 6) * diameterMm ** 3
    expect([0, 19.9, 20.1, 49.9, 50.1].map((mm) => stratumOfVolume(ball(mm)))).toEqual([
      'no tumor',
      '< 20 mm',
      '20 to 50 mm',
      '20 to 50 mm',
      '>= 50 mm',
    ])
  })
})
