import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { startNode } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const PYTEST =
  '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" /></testsuites>'

async function counted(vitest: object | null, pytest: string | null) {
  const folder = temporaryFolder()
  if (vitest) writeFileSync(join(folder, 'v.json'), JSON.stringify(vitest))
  if (pytest) writeFileSync(join(folder, 'p.xml'), pytest)
  const script = join(packageRoot, 'scripts/count-tests.mjs')
  const { code, stdout } = await startNode([script, join(folder, 'v.json'), join(folder, 'p.xml')]).finished
  return { code, last: stdout.trim().split('\n').at(-1) }
}

function vitestReport(numPassedTests: number, numFailedTests: number, testResults: object[] = []) {
  return { numPassedTests, numFailedTests, numPendingTests: 1, numTodoTests: 0, testResults }
}

test('the last line sums both languages', async () => {
  expect(await counted(vitestReport(5, 0), PYTEST)).toEqual({
    code: 1,
    last: '9 passed, 3 failed, 4 skipped',
  })
  const green = PYTEST.replace('errors="1" failures="2"', 'errors="0" failures="0"')
  expect(await counted(vitestReport(5, 0), green)).toEqual({
    code: 0,
    last: '12 passed, 0 failed, 4 skipped',
  })
})

test('a file that could not be loaded and a report that is missing are failures', async () => {
  const unloaded = { status: 'failed', assertionResults: [] }
  expect((await counted(vitestReport(5, 0, [unloaded]), null)).last).toBe('5 passed, 2 failed, 1 skipped')
})
