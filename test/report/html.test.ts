import { describe, expect, test } from 'vitest'
import { type ReportInput, renderReport } from '../../src/report/html.js'
import { parseTumorPicture, type TumorPicture } from '../../src/report/pictures.js'
import type { RunReport } from '../../src/report/run-section.js'
import type { Example, TumorPictures } from '../../src/report/tumor-section.js'
import {
  everyEvent,
  finished,
  note,
  pictureFile,
  started,
  step,
  synthesis,
  validation,
} from './example-events.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

/** One picture, as read from a run. */
function pictures(changes: Partial<Example>, hint = 'Do this.'): TumorPictures {
  const picture = parseTumorPicture('a', pictureFile()) as TumorPicture
  return { examples: [{ ...picture, decided: null, ...changes }], real: [], hint }
}

function run(changes: Partial<RunReport> = {}): RunReport {
  return {
    name: 'segmentation',
    events: everyEvent,
    configText: 'job: segmentation\nseed: 7\n',
    labelNames: ['background', 'liver', 'liver tumor'],
    tumors: {
      rows: [{ organ: 'liver', size: 'tiny', tried: 4, kept: 3, sumShareSeen: 2.4 }],
      noRoom: 0,
      copies: 0,
      reasons: [],
      sweep: [],
      mode: 'gated',
    },
    pictures: pictures({ verdict: 'accepted' }),
    problems: [],
    ...changes,
  }
}

function page(...runs: RunReport[]): string {
  return renderReport(input({ runs }))
}

function input(changes: Partial<ReportInput>): ReportInput {
  return {
    title: 'My run',
    runs: [run()],
    evaluations: [],
    comparison: '',
    ledgers: [],
    made: '2026-01-02 03:04 UTC',
    ...changes,
  }
}

