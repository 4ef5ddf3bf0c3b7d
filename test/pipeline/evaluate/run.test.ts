import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.js'
import { DataError, UsageError } from '../../../src/errors.js'
import type { CaseMeasures } from '../../../src/evaluation/measures.js'
import { evaluateMasks } from '../../../src/pipeline/evaluate/run.js'
import type { EvaluateOptions } from '../../../src/pipeline/evaluate/settings.js'
import type { EvaluateSpec, PictureSpec } from '../../../src/pipeline/ports/cases.js'
import { writeAnyReport } from '../../../src/pipeline/report/write.js'
import { sizeSettings } from '../../../src/pipeline/tumor-sizes.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { lesion, measuredCase, overlap } from '../../helpers/measures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

let folder: string
let notes: string[]
let specs: EvaluateSpec[]
let drawn: PictureSpec[]

beforeEach(() => {
  folder = temporaryFolder()
  notes = []
  specs = []
  drawn = []
})

function fill(name: string, ...cases: readonly string[]): string {
  mkdirSync(join(folder, name), { recursive: true })
  for (const id of cases) writeFileSync(join(folder, name, `${id}.nii.gz`), '')
  return join(folder, name)
}

/** Evaluates empty files whose measures are told by `measure`, from the folder of the mask and the id. */
function evaluate(
  measure: (of: string, id: string) => Partial<CaseMeasures> | string,
  options: Partial<EvaluateOptions> = {},
) {
  const runtime = inMemoryRuntime({
    evaluate: ({ id, prediction }, spec) => {
      specs.push(spec)
      const told = measure(prediction.split('/').at(-2)!, id)
      if (typeof told === 'string')
        return { caseId: id, error: { kind: 'data', message: told, hint: 'mend it' } }
      const { caseId: _, patient: __, ...result } = { ...measuredCase(id, overlap(5, 5, 5)), ...told }
      return { caseId: id, result: JSON.parse(JSON.stringify(result)) }
    },
    picture: ({ id, output }, spec) => {
      drawn.push(spec)
      const pixel = Buffer.from([1]).toString('base64')
      const plane = { name: 'axial', width: 1, height: 1, image: pixel, truth: pixel, predicted: pixel }
      writeFileSync(output, JSON.stringify({ case: id, planes: [plane] }))
      return { caseId: id, result: { output } }
    },
  })
  return evaluateMasks(
    {
      predictions: join(folder, 'masks'),
      labels: join(folder, 'labels'),
      profile: 'lesion',
      out: join(folder, 'out'),
      ...options,
    },
    {
      runtime,
      signal: undefined,
      logDirectory: folder,
      note: (text) => void notes.push(text),
    },
  )
}

test('an evaluation writes tables, a summary, pictures of the worst cases and a page that can be rebuilt', async () => {
  fill('labels', 'a', 'b', 'c')
  fill('masks', 'a', 'b', 'c')
  fill('scans', 'a', 'b')
  const found = await evaluate(
    (_, id) => ({ tumor: overlap(id === 'b' ? 1 : 9, 5, 1), lesions: [lesion('true', 12, false)] }),
    { images: join(folder, 'scans'), pictures: 2, seed: 3 },
  )
  const out = join(folder, 'out')
  expect(readdirSync(out).sort()).toEqual([
    'cases.csv',
    'files.json',
    'lesions.csv',
    'measures.jsonl',
    'missed-sizes.jsonl',
    'pictures',
    'report.html',
    'summary.json',
  ])
  expect(found.summary).toMatchObject({ numCases: 3, bootstrap: { seed: 3 } })
  expect(drawn[0]!.cases.map(({ id, image }) => [id, image !== null])).toEqual([
    ['b', true],
    ['a', true],
  ])
  const page = readFileSync(join(out, 'report.html'), 'utf8')
  expect(page.indexOf('>b</th>')).toBeLessThan(page.indexOf('>a</th>'))
  expect(page.match(/<figcaption>[ab] /g)).toHaveLength(2)
  writeFileSync(join(out, 'report.html'), '')
  expect(await writeAnyReport(out)).toBe(join(out, 'report.html'))
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('Cases, worst first')
  // a second evaluation leaves nothing of the first
  await evaluate(() => ({ tumor: overlap(0, 0, 0) }))
  expect(readdirSync(join(out, 'pictures'))).toEqual([])
})

