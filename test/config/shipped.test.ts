import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { isShipped, shippedFile, shippedNames } from '../../src/config/shipped.js'
import { packageRoot } from '../../src/runtime/python.js'

describe('the shipped configurations', () => {
  it('are all in configs/README.md, with the number of their GPUs', async () => {
    const page = readFileSync(join(packageRoot, 'configs/README.md'), 'utf8')
    const rows = [...page.matchAll(/^\| `([\w-]+)` \|(.*)$/gm)].map(([, name, rest]) => ({
      name,
      rest: rest!,
    }))
    expect(rows.map(({ name }) => name).sort()).toEqual(shippedNames())
    for (const { name, rest } of rows.filter(({ rest }) => rest.includes('GPU'))) {
      const { nodes, processesPerNode } = (await loadConfig(name!)).runtime
      expect([name, /(\d+) GPUs?/.exec(rest)![1]]).toEqual([name, String(nodes * processesPerNode)])
    }
  })

  it('are known by name and by file', () => {
    const file = join(packageRoot, 'configs/debug-baseline.yaml')
    expect(shippedFile('debug-baseline')).toBe(file)
    expect(shippedFile('debug-baseline.yaml')).toBeUndefined()
    expect(isShipped(file)).toBe(true)
    expect(isShipped(join(packageRoot, 'docs/run.yaml'))).toBe(false)
    expect(isShipped('nowhere/run.yaml')).toBe(false)
  })
})
