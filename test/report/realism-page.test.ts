import { expect, it } from 'vitest'
import { type RealismPage, renderRealism } from '../../src/report/realism-page.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

const n = { synthetic: 30, real: 25 }
const measured = {
  ...{
    name: 'frechetTumor',
    organ: 'all',
    size: 'all',
    unit: 'squared standard deviations',
    value: 2.5,
    p: 0.02,
  },
  ci: [1.5, 3.5] as const,
  null: { mean: 0.9, p95: 1.4 },
  n,
  notMeasured: null,
}
const page: RealismPage = {
  made: 'synthetic against real',
  settings: { encoder: null },
  measures: [measured],
  features: [
    {
      organ: 'all',
      name: 'tumor.mean',
      real: { mean: 60, sd: 9 },
      synthetic: { mean: -5, sd: 3 },
      distance: 2,
    },
  ],
  thresholds: [
    {
      size: 'under 10 mm',
      threshold: 0.8,
      leadThreshold: 0.4,
      reals: 40,
      ofAllSizes: false,
      median: 0.5,
      realsAbove: 1,
    },
  ],
  nearest: [
    {
      ...{ case: 'synthetic/a', tumor: 1, organ: 'liver', size: 'under 10 mm' },
      real: { case: 'real/b', tumor: 2, similarity: 0.95, lead: 0.7, copy: true },
      host: { case: 'host/c', similarity: 0.99, own: true },
    },
  ],
  copies: 1,
  limits: [],
  exceeded: [],
  failed: [],
  notes: [
    'The host of a synthetic tumor is the scan of a real patient. A synthetic tumor does not anonymise a scan.',
  ],
}

it('the page states a figure with interval, chance level and p', () => {
  const html = renderRealism(page)
  for (const text of ['2.50', '1.50 to 3.50', '0.900', '0.020', '30 synthetic and 25 real tumors'])
    expect(html).toContain(text)
  expect(html).toContain('does not anonymise a scan')
})

it('the page names the encoder of a second classifier by its file', () => {
  const html = renderRealism({
    ...page,
    measures: [measured, { ...measured, name: 'encoderAuc', unit: 'AUC', value: 0.62 }],
    settings: { encoder: { file: 'model.pt', sha256: 'c0ffee'.repeat(10) } },
  })
  expect(html).toContain('classifier of both sides, by the encoder')
  expect(html).toContain('model.pt (SHA-256 c0ffeec0ffee)')
  expect(renderRealism(page)).not.toContain('encoder')
})

it('the page names a likely copy and the host that its surroundings identify', () => {
  const html = renderRealism(page)
  expect(html).toContain('1 likely copy')
  expect(html).toContain('real/b, tumor 2')
  expect(html).toContain('The tissue around 1 of 1 synthetic tumor is most similar to its own host scan')
})

it('a group that was not measured states why', () => {
  const reason = 'not measured: 4 synthetic and 25 real tumors'
  const html = renderRealism({
    ...page,
    measures: [{ ...measured, value: null, ci: null, p: null, null: null, notMeasured: reason }],
  })
  expect(html).toContain(reason)
})

it('the page without thresholds states that copies were not judged', () => {
  expect(renderRealism({ ...page, copies: null })).toContain('not judged')
})

it('exceeded limits are listed', () => {
  const exceeded = [{ measure: 'frechetTumor', organ: 'all', size: 'all', max: 2, value: 2.5 }]
  expect(renderRealism({ ...page, limits: [{}], exceeded })).toContain('expected at most 2, found 2.50')
  expect(renderRealism({ ...page, limits: [{}] })).toContain('all hold')
})

it('the page of a comparison shows hostile names as text', () => {
  const [one] = page.nearest
  const html = renderRealism({
    ...page,
    made: HOSTILE,
    notes: [HOSTILE],
    nearest: [
      {
        ...one!,
        case: HOSTILE,
        real: { ...one!.real!, case: HOSTILE },
        host: { ...one!.host!, case: HOSTILE },
      },
    ],
    failed: [{ caseId: HOSTILE, error: { message: HOSTILE } }],
  })
  // title, header, note, two of the failed case, and three of the row
  expectShownAsText(html, 8)
})
