import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type EvaluationPage, renderEvaluation } from '../../src/report/evaluation-page.js'
import { renderReport } from '../../src/report/html.js'
import { parseMaskPicture } from '../../src/report/mask-pictures.js'
import { parseTumorPicture, type RealTumor, type TumorPicture } from '../../src/report/pictures.js'
import type { Example } from '../../src/report/tumor-section.js'
import { chromiumPath } from '../helpers/browser.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { everyEvent } from './example-events.js'

const executablePath = chromiumPath()
const missing = executablePath === null ? ' (skipped: no Chromium on PATH or in CHROME_PATH)' : ''
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8')
const ORGANS = ['liver', 'pancreas', 'kidney']
const SIZES = ['tiny', 'small', 'medium', 'large']
const told = { mean: 0.5, low: 0.25, high: 0.75 }

/** Noise, which a PNG cannot compress. */
function noise(count: number): Uint8Array {
  let state = 1
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}

/** A plane of noise with a square tumor; pixels of 1.5 mm. */
function plane(name: string, side: number, images: readonly string[], masks: readonly string[]): object {
  const mask = Uint8Array.from({ length: side * side }, (_, at) => {
    const [x, y] = [at % side, Math.floor(at / side)]
    return Math.max(Math.abs(x - side / 2), Math.abs(y - side / 2)) < side / 8 ? 1 : 0
  })
  const parts = [
    ...images.map((key) => [key, noise(side * side)] as const),
    ...masks.map((key) => [key, mask] as const),
  ].map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')])
  return { name, width: side, height: side, pixelMm: [1.5, 1.5], ...Object.fromEntries(parts) }
}

const LARGEST = plane('axial', 96, ['host', 'synthetic'], ['mask'])
const CROP = ['axial', 'coronal', 'sagittal'].map((name) => plane(name, 96, ['host', 'synthetic'], ['mask']))
const WHOLE = plane('axial', 320, ['image'], ['mask'])

function picture(changes: object): TumorPicture | RealTumor {
  const file = { organ: 'liver', size: 'tiny', shareSeen: 0.5, windowHu: [-175, 250], diameterMm: 20 }
  return parseTumorPicture('a', { step: 1, item: 1, crop: 1, planes: [LARGEST], ...file, ...changes })
}

/** A report with as many pictures as a run may have, all as large as the runtime writes them. */
function fullReport(): string {
  const examples = ORGANS.flatMap((organ) =>
    SIZES.flatMap((size) =>
      ['accepted', 'rejected'].flatMap((verdict) =>
        [0, 1].map((): Example => {
          const one = picture({ kind: 'tumor', organ, size, verdict, whole: WHOLE }) as TumorPicture
          return { ...one, decided: 'detected fraction 50.0 %, threshold 70 %' }
        }),
      ),
    ),
  )
  const spread = Array.from({ length: 6 }, (): Example => {
    return { ...(picture({ planes: CROP }) as TumorPicture), decided: null }
  })
  const real = ORGANS.flatMap((organ) =>
    [0, 1, 2, 3].map(() => picture({ kind: 'real', organ }) as RealTumor),
  )
  const rows = ORGANS.flatMap((organ) =>
    SIZES.map((size) => ({ organ, size, tried: 1000, kept: 500, sumShareSeen: 600 })),
  )
  return renderReport({
    title: 'A run',
    made: 'made by freetumor',
    evaluations: [
      {
        title: 'segmentor on held-out scans',
        grid: 'original',
        level: 0.95,
        rows: [{ name: 'tumor Dice', ...told, n: 9 }],
        warnings: [],
      },
    ],
    comparison: '',
    ledgers: [],
    runs: [
      {
        name: 'segmentation',
        events: everyEvent,
        configText: `${'job: segmentation # a long line '.repeat(20)}\n`,
        labelNames: ['background', 'liver', 'liver tumor'],
        tumors: {
          rows,
          noRoom: 0,
          copies: 0,
          reasons: [{ reason: 'seen', count: 1 }],
          sweep: [],
          mode: 'gated',
        },
        pictures: { examples: [...spread, ...examples], real, hint: '' },
        problems: ['events.jsonl is missing.'],
      },
    ],
  })
}

/** The page of an evaluation with a second set of masks. */
function fullEvaluation(): string {
  const masks = ['truth', 'predicted', 'against']
  const planes = ['axial', 'coronal', 'sagittal'].map((name) => plane(name, 160, ['image'], masks))
  const whole = { ...plane('axial', 320, ['image'], masks), frameMm: [100, 100, 240, 240] }
  const cases = Array.from({ length: 6 }, (_, at) => `case_with_a_long_name_${at}`)
  const page: EvaluationPage = {
    title: 'Evaluation masks',
    made: 'made by freetumor',
    facts: [['profile', 'lesion']],
    warnings: [],
    figures: {
      title: 'Means',
      grid: 'original',
      level: 0.95,
      rows: [{ name: 'tumor Dice', ...told, n: 6 }],
      warnings: [],
    },
    amounts: [{ name: 'false positives per case', amount: told, n: 6 }],
    sizes: [],
    froc: [
      [0, 0],
      [1, 0.9],
    ],
    cases: cases.map((name) => ({ name, dice: 0.5, nsd: 0.4, trueMl: 12, predictedMl: 3, lesions: null })),
    pictures: cases.map((name) =>
      parseMaskPicture('a', { case: name, planes, whole, windowHu: [-175, 250] }),
    ),
    comparison: {
      first: 'segmentor',
      second: 'baseline',
      forests: [
        {
          title: 'Shares, from 0 to 1',
          names: ['segmentor', 'baseline'],
          rows: [
            {
              name: 'Dice of liver tumor',
              better: 'higher',
              first: 0.6,
              second: 0.5,
              difference: 0.1,
              low: 0.05,
              high: 0.15,
              n: 6,
              bootstrapP: 0.001,
              wilcoxonP: 0.03,
              oneSided: 0,
            },
          ],
        },
      ],
      classNames: ['liver', 'liver tumor', 'pancreas', 'pancreas tumor'],
      cases: cases.map((name, at) => ({
        name,
        first: 0.5,
        second: 0.4 + at / 20,
        classes: [0, 0.1, -0.1, null],
      })),
    },
    rules: [['Dice', 'is defined so']],
  }
  return renderEvaluation(page)
}

