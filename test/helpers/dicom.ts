import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'

/** Why tests with real DICOM packages cannot run; null if they can. `describe.skipIf` takes it, and the title names it. */
export function dicomMissing(): string | null {
  const { status } = spawnSync(resolvePython(), ['-c', 'import pydicom, highdicom, dcm2niix'])
  return status === 0 ? null : 'the runtime lacks its part dicom: freetumor setup --extra dicom'
}

/** Write a made DICOM folder of python_runtime/tests/dicom/made_series.py. */
export function makeDicom(folder: string, name: string): void {
  execFileSync(resolvePython(), ['-m', 'tests.dicom.made_series', folder, name], {
    cwd: join(packageRoot, 'python_runtime'),
  })
}
