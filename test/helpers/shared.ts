import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = process.env.FREETUMOR_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url))

/** A file or folder of the reference data beside the checkout; null, with a word on stderr, when it is not there. */
export function sharedFile(path: string): string | null {
  const file = join(root, path)
  if (existsSync(file)) return file
  process.stderr.write(
    `skipped what needs ${path}: no reference data beside the checkout (FREETUMOR_SHARED)\n`,
  )
  return null
}

/** A folder of real data. Use with `describe.skipIf(folder === null)`. */
export function sharedData(name: string): string | null {
  return sharedFile(`data/${name}`)
}
