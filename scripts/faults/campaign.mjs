/** Parts of several campaigns: the built program, the Python of the runtime, and random numbers of a seed. */
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
export const cli = join(root, 'dist/cli/main.js')
export const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')

/** Return a function that draws from [0, 1); its numbers follow from the seed. */
export function randomOf(seed) {
  let drawn = 0
  return () => createHash('sha256').update(`${seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32
}

/**
 * Run a campaign in a temporary folder that is removed afterwards. Prints the report as JSON; the exit code is 1 unless
 * `held` is true in it.
 */
export async function runCampaign(folder, campaign) {
  try {
    const report = await campaign()
    console.log(JSON.stringify(report, null, 2))
    process.exitCode = report.held ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
