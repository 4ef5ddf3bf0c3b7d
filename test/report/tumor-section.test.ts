import { describe, expect, test } from 'vitest'
import { parseTumorPicture, type RealTumor, type TumorPicture } from '../../src/report/pictures.js'
import {
  doubledDifference,
  type Example,
  similarPairs,
  tumorSection,
} from '../../src/report/tumor-section.js'
import { pictureFile } from './example-events.js'

const example = (changes: Partial<Example> = {}): Example => ({
  ...(parseTumorPicture('a', pictureFile({ kind: 'tumor', windowHu: [-175, 250] })) as TumorPicture),
  decided: null,
  diameterMm: 10,
  ...changes,
})
const real = (changes: Partial<RealTumor> = {}): RealTumor => ({
  ...(parseTumorPicture('a', pictureFile({ kind: 'real' })) as RealTumor),
  diameterMm: 10,
  ...changes,
})
const section = (examples: readonly Example[], tumors: readonly RealTumor[] = []): string =>
  tumorSection(null, { examples, real: tumors, hint: 'Do this.' })

/** The words of a page, without tags. */
const words = (html: string): string => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')

describe('accepted and rejected tumors', () => {
  test('stand side by side for each organ, with the measure that decided', () => {
    const text = words(
      section([
        example({ verdict: 'accepted', decided: 'detected fraction 85 %, threshold 70 %' }),
        example({ verdict: 'rejected', decided: 'detected fraction 12 %, threshold 70 %' }),
        example({ verdict: 'rejected', organ: 'kidney' }),
      ]),
    )
    expect(text).toMatch(
      /Kidney accepted No kidney tumor with a picture was accepted\. rejected .*Liver accepted/,
    )
    expect(text).toMatch(/Liver accepted .*85 %, threshold 70 %.* rejected .*12 %, threshold 70 %/)
    expect(text).toContain('Window −175 to 250 HU.')
  })

  test('are the first of each size, from tiny to large', () => {
    const sizes = ['large', 'tiny', 'tiny', 'small', 'small', 'tiny']
    const html = section(sizes.map((size, at) => example({ size, verdict: 'accepted', where: `step ${at}` })))
    expect(
      [...words(html).matchAll(/(\w+) liver tumor, 10 mm baseline detects 85 % · (step \d)/g)].map((m) =>
        m.slice(1),
      ),
    ).toEqual([
      ['tiny', 'step 1'],
      ['small', 'step 3'],
      ['large', 'step 0'],
    ])
  })

  test('of a training without verdicts are shown without columns', () => {
    const text = words(section([example()]))
    expect(text).toContain('Painted tumors')
    expect(text).not.toContain('rejected')
  })
})

describe('a real tumor', () => {
  test('is paired with the synthetic one of its organ that is most alike in diameter, each at most once', () => {
    const synthetic = [
      example({ where: 'too large', diameterMm: 30 }),
      example({ where: 'near', diameterMm: 12 }),
      example({ where: 'nearest', diameterMm: 11 }),
      example({ where: 'rejected', diameterMm: 10, verdict: 'rejected' }),
      example({ where: 'other organ', organ: 'kidney' }),
    ]
    const pairs = similarPairs(synthetic, [real({ where: 'a' }), real({ where: 'b', diameterMm: 13 })])
    expect(pairs.map(([one, other]) => [one.where, other.where])).toEqual([
      ['b', 'near'],
      ['a', 'nearest'],
    ])
  })

  test('has the scale of the synthetic one', () => {
    const html = section([example({ choice: 'spread' })], [real()])
    const boxes = [...html.slice(0, html.indexOf('Over the training')).matchAll(/viewBox="([^"]*)"/g)]
    expect(boxes.map(([, box]) => box)).toEqual(['0 0 28 28', '0 0 28 28'])
  })

  test('that is missing is named, with what to do', () => {
    expect(words(section([example()]))).toContain('No picture of a real tumor was kept')
    expect(words(section([example()], [real({ organ: 'kidney' })]))).toContain('No real tumor has the organ')
  })
})

test('a whole slice is shown where a file has one', () => {
  const [plane] = pictureFile().planes
  const whole = { ...plane, image: plane!.host }
  const picture = parseTumorPicture('a', pictureFile({ whole })) as TumorPicture
  expect(words(section([{ ...picture, decided: null }]))).toContain('Whole slices')
  expect(words(section([example()]))).not.toContain('Whole slices')
})

test('a section without pictures names what to do', () => {
  expect(words(section([]))).toContain('There are no example pictures. Do this.')
})

test('the difference is doubled around mid-grey', () => {
  const [host, synthetic] = [Uint8Array.of(10, 100, 0, 255), Uint8Array.of(10, 90, 255, 0)]
  expect([...doubledDifference({ host, synthetic })]).toEqual([128, 108, 255, 0])
})
