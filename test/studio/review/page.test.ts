import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { decisionsOf, readReviews } from '../../../src/quality/reviews.js'
import { PLANES, toPixel } from '../../../src/studio/page/review/slices.js'
import type { Vec3 } from '../../../src/volume/volume.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { until } from '../../helpers/until.js'
import { hasChromium, missing, type OpenedPage, openPage, violationsOf } from '../browser-page.js'
import { linesOf } from '../runs.js'
import { type SyntheticSet, writeSyntheticSet, writeVolume } from './synthetic-set.js'

const HOSTILE = '<img src=x onerror="globalThis.attacked = true">'
const VIEWPORT = { width: 1440, height: 900 }

async function openReview(
  made: SyntheticSet,
  options: Parameters<typeof openPage>[1] = {},
  kind = 'synthetic data set',
): Promise<OpenedPage> {
  const opened = await openPage(made.folder, { control: true, viewport: VIEWPORT, ...options })
  const { page } = opened
  await page.getByRole('link', { name: 'Data', exact: true }).click()
  await page.locator('tr', { hasText: kind }).getByRole('link').first().click()
  await page.locator('canvas[data-sight]').first().waitFor()
  return opened
}

/** The colours of a canvas at points in millimetres; null outside the canvas. */
async function coloursAt(page: Page, label: string, points: readonly Vec3[]): Promise<(number[] | null)[]> {
  const canvas = page.getByRole('img', { name: label })
  const [sight, width, height] = (await canvas.evaluate((one) => {
    const { dataset, width, height } = one as unknown as {
      dataset: { sight: string }
      width: number
      height: number
    }
    return [JSON.parse(dataset.sight), width, height]
  })) as [number[], number, number]
  const [mmPerPixel, ...centreMm] = sight
  const plane = PLANES.find(({ name }) => label.endsWith(name))!
  const at = points.map((mm) =>
    toPixel({ plane, centreMm: centreMm as unknown as Vec3, mmPerPixel: mmPerPixel!, width, height }, mm),
  )
  return await canvas.evaluate((one, places) => {
    const context = (one as unknown as { getContext(kind: string): CanvasLike }).getContext('2d')
    return places.map(([x, y]) =>
      [...context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data].slice(0, 3),
    )
  }, at)
}

interface CanvasLike {
  getImageData(x: number, y: number, width: number, height: number): { data: Uint8ClampedArray }
}

/** Return the number of different colours of each canvas. */
async function coloursOfCanvases(page: Page): Promise<number[]> {
  return await page.evaluate<number[]>(`[...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return new Set(new Uint32Array(data.buffer)).size
  })`)
}