/** The words that a reader sees, without tags. */
function words(html: string): string {
  const body = html.slice(html.indexOf('<body>'))
  return body
    .replace(/<[^>]*>/g, ' ')
    .replace(/&[a-z]+;|&#39;/g, '?')
    .replace(/\s+/g, ' ')
}

describe('the page', () => {
  test('describes every event of a run', () => {
    const text = words(page(run()))
    expect(text).toContain('38 of 38 tensors taken')
    expect(text).toContain('no host has a kidney')
    expect(text).toContain('started, 100 steps planned')
    expect(text).toContain('command: set learning rate 0.00005')
    expect(text).toContain('command: pause')
    expect(text).toContain('validation: tumor Dice 0.625, the best so far')
    expect(text).toContain('checkpoint (end): runs/a/checkpoints/step_00000100')
    expect(text).toContain('completed at step 100')
  })

  test('shows curves of the losses and of the synthetic tumors, and the Dice of each label by name', () => {
    const html = page(
      run({ events: [started(), synthesis(0), step(0), synthesis(1), step(1), validation(2)] }),
    )
    expect(html).toContain('aria-label="Losses, by step: total from 0.750 to 0.750; dice')
    expect(html).toContain('aria-label="Synthetic tumors, by step: detected fraction from 0.600 to 0.600')
    expect(words(html)).toContain('liver tumor 0.625')
  })

  test('draws the validation curve from two validations on', () => {
    const once = [started(), step(0), validation(1)]
    expect(page(run({ events: once }))).not.toContain('aria-label="Validation')
    const twice = [...once, step(1), validation(2, { tumorDice: 0.5, best: false })]
    expect(page(run({ events: twice }))).toContain(
      'aria-label="Validation, by step: tumor Dice from 0.625 to 0.500."',
    )
    expect(words(page(run({ events: twice })))).toContain('Validation at step 1, the best of 2,')
  })

  test('shows pictures with a caption, an alternative text and the verdict', () => {
    const html = page(run())
    expect(html).toMatch(
      /role="img" aria-label="synthetic of a tiny liver tumor, axial slice"><g [^>]*><image [^>]*href="data:image\/png;base64,[\w+/=]+"/,
    )
    expect(words(html)).toContain(
      'tiny liver tumor step 12 ? accepted ? baseline detects 85 %'.replaceAll('?', '·'),
    )
  })

  test('shows device, versions, sizes of networks and the configuration', () => {
    const text = words(page(run()))
    expect(text).toContain('device cpu, 2 ranks')
    expect(text).toContain('torch 2.13.0')
    expect(text).toContain('segmentor size 0.35 M parameters')
    expect(text).toContain('job: segmentation seed: 7')
  })

  test('loads no external resource and runs no script', () => {
    const html = page(run(), run({ name: 'b' }))
    expect(html).not.toMatch(/https?:|<script|<link|@import|url\(|<iframe/i)
    for (const [, source] of html.matchAll(/(?:src|href)="([^"]*)"/g))
      expect(source).toMatch(/^(data:image\/png|#)/)
  })

  test('escapes all foreign text', () => {
    const evil = HOSTILE
    const html = renderReport({
      title: evil,
      made: evil,
      comparison: '',
      ledgers: [
        {
          name: evil,
          tumors: {
            rows: [{ organ: evil, size: evil, tried: 1, kept: 1, sumShareSeen: 1 }],
            noRoom: 0,
            copies: 0,
            reasons: [{ reason: evil, count: 1 }],
            sweep: [],
            mode: 'gated',
          },
          pictures: pictures({ organ: evil, size: evil, verdict: evil, decided: evil }, evil),
          problems: [evil],
        },
      ],
      evaluations: [
        {
          title: evil,
          grid: evil,
          level: 0.95,
          rows: [{ name: evil, mean: 0.5, low: 0.4, high: 0.6, n: 3 }],
          warnings: [evil],
        },
      ],
      runs: [
        run({
          name: evil,
          configText: evil,
          labelNames: [evil, evil, evil],
          problems: [evil],
          tumors: {
            rows: [{ organ: evil, size: evil, tried: 1, kept: 1, sumShareSeen: 1 }],
            noRoom: 0,
            copies: 0,
            reasons: [],
            sweep: [],
            mode: 'gated',
          },
          pictures: pictures({ organ: evil, size: evil, verdict: evil, decided: evil }, evil),
          events: [
            note(evil, 'warning'),
            started({ run: evil, device: evil, versions: { [evil]: evil }, parameters: { [evil]: 1 } }),
            step(0, { losses: { [evil]: 1 } }),
            validation(1, { diceByLabel: { 1: 0.5 } }),
            { time: evil, type: 'checkpoint', step: 1, directory: evil, reason: evil },
            finished({ reason: evil }),
          ],
        }),
      ],
    })
    expectShownAsText(html, 20)
  })

  test('has one main heading, captions on all tables, texts on all pictures, and only links with a target', () => {
    const html = page(run(), run({ name: 'other' }))
    expect(html.match(/<h1[ >]/g)).toHaveLength(1)
    expect(html.match(/<table>/g)!.length).toBe(html.match(/<caption>/g)!.length)
    for (const [svg] of html.matchAll(/<svg [^>]*>/g)) expect(svg).toMatch(/aria-label="[^"]+"|aria-hidden/)
    const targets = [...html.matchAll(/href="#([^"]*)"/g)].map((match) => match[1]!)
    expect(targets.length).toBeGreaterThan(0)
    for (const target of targets) expect(html).toContain(`id="${target}"`)
  })

  test('closes every element that it opens', () => {
    const open: string[] = []
    const html = renderReport(
      input({ runs: [run(), run({ name: 'b', events: [] })], evaluations: [table()] }),
    )
    const withoutStyle = html.replace(/<style>.*?<\/style>/s, '')
    for (const [, slash, name, rest] of withoutStyle.matchAll(/<(\/?)([a-z][a-z\d]*)([^>]*)>/g)) {
      if (['meta'].includes(name!) || rest!.endsWith('/')) continue
      if (slash === '') open.push(name!)
      else expect(open.pop()).toBe(name)
    }
    expect(open).toEqual([])
  })
})

describe('the outcome of a run', () => {
  test.each([
    ['completed', finished(), /completed at step 100/],
    ['stopped', finished({ outcome: 'stopped', reason: 'SIGTERM', step: 40 }), /stopped at step 40: SIGTERM/],
    [
      'failed',
      finished({ outcome: 'failed', reason: 'rank 1 died', step: 7 }),
      /failed at step 7: rank 1 died/,
    ],
  ])('is reported when it %s', (_, end, expected) => {
    expect(words(page(run({ events: [started(), step(0), end] })))).toMatch(expected)
  })

  test('is not invented for a run that is under way or was killed', () => {
    expect(words(page(run({ events: [started(), step(0), step(1)] })))).toContain(
      'not finished the events end after 2 steps without a reason',
    )
  })

  test('is the outcome of the last attempt of a resumed run', () => {
    const events = [
      started(),
      step(0),
      finished({ outcome: 'stopped', step: 1 }),
      started({ step: 1 }),
      step(1),
    ]
    const text = words(page(run({ events })))
    expect(text).toContain('not finished')
    expect(text).toContain('resumed at step 1')
  })
})

describe('a missing part', () => {
  test('is named: events, steps, configuration, ledger, pictures, validation', () => {
    const nothing = words(page(run({ events: [], configText: null, problems: ['events.jsonl is missing'] })))
    expect(nothing).toContain('not started')
    expect(nothing).toContain('No step was completed')
    expect(nothing).toContain('The run has no configuration')
    expect(nothing).toContain('The run has no events')
    expect(nothing).toContain('events.jsonl is missing')
    const little = words(
      page(
        run({
          events: [started(), step(0), finished()],
          tumors: null,
          pictures: { examples: [], real: [], hint: '' },
        }),
      ),
    )
    expect(little).toContain('There is no ledger')
    expect(little).toContain('There are no example pictures')
    expect(little).toContain('The run was not validated')
    expect(words(page())).toContain('There is no run to report')
  })

  test('is not reported for a job that cannot have it', () => {
    const baseline = words(
      page(run({ events: [started({ job: 'baseline' }), step(0, { job: 'baseline' })], tumors: null })),
    )
    expect(baseline).not.toContain('no ledger')
    const generator = words(
      page(run({ events: [started({ job: 'synthesis' }), step(0, { job: 'synthesis' })] })),
    )
    expect(generator).not.toContain('not validated')
  })

  test('is a count of the losses that were not finite, and the curves omit them', () => {
    const lost = step(1, { losses: { total: null as unknown as number } })
    const html = page(
      run({ events: [started(), step(0), lost, step(2, { losses: { total: Number.NaN } }), step(3)] }),
    )
    expect(words(html)).toContain('In 2 steps a loss was not finite')
    expect(html).not.toMatch(/NaN|undefined/)
  })

  test('is a dash if no validation case has a tumor', () => {
    const html = page(
      run({ events: [started(), step(0), validation(1, { tumorDice: null, diceByLabel: {} })] }),
    )
    expect(words(html)).toContain('no case has a tumor')
  })
})

function table(
  changes: Partial<ReportInput['evaluations'][number]> = {},
): ReportInput['evaluations'][number] {
  return {
    title: 'segmentor on held-out phantoms',
    grid: 'original',
    level: 0.95,
    rows: [
      { name: 'tumor Dice', mean: 0.5649, low: 0.497, high: 0.6333, n: 8 },
      { name: 'Dice of pancreas', mean: null, low: null, high: null, n: 0 },
    ],
    warnings: [],
    ...changes,
  }
}

describe('an evaluation', () => {
  test('is a table of means with their intervals and numbers of cases', () => {
    const text = words(renderReport(input({ evaluations: [table()] })))
    expect(text).toContain('segmentor on held-out phantoms on the original grid')
    expect(text).toContain('95 % interval')
    expect(text).toContain('tumor Dice 0.565 0.497 – 0.633 8')
    expect(text).toContain('Dice of pancreas no case counts')
  })

  test('lists the cases that are in no figure, and states that there is no figure', () => {
    const text = words(
      renderReport(input({ evaluations: [table({ rows: [], warnings: ['Not measured: case_3'] })] })),
    )
    expect(text).toContain('Nothing was measured')
    expect(text).toContain('Not measured: case_3')
  })
})

test('the overview compares several runs in their order', () => {
  const text = words(
    page(
      run({ name: 'first', events: [started(), step(0), synthesis(0), validation(1), finished()] }),
      run({ name: 'second', events: [] }),
    ),
  )
  expect(text).toMatch(/first completed 1 1 s 0\.625 50 %.*second not started 0 0 s – –/)
  expect(words(page(run()))).not.toContain('Overview')
})
