import { describe, expect, test } from 'vitest'
import { cutOut, outlinePath, type SliceView, sliceRow, windowText } from '../../src/report/slice-view.js'
import { decodePng } from './decode-png.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

const grid = { name: 'axial', width: 4, height: 2, pixelMm: [10, 20] as const }
const view = (changes: Partial<SliceView> = {}): SliceView => ({
  grid,
  gray: Uint8Array.of(0, 10, 20, 30, 40, 50, 60, 255),
  title: 'host',
  alt: 'a slice',
  ...changes,
})

describe('a slice', () => {
  test('has its pixels, its size in mm, an alternative text and a title', () => {
    const html = sliceRow([view()])
    expect(html).toContain('viewBox="0 0 40 40" role="img" aria-label="a slice"')
    expect(html).toContain('<g transform="scale(10 20)"><image width="4" height="2"')
    expect(html).toContain('<p aria-hidden="true">host</p>')
    const png = decodePng(Buffer.from(/base64,([\w+/=]+)/.exec(html)![1]!, 'base64'))
    expect([png.width, png.height, png.channels]).toEqual([4, 2, 1])
    expect([...png.samples]).toEqual([0, 10, 20, 30, 40, 50, 60, 255])
  })

  test.each([
    ['axial', 'RLAP'],
    ['coronal', 'RLSI'],
    ['sagittal', 'APSI'],
  ])('shows the sides of an %s plane', (name, letters) => {
    const html = sliceRow([view({ grid: { ...grid, name } })])
    expect([...html.matchAll(/<i class="side\d">(.)<\/i>/g)].map(([, letter]) => letter).join('')).toBe(
      letters,
    )
  })

  test.each([
    [40, 10, '25.0%', '10 mm'],
    [400, 100, '25.0%', '100 mm'],
    [7, 2, '28.6%', '2 mm'],
  ])('of %s mm has a scale bar of %s mm at that share of its width', (mm, _, share, text) => {
    const html = sliceRow([view({ grid: { ...grid, pixelMm: [mm / 4, 1] } })])
    expect(html).toContain(`style="width:${share}">${text}</i>`)
  })

  test('without a known pixel size has no scale bar', () => {
    expect(sliceRow([view({ grid: { ...grid, pixelMm: null } })])).not.toContain('bar-mm')
  })

  test('has marks once for neighbours of the same plane and scale', () => {
    const marks = (...views: SliceView[]): number => sliceRow(views).match(/bar-mm/g)?.length ?? 0
    expect(marks(view(), view())).toBe(1)
    expect(marks(view(), view({ grid: { ...grid, name: 'coronal' } }))).toBe(2)
    expect(marks(view(), view({ grid: { ...grid, pixelMm: [5, 5] } }))).toBe(2)
  })

  test('shows text of files as text', () => {
    expectShownAsText(sliceRow([view({ title: HOSTILE, alt: HOSTILE })]), 2)
  })
})

describe('an outline', () => {
  test('goes along the sides of the pixels, inner borders included', () => {
    expect(outlinePath(Uint8Array.of(0, 1, 1, 0), 4, 1)).toBe('M1 0h2M1 1h2M1 0v1M3 0v1')
    const ring = Uint8Array.of(1, 1, 1, 1, 0, 1, 1, 1, 1)
    expect(outlinePath(ring, 3, 3)).toBe('M0 0h3M1 1h1M1 2h1M0 3h3M0 0v3M1 1v1M2 1v1M3 0v3')
  })

  test('of an empty mask is empty', () => {
    expect(outlinePath(new Uint8Array(6), 3, 2)).toBe('')
  })
})

test('a part of a slice is black outside the slice', () => {
  const part = cutOut(
    Uint8Array.of(1, 2, 3, 4),
    { ...grid, width: 2, height: 2 },
    { x: 1, y: -1, width: 2, height: 3 },
  )
  expect([...part]).toEqual([0, 0, 2, 0, 4, 0])
})

test('a window is named in HU', () => {
  expect(windowText([-175, 250])).toBe('window −175 to 250 HU')
  expect(windowText(null)).toBe('')
})
