import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import type { RunControl } from '../../src/pipeline/ports/runs.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { hasChromium, missing, openPage, violationsOf } from './browser-page.js'
import { examplePicture, REJECTED, writeExamples, writePicture } from './example-pictures.js'
import { appendEvents, eventsOf, NOBODY, STARTED, stepEvent, writeRun } from './runs.js'

const HOSTILE = '<img src=x onerror="globalThis.attacked = true"><script>globalThis.attacked = true</script>'

async function folderOfRuns(...names: readonly string[]): Promise<string> {
  const folder = temporaryFolder()
  for (const name of names) await writeRun(join(folder, name), [STARTED, ...eventsOf(20)])
  return folder
}

describe.skipIf(!hasChromium)(`the page in Chromium${missing}`, () => {
  it.each([false, true])('lists runs, shows one live and overlays two; dark: %s', async (dark) => {
    const folder = await folderOfRuns('first', 'second')
    const { page, faults } = await openPage(folder, { dark })
    await page.locator('.runs tbody tr').nth(1).waitFor()
    expect(await violationsOf(page)).toEqual([])
    await page.getByRole('link', { name: 'debug-segmentation' }).first().focus()
    await page.keyboard.press('Enter')
    await page.locator('.plot canvas').first().waitFor()
    await page.getByText('Keys that differ from the defaults').waitFor()
    expect(await isPainted(page)).toBe(true)
    expect(await page.locator('.chart:visible h3').allTextContents()).toEqual([
      'Losses ',
      'Detected fraction ',
      'Accepted tumors ',
      'Learning rate ',
      'Seconds per step ',
      'Data wait ',
      'Utilization of the device ',
      'Memory of rank 0 ',
    ])
    await page.locator('#tumor-detail').selectOption('size')
    await page.locator('.legend', { hasText: 'liver, small' }).first().waitFor()
    await page.locator('summary', { hasText: 'Logs' }).click()
    await page.locator('pre.log', { hasText: 'last line' }).waitFor()
    const shown = (await page.locator('.path').first().textContent())!
    appendEvents(shown, [stepEvent(20, 0.123)])
    await page.locator('.legend b', { hasText: '0.123' }).waitFor()
    expect(await page.locator('[role=img]').first().getAttribute('aria-label')).toBe(
      'Losses by step: total from 1.00 to 0.123.',
    )
    expect(await violationsOf(page)).toEqual([])
    await page.getByRole('link', { name: 'All runs' }).click()
    for (const at of [0, 1]) await page.getByRole('checkbox').nth(at).check()
    await page.getByRole('button', { name: 'Overlay 2 runs' }).click()
    await page.locator('.legend li', { hasText: '(second)' }).first().waitFor()
    await page.locator('.plot canvas').first().waitFor()
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })

  it('removes the token from the address and the history, and keeps it in the tab', async () => {
    const { page, url } = await openPage(await folderOfRuns('first'))
    await page.locator('.runs tbody tr').first().waitFor()
    const token = new URL(url).hash.slice('#token='.length)
    expect(page.url()).not.toContain(token)
    expect(await page.context().cookies()).toEqual([])
    await page.reload()
    await page.locator('.runs tbody tr').first().waitFor()
    await page.goBack()
    expect(page.url()).not.toContain(token)
  })

  it('shows what to do without runs, without a token and without a server', async () => {
    const { page, url } = await openPage(temporaryFolder())
    await page.getByText('freetumor train --config debug-baseline').waitFor()
    expect(await violationsOf(page)).toEqual([])
    const other = await page.context().newPage()
    await other.goto(new URL('/', url).href)
    await other.getByRole('heading', { name: 'This tab has no token.' }).waitFor()
    await page.route('**/api/**', (route) => route.abort())
    await page.getByRole('heading', { name: 'The server does not answer.' }).waitFor()
  })

  it('shows text of files as text', async () => {
    const folder = await folderOfRuns('first')
    const run = join(folder, 'first')
    const note = { time: STARTED.time, type: 'note', level: 'warning', text: HOSTILE }
    const losses = { ...stepEvent(20), losses: { [HOSTILE]: 1 } }
    appendEvents(run, [{ ...STARTED, device: HOSTILE }, note, losses])
    writeFileSync(
      join(run, 'failure.json'),
      JSON.stringify({
        kind: HOSTILE,
        rank: 0,
        message: HOSTILE,
        hint: HOSTILE,
        lastLines: [HOSTILE],
        logs: HOSTILE,
        time: HOSTILE,
      }),
    )
    writeFileSync(join(run, 'logs/node-0/rank-0/output.log'), HOSTILE)
    const { page, faults } = await openPage(folder)
    await page.locator('.runs td', { hasText: '<img' }).waitFor()
    await page.getByRole('link', { name: 'debug-segmentation' }).click()
    await page.locator('.failure pre', { hasText: '<img' }).waitFor()
    await page.locator('.events .warning', { hasText: '<img' }).waitFor()
    await page.locator('summary', { hasText: 'Logs' }).click()
    await page.locator('pre.log', { hasText: '<img' }).waitFor()
    expect(await page.evaluate(() => 'attacked' in globalThis)).toBe(false)
    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(faults).toEqual([])
  })

  it.each([false, true])('shows accepted next to rejected tumors of an organ; dark: %s', async (dark) => {
    const folder = await folderOfRuns('first')
    writeExamples(join(folder, 'first'))
    const { page, faults } = await openPage(folder, { dark })
    await page.getByRole('link', { name: 'debug-segmentation' }).click()
    const examples = page.getByRole('region', { name: 'Example tumors' })
    await examples.getByRole('heading', { name: 'liver' }).waitFor()
    const figureOf = (verdict: string) =>
      examples.locator('.verdicts > div', { has: page.getByRole('heading', { name: verdict }) })
    await figureOf('accepted').getByText('detected fraction 90.0 %, threshold 50 %').waitFor()
    await figureOf('rejected').getByText('detected fraction 20.0 %, threshold 50 %').waitFor()
    await examples.getByText('real: 13 mm, step 3').waitFor()
    const names = await figureOf('rejected')
      .getByRole('img')
      .evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')))
    expect(names).toEqual(
      ['host', 'synthetic', 'difference', 'mask'].map(
        (title) => `${title} of a small liver tumor, 12 mm, axial slice`,
      ),
    )
    expect(await middlePixels(page, '.examples .verdicts canvas')).toEqual([90, 140, 228, 140])
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })

  it('states what to do without example tumors, and shows text of a picture file as text', async () => {
    const folder = await folderOfRuns('first')
    const { page, faults } = await openPage(folder)
    await page.getByRole('link', { name: 'debug-segmentation' }).click()
    await page.getByText('They appear here when the training paints its first tumors.').waitFor()
    expect(await violationsOf(page)).toEqual([])
    const hostile = examplePicture({ ...REJECTED, organ: HOSTILE, size: HOSTILE })
    writePicture(join(folder, 'first'), 'tumor_00000006_12_0_x_rejected', hostile)
    writePicture(join(folder, 'first'), 'tumor_00000007_12_0_x_rejected', { planes: HOSTILE })
    await page.reload()
    await page.locator('.examples h3', { hasText: '<img' }).waitFor()
    await page.locator('.examples figcaption', { hasText: '<img' }).waitFor()
    await page.locator('.examples .warning', { hasText: 'planes: wrong value' }).waitFor()
    expect(await page.evaluate(() => 'attacked' in globalThis)).toBe(false)
    expect(await page.locator('main img, main script').count()).toBe(0)
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })

  it('sends commands, and shows the step at which each took effect', async () => {
    const folder = await folderOfRuns('first')
    let phase = 'training'
    const sent: unknown[] = []
    const control: RunControl = {
      pause: async () => {
        phase = 'paused'
        return 21
      },
      unpause: async () => 22,
      checkpoint: async () => 23,
      setLearningRate: async (value) => sent.push(value) + 23,
      stop: async (reason) => sent.push(reason) + 23,
      close: () => {},
    }
    const status = async () =>
      ({ phase, step: 21, steps: 100, stepsPerSecond: 1.5, secondsLeft: 53 }) as never
    const processes = { ...NOBODY, status, connect: async () => control }
    const { page, faults } = await openPage(folder, { control: true, processes })
    await page.locator('.runs td', { hasText: '1.5 steps/s' }).waitFor()
    await page.getByRole('link', { name: 'debug-segmentation' }).click()
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText('Paused at step 21.').waitFor()
    await page.locator('button:enabled', { hasText: 'Continue' }).waitFor()
    await page.getByLabel('Learning rate', { exact: true }).fill('5e-5')
    await page.keyboard.press('Enter')
    await page.getByText('Learning rate set to 0.00005 at step 24.').waitFor()
    expect(await violationsOf(page)).toEqual([])
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByRole('button', { name: 'Confirm stop' }).click()
    await page.getByText('Stopped at step 25.').waitFor()
    expect(sent).toEqual([5e-5, 'freetumor studio'])
    expect(faults).toEqual([])
  })
})

/** Return whether the first chart has pixels of more than one colour. */
async function isPainted(page: Page): Promise<boolean> {
  return await page.evaluate<boolean>(`{
    const canvas = document.querySelector('.plot canvas')
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    new Set(new Uint32Array(data.buffer)).size > 2
  }`)
}

/** Return the grey value in the middle of the first four canvases. */
async function middlePixels(page: Page, selector: string): Promise<number[]> {
  return await page.evaluate<number[]>(`
    [...document.querySelectorAll(${JSON.stringify(selector)})].slice(0, 4).map((canvas) => {
      const { width, height } = canvas
      return canvas.getContext('2d').getImageData(width / 2, height / 2, 1, 1).data[0]
    })
  `)
}
