import { existsSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.env.FREETUMOR_SHARED ?? new URL('../../../shared', import.meta.url).pathname

/** A file of the reference data beside the checkout; null, with a word on stderr, when it is not there. */
export function sharedFile(path: string): string | null {
  const file = join(folder, path)
  if (existsSync(file)) return file
  process.stderr.write(
    `skipped what needs ${path}: no reference data beside the checkout (FREETUMOR_SHARED)\n`,
  )
  return null
}
