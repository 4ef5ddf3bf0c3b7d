import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { UsageError } from '../../errors.js'
import { typedSystemError } from '../../system-errors.js'
import { makeFolder, refuseUnwritableFolder, temporaryName } from '../../whole-file.js'

/**
 * Let `write` fill a temporary folder next to `out`, then rename it to `out`: an interrupted export leaves no part of it.
 * @throws UsageError if `out` exists and is not empty
 */
export async function writeWholeFolder<T>(out: string, write: (folder: string) => Promise<T>): Promise<T> {
  const target = resolve(out)
  await refuseUnusable(target)
  await makeFolder(dirname(target))
  const aside = temporaryName(target)
  try {
    await mkdir(aside)
    const result = await write(aside)
    // an empty folder is replaced
    await rename(aside, target)
    return result
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => {})
    throw typedSystemError(error, target)
  }
}

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
