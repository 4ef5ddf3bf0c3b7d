import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PluginError } from '../../src/errors.js'
import { checkPlugin, inspectPlugin } from '../../src/runtime/plugin.js'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'

const HOSTILE = join(packageRoot, 'python_runtime/tests/plugins/hostile.py')

const hostile = (mode: string) => ({
  command: [resolvePython(), HOSTILE, mode],
  startTimeoutSeconds: 60,
  requestTimeoutSeconds: 60,
})

test('returns the statements of a plug-in', async () => {
  expect(await inspectPlugin(hostile('good'))).toMatchObject({
    name: 'hostile',
    licence: 'none',
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    synthesize: { names: ['liver', 'pancreas', 'kidney'], patchVoxels: [16, 16, 16] },
    tumorOutputs: [1, 2, 3],
  })
})

test('refuses a plug-in of another protocol with a typed error that names the command', async () => {
  const refused = inspectPlugin(hostile('other version'))
  await expect(refused).rejects.toThrow(PluginError)
  await expect(refused).rejects.toThrow(
    /hostile\.py 'other version': has another protocol \(expected 1, found 2\)/,
  )
  await expect(refused).rejects.toMatchObject({ code: 'plugin', exitCode: 5 })
})

test('a check lists the faults of a plug-in', async () => {
  const check = await checkPlugin(hostile('wrong shape'))
  expect(check.ok).toBe(false)
  expect(check.plugin?.name).toBe('hostile')
  const failed = check.checks.filter(({ ok }) => !ok)
  expect(failed[0]).toMatchObject({
    id: 'synthesize: answer',
    detail: expect.stringContaining('wrong arrays'),
  })
  expect(failed.at(-1)).toMatchObject({ id: 'all others' })
})