/** Each page, rendered once: noise takes time to compress. */
const PAGES = { report: once(fullReport), evaluation: once(fullEvaluation) }

function once(render: () => string): () => string {
  let html: string | null = null
  return () => {
    html ??= render()
    return html
  }
}

let browser: Browser

beforeAll(async () => {
  if (executablePath === null) return
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  browser = await chromium.launch({ executablePath, args })
})
afterAll(async () => browser?.close())

/** Open a page from a file, as a reader does; `faults` are console messages and requests for other files. */
async function open(
  html: string,
  width: number,
  colorScheme: 'dark' | 'light',
): Promise<{ page: Page; faults: string[] }> {
  const file = join(temporaryFolder(), 'report.html')
  writeFileSync(file, html)
  const url = pathToFileURL(file).href
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  onTestFinished(async () => context.close())
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (message) => faults.push(`console: ${message.text()}`))
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:image/png'))
      faults.push(`request: ${request.url()}`)
  })
  await page.goto(url)
  return { page, faults }
}

/** Return the rules of axe-core that a page breaks seriously. */
async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  return await page.evaluate(async () => {
    const { violations } = await (globalThis as never as { axe: typeof import('axe-core') }).axe.run()
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`)
  })
}

describe('the size of a page', () => {
  it.each([
    ['report', 3],
    ['evaluation', 2],
  ] as const)('of a %s with all its pictures, of noise, is below %s MB', (name, limit) => {
    expect(PAGES[name]().length / 1e6).toBeLessThan(limit)
  })
})

describe.skipIf(executablePath === null)(`a page in Chromium${missing}`, () => {
  const views = (['report', 'evaluation'] as const).flatMap((name) =>
    [390, 1400].flatMap((width) => (['light', 'dark'] as const).map((scheme) => ({ name, width, scheme }))),
  )
  it.each(views)(
    '$name, $width pixels wide, $scheme: is accessible, self-contained and no wider than the screen',
    async ({ name, width, scheme }) => {
      const { page, faults } = await open(PAGES[name](), width, scheme)
      expect(await violationsOf(page)).toEqual([])
      expect(
        await page.evaluate<number>(
          'document.documentElement.scrollWidth - document.documentElement.clientWidth',
        ),
      ).toBe(0)
      const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
      expect(ground).toBe(scheme === 'dark' ? 'rgb(20, 23, 27)' : 'rgb(255, 255, 255)')
      expect(faults).toEqual([])
    },
  )

  it('keeps its layout while it loads', async () => {
    const { page } = await open(PAGES.report(), 390, 'light')
    const shift = await page.evaluate<number>(`new Promise((resolve) => {
      let sum = 0
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value })
        .observe({ type: 'layout-shift', buffered: true })
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)))
    })`)
    expect(shift).toBe(0)
  })

  it('has tables that scroll sideways by keyboard on a phone, with the first column in place', async () => {
    const { page } = await open(PAGES.evaluation(), 390, 'light')
    const table = page.getByRole('group', { name: 'Differences by case and class' })
    await table.focus()
    const first = table.locator('tbody th').first()
    const left = (await first.boundingBox())!.x
    await page.keyboard.press('End')
    for (let at = 0; at < 5; at++) await page.keyboard.press('ArrowRight')
    await expect.poll(() => table.evaluate((element) => element.scrollLeft)).toBeGreaterThan(0)
    expect((await first.boundingBox())!.x).toBeCloseTo(left, 0)
  })

  it('draws the scale bar as long as its label, and the outline in its colour', async () => {
    const { page } = await open(PAGES.report(), 1400, 'dark')
    const slice = page.locator('.slice').first()
    await slice.scrollIntoViewIfNeeded()
    const bar = slice.locator('.bar-mm')
    const ground = (await slice.locator('.ground').boundingBox())!
    const length = Number.parseInt((await bar.textContent())!, 10)
    // 96 pixels of 1.5 mm
    expect((await bar.boundingBox())!.width / ground.width).toBeCloseTo(length / 144, 2)
    const outline = page.locator('path.outline.tumor').first()
    expect(await page.evaluate("getComputedStyle(document.querySelector('path.outline.tumor')).stroke")).toBe(
      'rgb(255, 190, 0)',
    )
    const drawn = (await outline.boundingBox())!
    const around = (await page.locator('.ground:has(path.outline.tumor)').first().boundingBox())!
    expect(drawn.width / around.width).toBeCloseTo(23 / 96, 1)
  })

  it('prints without the parts that only a screen can use', async () => {
    const { page } = await open(PAGES.report(), 1400, 'light')
    await page.emulateMedia({ media: 'print' })
    expect(await page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX")).toBe(
      'visible',
    )
    expect(await page.locator('nav').isVisible()).toBe(false)
  })
})
