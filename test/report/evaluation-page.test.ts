import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import { type EvaluationPage, renderEvaluation } from '../../src/report/evaluation-page.js'
import { forestPlot } from '../../src/report/forest.js'
import { maskFigures } from '../../src/report/mask-figures.js'
import { parseMaskPicture } from '../../src/report/mask-pictures.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

const told = { mean: 0.5, low: 0.25, high: 0.75 }
const pictureFile = {
  case: 'liver <1>',
  planes: ['axial', 'coronal'].map((name) => ({
    name,
    width: 3,
    height: 2,
    image: Buffer.from([10, 20, 30, 40, 50, 60]).toString('base64'),
    truth: Buffer.from([0, 1, 0, 0, 0, 0]).toString('base64'),
    predicted: Buffer.from([0, 0, 0, 0, 0, 1]).toString('base64'),
  })),
}
const page: EvaluationPage = {
  title: 'Evaluation <x>',
  made: 'today',
  facts: [['profile', 'lesion']],
  warnings: ['id 7 & more'],
  figures: {
    title: 'Means',
    grid: 'original',
    level: 0.95,
    rows: [{ name: 'tumor Dice', ...told, n: 3 }],
    warnings: [],
  },
  amounts: [{ name: 'false positives per case', amount: { mean: 2, low: 1, high: 3 }, n: 3 }],
  sizes: [
    {
      name: 'radius 0 to 5 mm',
      found: 1,
      all: 2,
      predicted: 3,
      sensitivity: told,
      precision: null,
      f1: told,
      dice: told,
    },
  ],
  froc: [
    [0, 0],
    [0.5, 0.4],
    [1, 0.9],
  ],
  cases: Array.from({ length: 201 }, (_, at) => ({
    name: at === 0 ? 'liver <1>' : `case ${at}`,
    dice: at / 201,
    nsd: null,
    trueMl: 12.5,
    predictedMl: 3,
    lesions: { found: 1, all: 2, wrong: 4 },
  })),
  pictures: [parseMaskPicture('pictures/worst_000.json', pictureFile)],
  comparison: null,
  rules: [['Dice', 'is defined so']],
}

describe('the page of an evaluation', () => {
  const html = renderEvaluation(page)

  test('has figures, lesions by size, curves, the worst cases first, and definitions', () => {
    const places = [
      'tumor Dice',
      'False positives',
      'FROC',
      'radius 0 to 5 mm',
      'Cases, worst first',
      'is defined so',
    ]
    const at = places.map((text) => html.indexOf(text))
    expect(at).toEqual([...at].sort((a, b) => a - b))
    expect(at[0]).toBeGreaterThan(0)
    expect(html).toContain('<td>1 of 2</td><td>3</td>')
    expect(html.indexOf('liver &lt;1&gt;</th>')).toBeLessThan(html.indexOf('case 1</th>'))
  })

  test('loads nothing, and escapes all input', () => {
    expect(html).not.toMatch(/<script|src="(?!data:)|href="http/)
    expect(html).not.toContain('<1>')
    expect(html).toContain('id 7 &amp; more')
  })

  test('shows hostile names as text', () => {
    const named = { name: HOSTILE, ...told, n: 3 }
    const comparison = {
      name: HOSTILE,
      better: 'higher' as const,
      first: 0.8,
      second: 0.7,
      difference: 0.1,
      low: 0,
      high: 0.2,
      n: 9,
      bootstrapP: 0.04,
      wilcoxonP: null,
      oneSided: 0,
    }
    const hostile = renderEvaluation({
      ...page,
      title: HOSTILE,
      made: HOSTILE,
      facts: [[HOSTILE, HOSTILE]],
      warnings: [HOSTILE],
      figures: { ...page.figures, title: HOSTILE, grid: HOSTILE, rows: [named], warnings: [HOSTILE] },
      amounts: [{ ...page.amounts[0]!, name: HOSTILE }],
      sizes: [{ ...page.sizes[0]!, name: HOSTILE }],
      cases: [{ ...page.cases[0]!, name: HOSTILE }],
      pictures: [{ ...page.pictures[0]!, caseId: HOSTILE }],
      comparison: {
        first: HOSTILE,
        second: HOSTILE,
        forests: [{ title: HOSTILE, names: [HOSTILE, HOSTILE], rows: [comparison] }],
        classNames: [HOSTILE],
        cases: [],
      },
      rules: [[HOSTILE, HOSTILE]],
    })
    expectShownAsText(hostile, 20)
  })

  test('lists the cases that only the table has', () => {
    expect(html).toContain('the 1 best cases are only in cases.csv')
    expect(html).not.toContain('case 200</th>')
  })
})

