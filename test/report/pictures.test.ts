import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import { parseTumorPicture, type TumorPlane, tumorPng } from '../../src/report/pictures.js'
import { decodePng } from './decode-png.js'
import { pictureFile } from './example-events.js'

/** 2 x 2 pixels; the tumor is the pixel at the top right. */
const plane: TumorPlane = {
  name: 'axial',
  width: 2,
  height: 2,
  host: Uint8Array.of(10, 20, 30, 40),
  synthetic: Uint8Array.of(10, 99, 30, 40),
  mask: Uint8Array.of(0, 1, 0, 0),
}

describe('a picture', () => {
  const { width, height, channels, samples } = decodePng(tumorPng([plane]))
  const panel = (width - 18) / 4
  const at = (column: number, x: number, y: number): number[] => {
    const pixel = y * width + column * (panel + 6) + x
    return [...samples.subarray(3 * pixel, 3 * pixel + 3)]
  }
  const gray = (value: number): number[] => [value, value, value]
  const middle = (pixel: number): number => Math.floor((panel / 2) * (pixel + 0.5))

  test('shows host, synthetic, difference and outline side by side, each at least 190 pixels wide', () => {
    expect({ width, height, channels }).toEqual({ width: 4 * 190 + 18, height: 190, channels: 3 })
    expect(at(0, middle(1), middle(0))).toEqual(gray(20))
    expect(at(1, middle(1), middle(0))).toEqual(gray(99))
    expect(at(2, middle(1), middle(0))).toEqual(gray(255))
    expect(at(2, middle(0), middle(0))).toEqual(gray(128))
    expect(at(3, middle(1), middle(0))).toEqual(gray(99))
  })

  test('enlarges each pixel to a square of its own value', () => {
    const half = panel / 2
    for (const [x, y] of [
      [0, 0],
      [half - 1, 0],
      [0, half - 1],
    ] as const)
      expect(at(0, x, y)).toEqual(gray(10))
    expect(at(0, half, 0)).toEqual(gray(20))
    expect(at(0, 0, half)).toEqual(gray(30))
  })

  test('draws the outline along the border of the mask, in the last panel only', () => {
    const [left, right, top, bottom] = [panel / 2, panel - 1, 0, panel / 2 - 1]
    for (const [x, y] of [
      [left, middle(0)],
      [right, middle(0)],
      [middle(1), top],
      [middle(1), bottom],
    ] as const) {
      expect(at(3, x, y)).toEqual([255, 190, 0])
      expect(at(1, x, y)).toEqual(gray(99))
    }
    expect(at(3, left - 1, middle(0))).toEqual(gray(10))
    expect(at(3, middle(1), bottom + 1)).toEqual(gray(40))
  })

  test('shows several planes below each other, also of different sizes', () => {
    const flat = { ...plane, name: 'coronal', height: 1, host: plane.host.subarray(0, 2) }
    const both = decodePng(
      tumorPng([
        plane,
        { ...flat, synthetic: plane.synthetic.subarray(0, 2), mask: plane.mask.subarray(0, 2) },
      ]),
    )
    expect([both.width, both.height]).toEqual([width, 190 + 6 + 95])
  })

  test('is not enlarged if it is wide already', () => {
    const wide = { ...plane, width: 400, height: 1, host: new Uint8Array(400) }
    const png = decodePng(tumorPng([{ ...wide, synthetic: wide.host, mask: wide.host }]))
    expect([png.width, png.height]).toEqual([1618, 1])
  })
})

describe('a picture file', () => {
  test('is read as the runtime wrote it', () => {
    const picture = parseTumorPicture('pictures/a.json', pictureFile())
    expect(picture).toMatchObject({
      attempt: '11/3/0',
      where: 'step 12',
      verdict: null,
      organ: 'liver',
      size: 'tiny',
      shareSeen: 0.85,
    })
    expect([...picture.planes[0]!.synthetic]).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('of an offline synthesis names case and attempt, and holds the verdict', () => {
    const offline = { case: 'Mine/a', variant: 0, tumor: 1, attempt: 2, verdict: 'rejected' }
    expect(parseTumorPicture('a', pictureFile(offline))).toMatchObject({
      attempt: 'Mine/a/0/1/2',
      where: 'Mine/a, variant 0, tumor 1, attempt 3',
      verdict: 'rejected',
    })
  })

  test('may hold no detected fraction without a baseline', () => {
    expect(parseTumorPicture('a', pictureFile({ shareSeen: null })).shareSeen).toBeNull()
  })

  test.each([
    ['step', { step: -1 }],
    ['organ', { organ: 3 }],
    ['shareSeen', { shareSeen: 'much' }],
    ['planes', { planes: [] }],
    ['planes[0]', { planes: [7] }],
    ['mask', { planes: [{ ...pictureFile().planes[0], mask: 'AAAA' }] }],
    ['width and height', { planes: [{ ...pictureFile().planes[0], width: 1e6, height: 1e6 }] }],
  ])('with a wrong %s is refused by name', (where, change) => {
    const read = () => parseTumorPicture('pictures/a.json', { ...pictureFile(), ...change })
    expect(read).toThrow(DataError)
    expect(read).toThrow(`pictures/a.json: ${where}`)
  })

  test('that is not an object is refused', () => {
    for (const value of [null, 3, 'x', [1]])
      expect(() => parseTumorPicture('a.json', value)).toThrow(DataError)
  })
})
