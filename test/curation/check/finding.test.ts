import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { RULES } from '../../../src/curation/check/finding.js'

const page = readFileSync(new URL('../../../docs/data.md', import.meta.url), 'utf8')

describe('the table of rules in docs/data.md', () => {
  const rows = page
    .slice(page.indexOf('## Check'), page.indexOf('## Import'))
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(1, -1).split('|'))
    .map((cells) => cells.map((cell) => cell.trim()))

  it('lists every rule of the code once, in its order', () => {
    expect(rows.map(([rule]) => rule)).toEqual(Object.keys(RULES).map((rule) => `\`${rule}\``))
  })

  it.each(rows)('gives %s a severity, a cause and a remedy', (...cells) => {
    expect(cells).toHaveLength(4)
    expect(cells[1]).toMatch(/^(error|warning|info)$/)
    for (const text of cells.slice(2)) expect(text).toMatch(/\w.*[.)]$/)
  })
})