test('the lesion-free rate of healthy scans is in summary and page, with a Wilson interval', async () => {
  const names = ['h1', 'h2', 'h3']
  fill('labels', ...names)
  fill('masks', ...names)
  const { summary } = await evaluate((_, id) => ({
    tumor: overlap(0, id === 'h1' ? 5 : 0, 0),
    lesions: id === 'h1' ? [lesion('predicted', 9, false)] : [],
  }))
  const { mean, ci, n } = summary.lesions!.healthy.lesionFree!
  expect([mean, n, ci![0].toFixed(3), ci![1].toFixed(3)]).toEqual([2 / 3, 3, '0.208', '0.939'])
  expect(readFileSync(join(folder, 'out/report.html'), 'utf8')).toMatch(
    /lesion-free rate of healthy scans<\/th><td><b>0\.667<\/b><\/td><td>0\.208 – 0\.939/,
  )
})

test('a pair that cannot be measured is named, and the others continue', async () => {
  fill('labels', 'a', 'b')
  fill('masks', 'a', 'b')
  const { summary, failed, cases } = await evaluate((_, id) => (id === 'a' ? 'a.nii.gz is damaged' : {}))
  expect(failed).toEqual([
    { caseId: 'a', error: { kind: 'data', message: 'a.nii.gz is damaged', hint: 'mend it' } },
  ])
  expect(summary).toMatchObject({ numCases: 1, failedCases: ['a'] })
  expect(cases.map(({ caseId }) => caseId)).toEqual(['b'])
  expect(readFileSync(join(folder, 'out/report.html'), 'utf8')).toContain(
    'Not measured, and in no figure: a.',
  )
})

test('labels without a mask are an error, or on request named in the summary', async () => {
  fill('labels', 'a', 'b', 'c')
  fill('masks', 'b')
  await expect(evaluate(() => ({}))).rejects.toMatchObject({
    message: expect.stringContaining('2 labels without a mask, first a)'),
    commandHint: expect.stringContaining('--partial'),
  })
  const { summary } = await evaluate(() => ({}), { partial: true })
  const warning = 'partial: 2 of 3 labels without a mask, so in no figure, first a'
  expect(summary).toMatchObject({ numCases: 1, failedCases: [], warnings: [warning] })
  expect(notes).toEqual([warning])
  expect(readFileSync(join(folder, 'out/report.html'), 'utf8')).toContain(warning)
  // a mask without a label has nothing to be scored with
  fill('masks', 'd')
  await expect(evaluate(() => ({}), { partial: true })).rejects.toThrow(/1 mask without a label, first d/)
})

test('the folder that lacks a mask is named', async () => {
  fill('labels', 'a', 'b')
  fill('masks', 'a', 'b')
  fill('other', 'b')
  await expect(evaluate(() => ({}), { against: join(folder, 'other') })).rejects.toThrow(
    `${join(folder, 'other')}: its masks do not pair with the labels (0 masks without a label; 1 label without a mask, first a)`,
  )
})

test('two folders of masks are compared on the cases that both have', async () => {
  fill('labels', 'a', 'b', 'c')
  fill('masks', 'a', 'b', 'c')
  fill('old', 'a', 'b', 'c')
  const measure = (of: string, id: string) =>
    of === 'old' && id === 'c' ? 'damaged' : { tumor: overlap(of === 'old' ? 5 : 8, 1, 2) }
  const { against, failed } = await evaluate(measure, { against: join(folder, 'old') })
  expect(failed.map(({ caseId }) => caseId)).toEqual(['against c'])
  expect(against!.comparison).toMatchObject({ first: 'masks', second: 'old', numCases: 2 })
  expect(against!.comparison.figures[0]!.difference.mean).toBeCloseTo(16 / 19 - 10 / 13, 12)
  const out = join(folder, 'out')
  expect(JSON.parse(readFileSync(join(out, 'comparison.json'), 'utf8'))).toEqual(against!.comparison)
  expect(readdirSync(join(out, 'against')).sort()).toContain('summary.json')
  const page = readFileSync(join(out, 'report.html'), 'utf8')
  expect(page).toContain('<h2>Comparison <span class="quiet">masks against old</span></h2>')
  expect(page).toContain('<td>0.842</td><td>0.769</td>')
  expect(page).toContain('Dice of liver tumor')
  expect(page).not.toMatch(/Dice of \d+</)
  expect(drawn.at(-1)!.cases.map(({ id, against }) => [id, against])).toEqual([
    ['a', join(folder, 'old/a.nii.gz')],
    ['b', join(folder, 'old/b.nii.gz')],
    ['c', null],
  ])
  // alone again, the old comparison is gone
  await evaluate(measure)
  expect(existsSync(join(out, 'comparison.json'))).toBe(false)
  expect(readFileSync(join(out, 'report.html'), 'utf8')).not.toContain('<h2>Comparison')
})