describe('a picture of a case', () => {
  const figures = (planes: readonly object[], more: object = {}) =>
    maskFigures(
      [parseMaskPicture('pictures/worst_000.json', { ...pictureFile, planes, ...more })],
      new Map([['liver <1>', 'Dice 0.5']]),
      { predicted: 'segmentor', against: 'baseline' },
    )
  const titles = (html: string): string[] =>
    [...html.matchAll(/<p aria-hidden="true">([^<]*)<\/p>/g)].map(([, title]) => title!)
  const looks = (html: string): string[] =>
    [...html.matchAll(/<path class="outline (\w+)"/g)].map(([, look]) => look!)

  test('has the scan, then each plane with the outlines of label and mask', () => {
    const html = figures(pictureFile.planes)
    expect(titles(html)).toEqual(['axial', 'axial, label and mask', 'coronal, label and mask'])
    expect(looks(html)).toEqual(['truth', 'predicted', 'truth', 'predicted'])
    expect(html).toContain('Dice 0.5 · no scan: organs in grey')
  })

  test('with a second mask has scan, label and both masks in one plane each, after the whole slice', () => {
    const planes = pictureFile.planes.map((plane) => ({ ...plane, against: plane.truth }))
    const whole = { ...planes[0]!, pixelMm: [2, 2], frameMm: [1, 1, 3, 2] }
    const html = figures(planes, { whole, windowHu: [-100, 200] })
    expect(titles(html)).toEqual(['whole slice', 'scan', 'label', 'segmentor', 'baseline'])
    expect(looks(html)).toEqual(['truth', 'predicted', 'against', 'truth', 'predicted', 'against'])
    expect(html).toContain('<rect class="outline frame" x="1" y="1" width="3" height="2"/>')
    expect(html).toContain('Dice 0.5 · window −100 to 200 HU')
  })
})

test.each([
  ['nothing', null],
  ['no planes', { ...pictureFile, planes: [] }],
  ['too few pixels', { ...pictureFile, planes: [{ ...pictureFile.planes[0], height: 3 }] }],
  ['a huge plane', { ...pictureFile, planes: [{ ...pictureFile.planes[0], width: 5000 }] }],
])('a picture file with %s is refused by name', (_name, value) => {
  expect(() => parseMaskPicture('pictures/worst_000.json', value)).toThrow(DataError)
  expect(() => parseMaskPicture('pictures/worst_000.json', value)).toThrow(/^pictures\/worst_000\.json: /)
})

describe('a forest plot', () => {
  const row = {
    name: 'tumor Dice',
    better: 'higher' as const,
    first: 0.8,
    second: 0.7,
    difference: 0.1,
    low: -0.05,
    high: 0.25,
    n: 9,
    bootstrapP: 0.04,
    wilcoxonP: 0.0001,
    oneSided: 2,
  }
  const plot = (rows: readonly (typeof row | (Omit<typeof row, 'better'> & { better: 'lower' }))[]) =>
    forestPlot({ title: 'Shares', names: ['new & old', 'other'], rows })

  test('shows both figures, their difference with its interval, and the cases left out', () => {
    const html = plot([row])
    for (const text of [
      'new &amp; old',
      '+0.100',
      '−0.0500 to +0.250',
      '0.040',
      '&lt; 0.001',
      '2 in one set only',
    ])
      expect(html).toContain(text)
  })

  test('puts the first set on the right if it is better, for figures where high or low is better', () => {
    const middles = (html: string) =>
      [...html.matchAll(/<rect[^>]* x="([\d.]+)"/g)].map((match) => Number(match[1]))
    const [higher, lower] = middles(plot([row, { ...row, better: 'lower' }]))
    expect(higher).toBeGreaterThan(96.5)
    expect(lower).toBeLessThan(96.5)
  })

  test('is empty without figures, and shows figures without a difference', () => {
    expect(plot([])).toBe('')
    expect(plot([{ ...row, difference: 0, low: 0, high: 0 }])).not.toContain('NaN')
  })
})
