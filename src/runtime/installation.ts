import { join } from 'node:path'
import { packageRoot, resolvePython } from './python.js'

/** Return how the nodes of a cluster start this installation, which must be on a disk that they share. */
export function installation(): { readonly program: readonly string[]; readonly python: string | null } {
  return { program: [process.execPath, join(packageRoot, 'dist/cli/start.js')], python: pythonOf() }
}

/** The nodes use the Python of this machine; without one, the check of the job reports it. */
function pythonOf(): string | null {
  try {
    return resolvePython()
  } catch {
    return null
  }
}