describe('label conventions', () => {
  beforeEach(() => {
    fill('labels', 'a', 'b')
    fill('masks', 'a', 'b')
  })
  const ids = (predicted: readonly number[], truth: readonly number[]) => ({
    unmeasuredIds: { predicted, true: truth },
  })

  test('that masks and labels do not share are refused case by case, with the way out', async () => {
    const { summary, failed } = await evaluate((_, id) => ids(id === 'a' ? [7, 40] : [], []))
    expect(summary.failedCases).toEqual(['a'])
    expect(failed[0]!.error.message).toMatch(
      /^case a: ids 7, 40 of its mask are not ids .* no labels have them$/,
    )
    expect(failed[0]!.error.hint).toContain('--map-predictions')
  })

  test('that both masks have, or that the user declared, are measured with a warning', async () => {
    const both = await evaluate((_, id) => (id === 'a' ? ids([7], []) : ids([], [7])))
    expect(both.summary).toMatchObject({ numCases: 2, failedCases: [] })
    expect(both.summary.warnings).toEqual(['ids 7 occur in 2 cases (first a) and are not measured'])
    expect(notes).toEqual(both.summary.warnings)
    const declared = await evaluate(() => ids([7], []), { labelIds: [2], tumorIds: [2] })
    expect(declared.summary.numCases).toBe(2)
  })

  test('reach the runtime as maps of each side', async () => {
    await evaluate(() => ({}), { predictionMap: { '1': 2 }, labelMap: { '5': 0 } })
    expect(specs[0]).toMatchObject({ predictionMap: { '1': 2 }, labelMap: { '5': 0 } })
  })

  test('are ignored by their map, or by the dataset.json of the labels', async () => {
    await evaluate(() => ({}), { labelMap: { '1': 1, '5': 255 } })
    expect(specs[0]).toMatchObject({ labelMap: { '1': 1, '5': 0 }, ignoredIds: [5] })
    const list = join(folder, 'dataset.json')
    writeFileSync(list, JSON.stringify({ labels: { background: 0, liver: 1, tumor: 2, ignore: 3 } }))
    const { summary } = await evaluate((_, id) => ({ ignoredVoxels: id === 'a' ? 9 : 0 }))
    expect(specs.at(-1)).toMatchObject({ labelMap: null, ignoredIds: [3] })
    expect(drawn.at(-1)).toMatchObject({ labelMap: null, ignoredIds: [3] })
    expect(summary.warnings).toEqual([
      `1 case has ignored voxels, which count in no figure (label id 3 by ${list})`,
    ])
    await expect(evaluate(() => ({}), { labelIds: [2, 3], tumorIds: [2] })).rejects.toThrow(
      /label id 3: cannot be measured/,
    )
    await evaluate(() => ({}), { labelMap: { '1': 1, '2': 2, '3': 3 } })
    expect(specs.at(-1)!.ignoredIds).toEqual([])
  })

  test('are named where none of the measured ones occurs', async () => {
    const nothing = { ...overlap(0, 0, 0), nsd: [] }
    const { summary } = await evaluate(() => ({ labels: [{ label: 2, ...nothing }], tumor: nothing }))
    expect(summary.warnings).toEqual([
      'none of the ids 2 occurs in any label or mask, so there is no figure: check the ids and maps',
    ])
    expect(notes).toEqual(summary.warnings)
  })

  test('are suspected where only one side ever has a measured id', async () => {
    const { summary } = await evaluate(() => ({ labels: [{ label: 2, ...overlap(0, 0, 9) }] }))
    expect(summary.warnings[0]).toMatch(/^id 2 is in 2 labels and in no mask: /)
  })
})

