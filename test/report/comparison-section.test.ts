import { expect, test } from 'vitest'
import { type ComparisonReport, comparisonSection } from '../../src/report/comparison-section.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

const comparison: ComparisonReport = {
  first: 'segmentor',
  second: 'baseline',
  forests: [],
  classNames: ['liver', 'liver tumor'],
  cases: [
    { name: 'a', first: 0.5, second: 0.6, classes: [0.01, -0.2] },
    { name: 'b', first: 0.75, second: 0.55, classes: [null, 0.2] },
    { name: 'c', first: null, second: 0.5, classes: [0, null] },
  ],
}

test('every case has its Dice in both sets, the difference, and the differences by class name', () => {
  const html = comparisonSection(comparison)
  expect(html).toContain('<th scope="col">liver tumor</th>')
  const rows = [...html.matchAll(/<tr><th scope="row">(.*?)<\/tr>/g)].map(([, row]) =>
    row!
      .replace(/<svg.*?<\/svg>/g, '')
      .replace(/<[^>]*>/g, ' ')
      .trim()
      .split(/\s+/),
  )
  expect(rows).toEqual([
    ['a', '0.500', '0.600', '−0.100', '+0.010', '−0.200'],
    ['b', '0.750', '0.550', '+0.200', '–', '+0.200'],
    ['c', '–', '0.500', '–', '0', '–'],
  ])
})

test('a loss is drawn to the left of the middle, a gain to the right, in proportion', () => {
  const bars = [
    ...comparisonSection(comparison).matchAll(/<rect class="(\w+)" x="([\d.]+)" y="3" width="([\d.]+)"/g),
  ]
  expect(bars.map((bar) => bar.slice(1))).toEqual([
    ['loss', '27.0', '23.0'],
    ['gain', '50.0', '46.0'],
  ])
})

test('missing measures by case name the command that measures them', () => {
  expect(comparisonSection({ ...comparison, cases: [] })).toContain('evaluate --against')
})

test('lists at most 200 cases, and states how many are not listed', () => {
  const cases = Array.from({ length: 203 }, (_, at) => ({ ...comparison.cases[0]!, name: `case ${at}` }))
  const html = comparisonSection({ ...comparison, cases })
  expect(html).toContain('the 3 largest gains are not shown')
  expect(html).not.toContain('case 200<')
})

test('shows hostile names as text', () => {
  const cases = [{ ...comparison.cases[0]!, name: HOSTILE }]
  expectShownAsText(
    comparisonSection({
      ...comparison,
      first: HOSTILE,
      second: HOSTILE,
      classNames: [HOSTILE, HOSTILE],
      cases,
    }),
    6,
  )
})
