import { describe, expect, it } from 'vitest'
import { type Finding, RULES } from '../../../src/curation/check/finding.js'
import { toSarif } from '../../../src/curation/check/sarif.js'

const finding: Finding = {
  rule: 'hu-wrapped',
  severity: 'error',
  case: 'A/1',
  file: '/data/A #1/ct.nii.gz',
  message: 'values 0 to 65535',
  fix: 'convert it again',
}

describe('toSarif', () => {
  it('gives every finding its rule, level, file and case', () => {
    const report = {
      ok: false,
      numCases: 3,
      findings: [finding, { ...finding, rule: 'padding', severity: 'info' } as const],
    }
    const sarif = toSarif(report, '1.2.3') as {
      version: string
      runs: { tool: { driver: { rules: { id: string }[] } }; results: Record<string, unknown>[] }[]
    }
    expect(sarif.version).toBe('2.1.0')
    const [{ tool, results }] = sarif.runs as [(typeof sarif.runs)[number]]
    expect(tool.driver.rules.map(({ id }) => id)).toEqual(Object.keys(RULES))
    expect(results.map(({ level }) => level)).toEqual(['error', 'note'])
    for (const { ruleId, ruleIndex } of results)
      expect(tool.driver.rules[ruleIndex as number]!.id).toBe(ruleId)
    expect(results[0]).toMatchObject({
      message: { text: 'A/1: values 0 to 65535. convert it again' },
      locations: [
        {
          physicalLocation: { artifactLocation: { uri: 'file:///data/A%20%231/ct.nii.gz' } },
          logicalLocations: [{ name: 'A/1' }],
        },
      ],
    })
  })
})
