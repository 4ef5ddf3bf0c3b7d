import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EnvironmentError, RuntimeCrashError } from '../../src/errors.js'
import { dicomReader } from '../../src/runtime/dicom.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** A stand-in for Python: a shell script. */
function pretend(script: string): string {
  const path = join(temporaryFolder(), 'python')
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

const scan = (python: string, signal?: AbortSignal) =>
  dicomReader({ python }).scan({ folder: '/', without: null }, { signal })

test('a runtime without the packages is an error that names the set-up', async () => {
  const failing = scan(pretend(`echo '{"type": "missing"}'`))
  await expect(failing).rejects.toThrow(EnvironmentError)
  await expect(failing).rejects.toMatchObject({
    hint: expect.stringContaining('freetumor setup --extra dicom'),
  })
})

test('a reader that crashes is an error without the words of the reader', async () => {
  const error = (await scan(pretend('echo "Doe^Jane" >&2; exit 3')).catch((one: unknown) => one)) as Error
  expect(error).toBeInstanceOf(RuntimeCrashError)
  expect(error.message).toMatch(/exit code 3/)
  expect(error.message).not.toContain('Doe')
})

test('a stop ends the reader and its children', async () => {
  const controller = new AbortController()
  const python = pretend(`echo '{"type": "progress", "files": 1}'; sleep 1000 & wait`)
  const stopped = dicomReader({ python }).scan(
    { folder: '/', without: null },
    { signal: controller.signal, onFiles: () => controller.abort(new DOMException('SIGINT', 'AbortError')) },
  )
  await expect(stopped).rejects.toMatchObject({ name: 'AbortError' })
})