describe.skipIf(!hasChromium)(`the viewer in Chromium${missing}`, () => {
  it.each([false, true])('shows a tumor in twelve views with one crosshair; dark: %s', async (dark) => {
    const made = writeSyntheticSet(temporaryFolder())
    const { page, faults } = await openReview(made, { dark })
    const names = ['Host', 'Synthetic', 'Difference', 'Mask']
    const [tumor] = made.tumors
    await page.locator('.view-head', { hasText: 'liver tumor' }).waitFor()
    for (const plane of PLANES) {
      const [x, y, z] = tumor!.centreMm
      // beside the crosshair, inside the tumor of 4.5 x 4.5 x 6 mm; and outside it
      const inside = [x, y, z].map((mm, axis) => (axis === plane.through ? mm : mm + 1.2)) as unknown as Vec3
      const outside = [x, y, z].map((mm, axis) => (axis === plane.through ? mm : mm + 5.2)) as unknown as Vec3
      const colours = new Map<string, (number[] | null)[]>()
      for (const name of names)
        colours.set(name, await coloursAt(page, `${name}, ${plane.name}`, [inside, outside]))
      const [host, synthetic, difference, mask] = names.map((name) => colours.get(name)!)
      expect(mask![0], plane.name).toEqual([255, 190, 0])
      expect(mask![1]).not.toEqual([255, 190, 0])
      // 60 to 68 HU in the window from -160 to 240, and 90 HU less
      expect(host![0]![0]).toBeGreaterThan(135)
      expect(host![0]![0]).toBeLessThan(150)
      expect(synthetic![0]![0]! - host![0]![0]!).toBeCloseTo((-90 / 400) * 255, -1)
      expect(difference![0]![2]! - difference![0]![0]!).toBeGreaterThan(100)
      expect(difference![1]).toEqual([32, 32, 32])
    }
    expect(Math.min(...(await coloursOfCanvases(page)))).toBeGreaterThan(5)
    expect(await violationsOf(page)).toEqual([])
    await page.keyboard.press('?')
    await page.getByRole('heading', { name: 'Keys' }).waitFor()
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })

  it('takes decisions on 100 tumors by keys alone', async () => {
    const made = writeSyntheticSet(temporaryFolder(), 10, 10)
    const { page, faults } = await openReview(made)
    await page.keyboard.press('a')
    await page.getByText('Enter your name first').waitFor()
    await page.keyboard.type('Ana')
    await page.keyboard.press('Enter')
    const decided = (count: number): Promise<void> => page.getByText(`${count} decided`).waitFor()
    for (let at = 0; at < 100; at++) {
      if (at % 4 === 3) {
        await page.keyboard.press('r')
        await page.keyboard.press('1')
      } else await page.keyboard.press('a')
      await decided(at + 1)
    }
    await page.keyboard.press('u')
    await page.getByText('Withdrawn').waitFor()
    await decided(99)
    const lines = await readReviews(join(made.set, 'reviews.jsonl'))
    expect(lines).toHaveLength(101)
    const decisions = decisionsOf(lines)
    expect(decisions.map(({ case: id, tumor, joint }) => [id, tumor, joint])).toEqual(
      made.tumors
        .slice(0, 99)
        .map(({ case: id, tumor }, at) => [id, tumor, at % 4 === 3 ? 'reject' : 'accept']),
    )
    expect(new Set(lines.map(({ reason }) => reason))).toEqual(new Set([null, 'edge']))
    expect(faults).toEqual([])
  })

  it('moves one crosshair in all views, and changes window, planes, zoom and blink by keys', async () => {
    const { page, faults } = await openReview(writeSyntheticSet(temporaryFolder()))
    const sights = (): Promise<string[]> =>
      page.locator('canvas').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')!))
    const sightOf = (name: string): Promise<string | null> =>
      page.getByRole('img', { name }).getAttribute('data-sight')
    await page.locator('.view-head', { hasText: 'liver tumor' }).waitFor()
    const before = await sights()
    await page.keyboard.press('PageUp')
    await until(async () => (await sights()).join() !== before.join())
    const after = await sights()
    expect(after.filter((label, at) => label !== before[at])).toHaveLength(4)
    const whole = await sightOf('Host, axial')
    await page.keyboard.press('z')
    await until(async () => (await sightOf('Host, axial')) !== whole)
    expect(JSON.parse((await sightOf('Mask, axial'))!)).toEqual(JSON.parse((await sightOf('Host, axial'))!))
    await page.keyboard.press('4')
    await page.locator('button[aria-pressed=true]', { hasText: 'Bone' }).waitFor()
    await page.keyboard.press('b')
    await page.getByRole('heading', { name: 'Host (blink)' }).waitFor()
    await page.keyboard.press('v')
    await page.getByRole('img', { name: 'Host, coronal' }).waitFor({ state: 'hidden' })
    const axial = page.getByRole('img', { name: 'Host, axial' })
    const { x, y, width, height } = (await axial.boundingBox())!
    const labels = await sights()
    await page.mouse.click(x + width / 2 + 20, y + height / 2 - 10)
    await page.keyboard.press('v')
    await until(async () => (await sights()).join() !== labels.join())
    expect(faults).toEqual([])
  })

  it('filters the list, and shows the decisions of another reviewer', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const { page, url, faults } = await openReview(made)
    await page.getByText('6 of 8 tumors').waitFor()
    await page.getByLabel('size').selectOption('large')
    await page.getByText('2 of 8 tumors').waitFor()
    await page.getByLabel('size').selectOption('')
    await page.getByLabel('Measure', { exact: true }).selectOption('measure shareSeen')
    await page.getByLabel('min of the measure').fill('0.515')
    await page.getByText('2 of 8 tumors').waitFor()
    await page.getByLabel('min of the measure').fill('')
    await page.getByLabel('Reviewer', { exact: true }).last().fill('Ana')
    await page.keyboard.press('Enter')
    await page.keyboard.press('a')
    await page.getByText('1 decided').waitFor()
    const other = await page.context().newPage()
    await other.goto(url)
    await other.goto(page.url())
    await other.locator('.item-decision[aria-label="accepted by review"]').waitFor()
    await other.getByLabel('Decision').selectOption('none')
    await other.getByText('5 of 8 tumors').waitFor()
    expect(faults).toEqual([])
  })

  it('shows what to do without a host, without a scan and without --control', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    renameSync(made.hosts, join(temporaryFolder(), 'hosts'))
    const { page, faults } = await openReview(made, { control: false })
    await page.getByText('is not below the given folders').first().waitFor()
    await page.getByText('Read only. Start').waitFor()
    await page.keyboard.press('a')
    expect(await violationsOf(page)).toEqual([])
    await page.getByLabel('Scan', { exact: true }).selectOption('none')
    await page.locator('.item').first().click()
    await page.getByText('This rejected attempt was not kept.').first().waitFor()
    expect(faults).toEqual([])
  })

  it('shows an evaluation with a damaged scan, and text of files as text', async () => {
    const folder = temporaryFolder()
    const evaluation = join(folder, 'evaluation')
    mkdirSync(evaluation)
    writeVolume(join(folder, 'label.nii.gz'), 'uint8', (i) => (i < 8 ? 2 : 0))
    writeVolume(join(folder, 'prediction.nii.gz'), 'uint8', (i) => (i < 6 ? 2 : 0))
    writeFileSync(join(folder, 'scan.nii.gz'), 'no volume')
    const measured = { caseId: HOSTILE, labels: [], tumor: { dice: 0.5 }, lesions: [] }
    writeFileSync(join(evaluation, 'summary.json'), '{}')
    writeFileSync(join(evaluation, 'measures.jsonl'), linesOf([measured]))
    writeFileSync(
      join(evaluation, 'files.json'),
      JSON.stringify({
        labels: [{ id: 2, name: HOSTILE, tumor: true }],
        cases: [
          {
            case: HOSTILE,
            scan: join(folder, 'scan.nii.gz'),
            label: join(folder, 'label.nii.gz'),
            prediction: join(folder, 'prediction.nii.gz'),
          },
        ],
      }),
    )
    const made = { folder, set: '', hosts: '', tumors: [] }
    const { page, faults } = await openReview(made, {}, 'evaluation')
    await page.locator('.view-note:visible', { hasText: 'scan.nii.gz' }).waitFor()
    await page.locator('.item-detail', { hasText: '<img' }).waitFor()
    expect(await coloursAt(page, 'Errors, axial', [])).toEqual([])
    expect(await page.evaluate(() => 'attacked' in globalThis)).toBe(false)
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })

  it('shows what to do without data', async () => {
    const { page, faults } = await openPage(temporaryFolder())
    await page.getByRole('link', { name: 'Data', exact: true }).click()
    await page.getByText('freetumor studio synthetic scans --control').waitFor()
    expect(await violationsOf(page)).toEqual([])
    expect(faults).toEqual([])
  })
})
