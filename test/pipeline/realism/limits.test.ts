import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../../src/errors.js'
import { exceededLimits, parseLimit, readLimits } from '../../../src/pipeline/realism/limits.js'
import type { RealismMeasure } from '../../../src/pipeline/realism/result.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const n = { synthetic: 30, real: 30, syntheticPatients: 10, realPatients: 10, patientsOfBothSides: 0 }
function measure(name: string, organ: string, value: number | null): RealismMeasure {
  const notMeasured = value === null ? 'not measured: 3 synthetic and 30 real tumors' : null
  return { name, organ, size: 'all', value, ci: null, p: null, null: null, unit: 'AUC', n, notMeasured }
}
const measures = [
  measure('classifierAuc', 'all', 0.7),
  measure('classifierAuc', 'liver', 0.9),
  measure('frechetTumor', 'all', null),
]

describe('limits', () => {
  test('hold up to their value, for the organ that they name', () => {
    expect(exceededLimits([{ measure: 'classifierAuc', max: 0.7 }], measures, 0)).toEqual([])
    expect(exceededLimits([{ measure: 'classifierAuc', organ: 'liver', max: 0.8 }], measures, 0)).toEqual([
      { measure: 'classifierAuc', organ: 'liver', size: 'all', max: 0.8, value: 0.9 },
    ])
  })

  test('do not hold for a figure that was not measured', () => {
    const limits = [
      { measure: 'frechetTumor', max: 100 },
      { measure: 'classifierAuc', organ: 'kidney', max: 1 },
      { measure: 'copies', max: 5 },
    ]
    expect(exceededLimits(limits, measures, null).map(({ value }) => value)).toEqual([null, null, null])
  })

  test('count copies', () => {
    expect(exceededLimits([{ measure: 'copies', max: 0 }], measures, 2)).toMatchObject([{ value: 2 }])
  })

  test('are parsed from a word', () => {
    expect(parseLimit('classifierAuc=0.8')).toEqual({ measure: 'classifierAuc', max: 0.8 })
    expect(() => parseLimit('classifierAuc')).toThrow(/expected MEASURE=MAX, found classifierAuc/)
    expect(() => parseLimit('clasifierAuc=1')).toThrow(
      expect.objectContaining({ commandHint: 'did you mean classifierAuc?' }),
    )
  })

  test.each([
    [{ organ: 'livr' }, 'unknown organ livr', 'did you mean liver?'],
    [{ size: 'tiny' }, 'unknown size tiny', expect.stringContaining('under 10 mm')],
    [{ measure: 'frechet' }, 'unknown measure frechet', expect.stringContaining('frechetTumor')],
  ])('with a word that no figure has are refused: %j', async (word, message, commandHint) => {
    const file = join(temporaryFolder(), 'limits.json')
    writeFileSync(file, JSON.stringify({ limits: [{ measure: 'copies', max: 0, ...word }] }))
    await expect(readLimits(file)).rejects.toMatchObject({
      message: expect.stringContaining(`limits.0: ${message}`),
      commandHint,
    })
  })

  test('are read from a file', async () => {
    const file = join(temporaryFolder(), 'limits.json')
    writeFileSync(file, JSON.stringify({ limits: [{ measure: 'frechetTumor', organ: 'liver', max: 4 }] }))
    expect(await readLimits(file)).toEqual([{ measure: 'frechetTumor', organ: 'liver', size: 'all', max: 4 }])
  })

  test.each([
    ['{}', /no limits/],
    ['{"limits": [{"measure": "frechetTumor"}]}', /limits\.0: wrong limit/],
    ['{"limits": [{"measure": "frechetTumor", "max": 1, "min": 0}]}', /limits\.0: wrong limit/],
    ['{"limits": [{"measure": "beauty", "max": 1}]}', /unknown measure beauty/],
  ])('of a wrong file are refused: %s', async (content, message) => {
    const file = join(temporaryFolder(), 'limits.json')
    writeFileSync(file, content)
    await expect(readLimits(file)).rejects.toThrow(message)
    await expect(readLimits(file)).rejects.toBeInstanceOf(UsageError)
  })
})
