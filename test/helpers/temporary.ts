import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, onTestFinished } from 'vitest'

/** A folder of the running test; removed when it ends. */
export function temporaryFolder(): string {
  const folder = made()
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A folder of all tests of a file; removed after them. */
export function keptFolder(): string {
  const folder = made()
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function made(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'freetumor-test-')))
}
