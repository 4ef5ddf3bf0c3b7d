import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = process.env.FREETUMOR_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url))

/**
 * A folder of real data that lies beside the repository and is no part of it; null, with a line that says so, where it
 * is missing. Use with `describe.skipIf(folder === null)`.
 */
export function sharedData(name: string): string | null {
  const folder = `${root}/data/${name}`
  if (existsSync(folder)) return folder
  console.warn(`tests on real data are skipped: ${folder} is missing (set FREETUMOR_SHARED)`)
  return null
}
