import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import { quoted } from '../plain-text.js'
import { writeWhole } from '../whole-file.js'

/** File in a run directory with the version that created it. Runs without it have format 1. */
const FILE = 'version.json'

/**
 * Number of the format of a run directory. It increases with a change after which runs of the earlier format cannot be
 * resumed (files, checkpoints, order of random numbers).
 */
const FORMAT = 1

interface RunVersion {
  readonly freetumor: string
  readonly format: number
}

/** Record in a new run the version that creates it. */
export async function recordVersion(directory: string): Promise<void> {
  const version: RunVersion = { freetumor: ownVersion(), format: FORMAT }
  await writeWhole(join(directory, FILE), `${JSON.stringify(version)}\n`)
}

/** Refuse a run that this version cannot resume. @throws UsageError that names the version that can */
export async function refuseOtherFormat(directory: string): Promise<void> {
  const text = await readFile(join(directory, FILE), 'utf8').catch(() => null)
  const { freetumor, format } = text === null ? { freetumor: '0.1.0', format: 1 } : versionIn(text, directory)
  if (format !== FORMAT)
    throw new UsageError(
      `${directory}: made by freetumor ${freetumor} (expected run format ${FORMAT}, found ${format})`,
      {
        hint: `resume it with that version: \`npx freetumor@${freetumor} train --resume ${quoted(directory)}\``,
      },
    )
}

function versionIn(text: string, directory: string): RunVersion {
  try {
    const { freetumor, format } = parseForeignJson(text, FILE) as Partial<RunVersion>
    if (/^\d+\.\d+\.\d+[\w.+-]*$/.test(String(freetumor)) && Number.isInteger(format))
      return { freetumor: freetumor!, format: format! }
  } catch {
    // reported below
  }
  throw new UsageError(`${join(directory, FILE)}: is not a version record`, {
    hint: 'restore the file, or remove it if this version made the run',
  })
}

/** Return the version of this software. */
export function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
