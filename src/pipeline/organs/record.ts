import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LeftOut } from '../../curation/datasets/file-names.js'
import type { RemapRow } from '../../curation/datasets/remap.js'
import { UsageError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { writeWhole } from '../../whole-file.js'
import type { CaseError } from '../ports/common.js'
import type { ScanCase } from '../predict/cases.js'
import { differingKeys, maskOf, type PredictionLine } from '../predict/record.js'
import type { OrganCase } from './settings.js'

/** A line of `organs.jsonl`: a case whose label map is complete. */
export interface OrganLine
  extends Pick<PredictionLine, 'case' | 'image' | 'input' | 'files'>,
    Pick<OrganCase, 'holes' | 'seconds' | 'findings'> {
  readonly sources: readonly RemapRow[]
  /** Facts that the tool reports about itself. */
  readonly report: Readonly<Record<string, string | number | boolean>> | null
}

/** The facts that decide the label maps of a folder. */
export interface OrganFacts {
  readonly tool: string
  /** Version of the tool, SHA-256 of weights; null if unknown. */
  readonly version: string | null
  readonly region: string
  readonly settings: Readonly<Record<string, unknown>>
}

/** Names of the records, in the output folder; that of a shard has the second. */
export const ORGANS = 'organs.json'
export const LINES = 'organs.jsonl'

/** Limits of `organs.json` of 100,000 cases. */
const BOUNDS = { bytes: 500e6, values: 20_000_000 }

/**
 * Start the record of a folder, or compare it with that of an earlier call.
 * @throws UsageError if the folder holds labels of another tool or other settings, or files of another program
 */
export async function startRecord(out: string, facts: OrganFacts, scans: readonly ScanCase[]): Promise<void> {
  const path = join(out, ORGANS)
  const hint = 'choose another --out, or replace the label maps with --overwrite'
  if (existsSync(path)) {
    const before = asRecord(await readForeignJson(path, BOUNDS)) ?? {}
    const [old, now] = [before, JSON.parse(JSON.stringify(facts)) as OrganFacts].map(deciding)
    const different = differingKeys(old!, now!)
    if (different.length === 0) return
    throw new UsageError(`${out}: holds label maps with other settings (${different.join(', ')})`, { hint })
  }
  const present = new Set(await readdir(out))
  const strange = scans.find((scan) => present.has(maskOf(scan)))
  if (strange) throw new UsageError(`${join(out, maskOf(strange))}: exists without ${ORGANS}`, { hint })
  await writeRecord(out, facts, null)
}

function deciding(record: Readonly<Record<string, unknown>> | OrganFacts): Record<string, unknown> {
  const { tool, version, region, settings } = record
  return { tool, version, region, ...asRecord(settings) }
}

/** Results for `organs.json`. */
export interface OrganResults {
  readonly lines: readonly OrganLine[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
  readonly leftOut: readonly LeftOut[]
}

/** Write `organs.json`. @param results null at the start of the work */
export async function writeRecord(
  out: string,
  facts: OrganFacts,
  results: OrganResults | null,
): Promise<void> {
  const { lines = [], failed = [], leftOut = [] } = results ?? {}
  const holes = lines.flatMap((line) => Object.values(line.holes))
  const document = {
    version: facts.version,
    tool: facts.tool,
    region: facts.region,
    settings: facts.settings,
    complete: results !== null && failed.length === 0,
    holes: {
      count: holes.reduce((sum, { count }) => sum + count, 0),
      voxels: holes.reduce((sum, { voxels }) => sum + voxels, 0),
    },
    cases: lines,
    failed,
    leftOut,
  }
  await writeWhole(join(out, ORGANS), `${JSON.stringify(document, null, 2)}\n`)
}

/** Remove the records and the label maps of scans. */
export async function removeLabels(out: string, scans: readonly ScanCase[]): Promise<void> {
  for (const name of [ORGANS, LINES, ...scans.map(maskOf)]) await rm(join(out, name), { force: true })
}