describe('patients', () => {
  beforeEach(() => {
    fill('labels', 'a1', 'a2', 'b')
    fill('masks', 'a1', 'a2', 'b')
  })

  test('are read from lines of case and patient, or from a manifest', async () => {
    const file = join(folder, 'patients.csv')
    writeFileSync(file, 'case,patient\na1,a\na2,a\nb,b\n')
    expect((await evaluate(() => ({}), { patients: file })).summary.numPatients).toBe(2)
    const manifest = join(folder, 'manifest.json')
    const cases = ['a1', 'a2', 'b'].map((id) => ({
      id: `set/${id}`,
      patient: id[0],
      label: `/x/${id}.nii.gz`,
    }))
    writeFileSync(manifest, JSON.stringify({ version: 1, cases }))
    expect((await evaluate(() => ({}), { patients: manifest })).summary.numPatients).toBe(2)
    expect((await evaluate(() => ({}))).summary.numPatients).toBe(3)
  })

  test('that a file does not name, and lines without content, are refused', async () => {
    const file = join(folder, 'patients.csv')
    writeFileSync(file, 'a1,a\nb,b\n')
    await expect(evaluate(() => ({}), { patients: file })).rejects.toThrow(
      new DataError(`${file}: lists no patient for 1 case (first a2)`, {
        hint: 'give every case a line `case,patient`',
      }),
    )
    writeFileSync(file, 'a1\n')
    await expect(evaluate(() => ({}), { patients: file })).rejects.toThrow(/line 1 is not `case,patient`/)
  })
})

test('organ masks and scores are matched to their cases; missing ones are listed, none at all is refused', async () => {
  fill('labels', 'a', 'b')
  fill('masks', 'a', 'b')
  fill('organs', 'a')
  fill('nothing')
  const { summary } = await evaluate(() => ({ removedVoxels: 3 }), { organs: join(folder, 'organs') })
  expect(specs[0]!.cases.map(({ id, organ }) => [id, organ !== null])).toEqual([
    ['a', true],
    ['b', false],
  ])
  expect(summary.warnings).toEqual([
    '1 case has no organ mask in organs, first b',
    'predicted tumor outside the organ mask was removed in 2 cases',
  ])
  await expect(evaluate(() => ({}), { organs: join(folder, 'nothing') })).rejects.toThrow(UsageError)
  await expect(evaluate(() => ({}), { scores: join(folder, 'nothing') })).rejects.toThrow(
    /no score of 2 cases \(first a\)$/,
  )
  // of a liver and a kidney tumor, beside what is no tumor
  fill('scores', 'a_2', 'a_6', 'a_1', 'b')
  fill('otherScores', 'a', 'b')
  fill('others', 'a', 'b')
  await evaluate(() => ({}), { scores: join(folder, 'scores') })
  const names = specs.at(-1)!.cases.map(({ scores }) => scores.map((path) => path.split('/').at(-1)))
  expect(names).toEqual([['a_2.nii.gz', 'a_6.nii.gz'], ['b.nii.gz']])
  const both = { against: join(folder, 'others'), scores: join(folder, 'scores') }
  await evaluate(() => ({}), both)
  expect(notes.at(-1)).toContain('pass --scores and --against-scores together')
  await evaluate(() => ({}), { ...both, againstScores: join(folder, 'otherScores') })
  expect(specs.at(-1)!.cases.map(({ scores }) => scores)).toEqual(
    ['a', 'b'].map((id) => [join(folder, 'otherScores', `${id}.nii.gz`)]),
  )
  await expect(evaluate(() => ({}), { againstScores: join(folder, 'otherScores') })).rejects.toThrow(
    UsageError,
  )
})

test('scores of `predict` are those of all outputs with a tumor id, as its record states them', async () => {
  fill('labels', 'a')
  fill('masks', 'a')
  fill('masks/probabilities', 'a_1', 'a_2', 'a_4')
  const record = (maskIds: readonly number[]) =>
    writeFileSync(join(folder, 'masks/prediction.json'), JSON.stringify({ maskIds }))
  const scores = join(folder, 'masks/probabilities')
  const used = async (options: Partial<EvaluateOptions>) => {
    await evaluate(() => ({}), { scores, ...options })
    return specs.at(-1)!.cases[0]!.scores.map((path) => path.split('/').at(-1))
  }
  // files are named after outputs, not after the ids of the masks
  record([0, 0, 1, 0, 1])
  expect(await used({ predictionMap: { '1': 2 } })).toEqual(['a_2.nii.gz', 'a_4.nii.gz'])
  record([0, 1, 2, 3, 4, 5, 6])
  await expect(used({})).rejects.toThrow(/holds no score of 1 case \(first a\)/)
  const failure = await used({}).catch((error: unknown) => error)
  expect((failure as DataError).hint).toMatch(/probabilities 2,4,6, which are the tumors/)
  expect(await used({ tumorIds: [2] })).toEqual(['a_2.nii.gz'])
})

