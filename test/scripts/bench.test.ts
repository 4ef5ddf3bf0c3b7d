import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'

/** Return the lines and the exit code of the alarm of scripts/bench, for results of rows and stored ratios. */
function alarm(results: object, stored: object): { readonly lines: string[]; readonly code: number } {
  const program = `
import importlib.machinery, importlib.util, json, sys
loader = importlib.machinery.SourceFileLoader("bench", sys.argv[1])
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
sys.dont_write_bytecode = True
loader.exec_module(bench)
print("code", bench.alarm(bench.ratios(json.loads(sys.argv[2])), json.loads(sys.argv[3])))`
  const python = process.env.FREETUMOR_PYTHON ?? join(packageRoot, '.venv/bin/python')
  const bench = join(packageRoot, 'scripts/bench')
  const argv = ['-c', program, bench, JSON.stringify(results), JSON.stringify(stored)]
  const lines = execFileSync(python, argv, { encoding: 'utf8' }).trim().split('\n')
  return { lines: lines.slice(0, -1), code: Number(lines.at(-1)!.slice('code '.length)) }
}

describe('the alarm of the benchmarks', () => {
  test('names a row that got worse by more than 15 %, by processor time where it is known', () => {
    const results = {
      one: {
        rows: [
          { row: 'a', ratio: 9, processorRatio: 2 },
          { row: 'b', ratio: 2.6 },
        ],
      },
      two: { row: 'c', ratio: 1 },
      three: { row: 'without a reference' },
    }
    const { lines, code } = alarm(results, { a: 3, b: 3 })
    expect(code).toBe(1)
    expect(lines).toEqual([
      'a: 2.00x, stored 3.00x: WORSE by 33%',
      'b: 2.60x, stored 3.00x',
      'c: 1.00x, no stored ratio: `--store` stores it',
      '1 of 3 rows got worse',
    ])
  })

  test('is silent for equal and better rows', () => {
    expect(alarm({ one: { row: 'a', ratio: 3.2 } }, { a: 3 })).toEqual({
      lines: ['a: 3.20x, stored 3.00x', '0 of 1 rows got worse'],
      code: 0,
    })
  })
})
