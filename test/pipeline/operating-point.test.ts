import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError, DataError } from '../../src/errors.js'
import { fitOperatingPoint } from '../../src/evaluation/operating-fit.js'
import type { LesionOperatingPoint } from '../../src/evaluation/operating-point.js'
import {
  compareWithFit,
  type OpenedOperatingPoint,
  operatingPointSpec,
  readOperatingPoint,
} from '../../src/pipeline/operating-point.js'
import { temporaryFolder } from '../helpers/temporary.js'

const SETTINGS = {
  checkpoints: [{ sha256: 'ab'.repeat(32), patchMerging: null }],
  maskIds: [0, 1, 2],
  grid: 'original',
  mirrorAxes: [],
  probabilities: [2],
}
const FEATURES = { label: 2, volumeMl: 1, elongation: 1, compactness: 1, organContact: 1 }
const predicted = (probability: number, touches: readonly number[]) => ({
  features: { ...FEATURES, probability, meanProbability: probability },
  touches,
})
const point: LesionOperatingPoint = {
  ...fitOperatingPoint(
    [
      { caseId: 'h', healthy: true, numTrue: 0, predicted: [predicted(0.25, [])] },
      { caseId: 's', healthy: false, numTrue: 1, predicted: [predicted(0.75, [0])] },
    ],
    { rate: 1 },
  ),
  prediction: SETTINGS,
}
const opened = (changes: Partial<LesionOperatingPoint> = {}): OpenedOperatingPoint => ({
  file: 'point.json',
  sha256: 'cd',
  point: { ...point, ...changes },
})

describe('a file of an operating point', () => {
  const written = (content: unknown): string => {
    const file = join(temporaryFolder(), 'point.json')
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
    return file
  }

  test('is read with its hash', async () => {
    const read = await readOperatingPoint(written(point))
    expect(read.point).toEqual(point)
    expect(read.sha256).toMatch(/^[0-9a-f]{64}$/)
  })

  test.each([
    ['{', DataError, /is not JSON/],
    [{ ...point, version: 2 }, DataError, /not an operating point at version/],
    [{ ...point, rule: { ...point.rule, threshold: 'high' } }, DataError, /at rule\.threshold/],
    [
      { ...point, rule: { ...point.rule, terms: [{ feature: 'colour', label: null, weight: 1 }] } },
      DataError,
      /at rule\.terms\.0\.feature/,
    ],
    [
      { ...point, rule: { ...point.rule, terms: new Array(65).fill(point.rule.terms[0]) } },
      DataError,
      /at rule\.terms/,
    ],
    [{ format: 'freetumor calibration', version: 1 }, DataError, /not an operating point at/],
  ] as const)('is refused by its wrong part (%#)', async (content, kind, message) => {
    const failure = await readOperatingPoint(written(content)).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(kind)
    expect(String(failure)).toMatch(message)
  })

  test('is an error of the configuration if it is missing', async () => {
    await expect(readOperatingPoint('/nowhere/point.json')).rejects.toThrow(ConfigError)
  })
})

describe('the settings of a fit', () => {
  const compare = (
    settings: Readonly<Record<string, unknown>> | null,
    changes: Partial<LesionOperatingPoint> = {},
  ) => {
    const warnings: string[] = []
    compareWithFit(opened(changes), settings, 'masks', (text) => warnings.push(text))
    return warnings
  }

  test('fit the same prediction, whatever probabilities it writes', () => {
    expect(compare({ ...SETTINGS, probabilities: [], dataType: 'scan' })).toEqual([])
  })

  test.each([
    ['checkpoints', [{ sha256: 'ef'.repeat(32), patchMerging: null }]],
    ['maskIds', [0, 0, 1]],
    ['grid', 'prepared'],
    ['plugin', { command: ['x'] }],
  ])('refuse another %s', (key, value) => {
    expect(() => compare({ ...SETTINGS, [key]: value })).toThrow(DataError)
    expect(() => compare({ ...SETTINGS, [key]: value })).toThrow(
      new RegExp(`^point\\.json: fitted for another prediction \\(expected ${key} `),
    )
  })

  test('warn about settings that shift probabilities, and about unknown ones', () => {
    expect(compare({ ...SETTINGS, mirrorAxes: [0] })).toEqual([
      'masks: other settings than those of point.json (mirrorAxes): its figures may not hold',
    ])
    expect(compare(null)).toEqual([
      expect.stringMatching(/^masks: the checkpoint of the masks is not stated/),
    ])
    expect(compare(SETTINGS, { prediction: null })).toEqual([
      expect.stringMatching(/^point\.json: the checkpoint of the masks is not stated/),
    ])
  })
})

test('a rule of a label that the mask lacks is refused', () => {
  const terms = [{ feature: 'label' as const, label: 4, weight: 1 }]
  const rule = { terms, intercept: 0, threshold: null }
  expect(() => operatingPointSpec(opened({ rule }), [2])).toThrow(
    /expected a tumor id of the mask: 2, found 4/,
  )
  expect(operatingPointSpec(opened({ rule }), [2, 4])).toEqual({
    tumorIds: [2, 4],
    terms,
    intercept: 0,
    threshold: -Number.MAX_VALUE,
  })
})