test('tolerances and IoUs of ones own take the place of the profile’s', async () => {
  fill('labels', 'a')
  fill('masks', 'a')
  const { summary } = await evaluate(() => ({ tumor: overlap(1, 1, 1, 0.25, 0.75) }), {
    nsdTolerancesMm: [1, 3],
    lesionIous: [0.2],
  })
  expect(specs[0]).toMatchObject({ nsdTolerancesMm: [1, 3] })
  expect(summary.tumorNsdAtMm).toMatchObject({ '1': { mean: 0.25 }, '3': { mean: 0.75 } })
  expect(summary.tumorNsd?.mean).toBe(0.25)
  expect(summary.lesions!.all.atIou.map(({ iou }) => iou)).toEqual([0.2])
})

test('a damaged or foreign summary is reported when the page is rebuilt', async () => {
  fill('labels', 'a')
  fill('masks', 'a')
  await evaluate(() => ({}))
  const summary = join(folder, 'out/summary.json')
  writeFileSync(summary, readFileSync(summary, 'utf8').replace('"numCases": 1', '"numCases": "one"'))
  await expect(writeAnyReport(join(folder, 'out'))).rejects.toThrow(/summary\.json: malformed at numCases/)
  writeFileSync(summary, '{')
  await expect(writeAnyReport(join(folder, 'out'))).rejects.toThrow(/summary\.json: is not JSON/)
})

test('a folder for results that exists and cannot be written ends the evaluation before its first case', async () => {
  fill('labels', 'a')
  fill('masks', 'a')
  await expect(evaluate(() => ({}), { out: '/proc' })).rejects.toMatchObject({
    code: 'environment',
    message: expect.stringMatching(/^\/proc: cannot be written/),
  })
  expect(specs).toEqual([])
})

describe('the file for simulation.curriculum', () => {
  const lesions = [
    lesion('true', 7, false, { depthMm: 3, contrastHu: -25 }),
    lesion('true', 12, true, { depthMm: 20 }),
  ]
  const file = () => join(folder, 'out/missed-sizes.jsonl')

  test('has the depths and contrasts of the labels, for a training', async () => {
    fill('labels', 'a', 'b')
    fill('masks', 'a', 'b')
    fill('other', 'a', 'b')
    fill('scans', 'a')
    const against = join(folder, 'other')
    await evaluate((_, id) => (id === 'a' ? { lesions } : {}), { images: join(folder, 'scans'), against })
    const scan = join(folder, 'scans/a.nii.gz')
    expect(specs[0]).toMatchObject({
      organOfTumor: { 2: 1, 4: 3, 6: 5 },
      cases: [{ image: scan }, { image: null }],
    })
    // contrasts are of the labels: the second folder of masks has no others
    expect(specs.at(-1)!.cases.map(({ image }) => image)).toEqual([null, null])
    expect(notes).toContain(
      'contrast of 1 of 2 true lesions: unknown (no readable scan on the grid of the label, or no organ around them) in a',
    )
    const yaml = join(folder, 'run.yaml')
    writeFileSync(yaml, 'job: baseline\ndata: { root: ., datasets: [{ name: BTCV }] }\n')
    const { simulation, prepare } = await loadConfig(yaml, { set: [`simulation.curriculum=${file()}`] })
    expect(simulation.curriculum).toEqual([
      { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 0 },
      { organ: 'liver', diameterMm: [5, 10], found: 0, missed: 1 },
      { organ: 'liver', diameterMm: [10, 20], found: 1, missed: 0 },
      { organ: 'liver', depthMm: [0, 5], found: 0, missed: 1 },
      { organ: 'liver', depthMm: [5, 15], found: 0, missed: 0 },
      { organ: 'liver', depthMm: [15, null], found: 1, missed: 0 },
      { organ: 'liver', contrastHu: [-60, -20], found: 0, missed: 1 },
    ])
    const [aimed] = sizeSettings(simulation, prepare).curriculum!
    expect(aimed!.depthsMm.map(({ probability }) => probability.toFixed(4))).toEqual([
      '0.4667',
      '0.3333',
      '0.2000',
    ])
    expect(aimed!.contrastsHu).toMatchObject([{ from: -60, to: -20 }])
  })

  test('is not written for ids of another convention, which are not measured for it', async () => {
    fill('labels', 'a')
    fill('masks', 'a')
    await evaluate(() => ({ lesions }), { labelIds: [1, 2], tumorIds: [2], images: fill('scans', 'a') })
    expect(specs[0]!.organOfTumor).toBeNull()
    expect(existsSync(file())).toBe(false)
    expect(notes.join()).not.toContain('contrast of')
  })
})
