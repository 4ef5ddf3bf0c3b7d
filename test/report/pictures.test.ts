import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import { parseTumorPicture, type TumorPicture } from '../../src/report/pictures.js'
import { pictureFile } from './example-events.js'

describe('a picture file', () => {
  test('is read as the runtime wrote it', () => {
    const picture = parseTumorPicture('pictures/a.json', pictureFile()) as TumorPicture
    expect(picture).toMatchObject({
      attempt: '11/3/0',
      where: 'step 12',
      verdict: null,
      organ: 'liver',
      size: 'tiny',
      shareSeen: 0.85,
    })
    expect([...picture.planes[0]!.synthetic]).toEqual([0, 1, 2, 3, 4, 5])
    expect(picture).toMatchObject({ choice: 'spread', diameterMm: null, windowHu: null, whole: null })
    expect(picture.planes[0]!.pixelMm).toBeNull()
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
    expect(parseTumorPicture('a', pictureFile({ shareSeen: null }))).toMatchObject({ shareSeen: null })
  })

  test('holds window, diameter and pixel size, and may hold the whole slice', () => {
    const [plane] = pictureFile().planes
    const whole = { ...plane, image: plane!.host, pixelMm: [2, 2] }
    const planes = [{ ...plane, pixelMm: [1, 1.5] }]
    expect(
      parseTumorPicture('a', pictureFile({ windowHu: [-175, 250], diameterMm: 12.5, planes, whole })),
    ).toMatchObject({
      windowHu: [-175, 250],
      diameterMm: 12.5,
      planes: [{ pixelMm: [1, 1.5] }],
      whole: { pixelMm: [2, 2] },
    })
  })

  test('of a real tumor has one image', () => {
    expect(parseTumorPicture('a', pictureFile({ kind: 'real' }))).toMatchObject({
      kind: 'real',
      where: 'step 12',
      plane: { width: 3, image: Buffer.from([0, 1, 2, 3, 4, 5]) },
    })
    expect(parseTumorPicture('a', pictureFile({ kind: 'real', case: 'Mine/a' }))).toMatchObject({
      where: 'Mine/a',
    })
  })

  test.each([
    ['step', { step: -1 }],
    ['organ', { organ: 3 }],
    ['shareSeen', { shareSeen: 'much' }],
    ['planes', { planes: [] }],
    ['windowHu', { windowHu: [1] }],
    ['diameterMm', { diameterMm: 'wide' }],
    ['pixelMm', { planes: [{ ...pictureFile().planes[0], pixelMm: [0, 1] }] }],
    ['pixelMm', { planes: [{ ...pictureFile().planes[0], pixelMm: [1, 1e9] }] }],
    ['whole', { whole: 7 }],
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
