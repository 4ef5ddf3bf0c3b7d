import { pathToFileURL } from 'node:url'
import { type Finding, RULES, type Rule } from './finding.js'
import type { CheckReport } from './run.js'

const LEVELS = { error: 'error', warning: 'warning', info: 'note' } as const

/**
 * Return a report in the Static Analysis Results Interchange Format, version 2.1.0, which code hosts and
 * viewers read. Cases are logical locations, because one file may belong to several cases.
 */
export function toSarif({ findings, numCases }: CheckReport, version: string): Record<string, unknown> {
  const ids = Object.keys(RULES) as Rule[]
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'freetumor',
            semanticVersion: version,
            rules: ids.map((id) => ({ id, shortDescription: { text: RULES[id] } })),
          },
        },
        invocations: [{ executionSuccessful: true }],
        results: findings.map((finding) => resultOf(finding, ids.indexOf(finding.rule))),
        properties: { numCases },
      },
    ],
  }
}

function resultOf({ rule, severity, case: id, file, message, fix }: Finding, ruleIndex: number) {
  return {
    ruleId: rule,
    ruleIndex,
    level: LEVELS[severity],
    message: { text: `${id}: ${message}. ${fix}` },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: pathToFileURL(file).href } },
        logicalLocations: [{ name: id, kind: 'case' }],
      },
    ],
    partialFingerprints: { 'ruleAndCase/v1': `${rule}:${id}` },
  }
}
