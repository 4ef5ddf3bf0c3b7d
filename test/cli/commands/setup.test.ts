import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../../src/runtime/python.js'
import { runCli, startCli } from '../../helpers/cli.js'
import { keptFolder, temporaryFolder } from '../../helpers/temporary.js'
import { until } from '../../helpers/until.js'

function folderWithPython(): string {
  const cwd = temporaryFolder()
  cpSync(join(packageRoot, 'test/fixtures/pretend-python'), join(cwd, 'python'))
  return cwd
}

const SETUP = ['setup', '--python', './python']
const env = { FREETUMOR_PYTHON: undefined, XDG_STATE_HOME: keptFolder() }

test('setup logs to stderr, prints its result on stdout, and reports when there is nothing to do', async () => {
  const cwd = folderWithPython()
  const first = await runCli([...SETUP, '--output', 'json'], { cwd, env })
  expect(first.code).toBe(0)
  expect(JSON.parse(first.stdout)).toMatchObject({ action: 'created', python: join(cwd, '.venv/bin/python') })
  expect(first.stderr).toContain('pinned packages')
  const again = await runCli(['setup'], { cwd, env })
  expect(again).toMatchObject({ code: 0, stderr: '' })
  expect(again.stdout).toMatch(/^Nothing to do: the runtime /)
})

test('setup exits 4 with the last lines of pip and what to do when pip fails', async () => {
  const failed = await runCli(SETUP, { cwd: folderWithPython(), env: { ...env, PRETEND_PIP: 'fails' } })
  expect(failed).toMatchObject({ code: 4, stdout: '' })
  expect(failed.stderr).toMatch(
    /error: pip install failed \(exit code 1\):\n {2}\| .*\n {2}\| ERROR: No matching .*\nhint: check the index/,
  )
})

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('setup stopped by %s exits %i', async (signal, code) => {
  const cwd = folderWithPython()
  const { child, finished } = startCli(SETUP, { cwd, env: { ...env, PRETEND_PIP: 'hangs' } })
  await until(() => existsSync(join(cwd, '.venv/bin/pip-is-at-work')))
  child.kill(signal)
  const done = await finished
  expect(done).toMatchObject({ code, signal: null })
  expect(done.stderr).toContain(`stopped by ${signal}`)
})
