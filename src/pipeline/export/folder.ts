import { readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UsageError } from '../../errors.js'
import { typedSystemError } from '../../system-errors.js'
import { refuseUnwritableFolder } from '../../whole-file.js'

/**
 * Refuse a folder that cannot become an export, before long work.
 * @throws UsageError if it exists and is not empty; EnvironmentError if it cannot be created
 */
export async function refuseUnusable(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw typedSystemError(error, folder)
  })
  if (names.length > 0)
    throw new UsageError(`--out ${folder}: wrong folder (expected a new or empty one, found ${names[0]})`, {
      hint: 'name another folder with --out, or remove this one',
    })
  await refuseUnwritableFolder(dirname(folder), folder)
}
