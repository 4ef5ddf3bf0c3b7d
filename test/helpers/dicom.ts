import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { keptFolder } from './temporary.js'

const kept = keptFolder()

/** Why tests with real DICOM packages cannot run; null if they can. `describe.skipIf` takes it, and the title names it. */
export function dicomMissing(): string | null {
  const { status } = spawnSync(resolvePython(), ['-c', 'import pydicom, highdicom, dcm2niix'])
  return status === 0 ? null : 'the runtime lacks its part dicom: freetumor setup --extra dicom'
}

/** Write a made DICOM folder of python_runtime/tests/dicom/made_series.py, which a test file makes once of each name. */
export function makeDicom(folder: string, name: string): void {
  const made = join(kept, name)
  if (!existsSync(made))
    execFileSync(resolvePython(), ['-m', 'tests.dicom.made_series', made, name], {
      cwd: join(packageRoot, 'python_runtime'),
    })
  cpSync(made, folder, { recursive: true })
}
