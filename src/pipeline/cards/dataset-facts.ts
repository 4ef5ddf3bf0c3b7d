import { join } from 'node:path'
import { readManifest } from '../../curation/datasets/manifest.js'
import { DataError } from '../../errors.js'
import { readJsonLog } from '../../jsonl.js'
import { keyFolder, readKeyring } from '../../provenance/keys.js'
import { PROVENANCE, type ProvenanceHead } from '../../provenance/manifest.js'
import { openManifest } from '../../provenance/read-manifest.js'
import { hashFile } from '../../provenance/scan-facts.js'
import type { SynthesisLine } from '../../quality/ledger.js'

/** Figures and facts of a synthetic data set, all from its own files. */
export interface DatasetCardFacts {
  readonly head: ProvenanceHead
  /** State of the manifest, with the reason. */
  readonly manifest: { readonly state: string; readonly reason: string; readonly signed: boolean }
  readonly scans: number
  readonly hosts: number
  readonly patients: number
  readonly files: number
  readonly megabytes: number
  readonly seeds: readonly number[]
  /** Attempts that were accepted, rejected, or had no room. */
  readonly attempts: { readonly accepted: number; readonly rejected: number; readonly noRoom: number }
  /** Accepted of all painted tumors; null without one. */
  readonly acceptanceRate: number | null
  readonly groups: readonly {
    readonly organ: string
    readonly size: string
    readonly accepted: number
    readonly rejected: number
  }[]
  /** 5th, 50th and 95th percentile over accepted tumors (nearest rank); null if no line states the measure. */
  readonly volumeMl: readonly [number, number, number] | null
  readonly contrastHu: readonly [number, number, number] | null
  /** Time of the last variant, ISO 8601. */
  readonly finished: string | null
}

/**
 * Read the facts of a synthetic data set.
 * @throws DataError without a manifest of provenance, and if a file that the figures come from differs from it
 */
export async function readDatasetFacts(directory: string): Promise<DatasetCardFacts> {
  await using manifest = await openManifest(join(directory, PROVENANCE), await readKeyring(keyFolder()))
  let bytes = 0
  for await (const { file } of manifest.entries()) bytes += file.bytes
  await refuseChanged(directory, manifest.head)
  const { cases } = await readManifest(join(directory, 'manifest.json'))
  const lines: SynthesisLine[] = []
  for await (const line of readJsonLog<SynthesisLine>(join(directory, 'ledger.jsonl'))) lines.push(line)
  const accepted = lines.filter(({ verdict }) => verdict === 'accepted')
  const rejected = lines.filter(({ verdict }) => verdict === 'rejected')
  const painted = accepted.length + rejected.length
  const times = lines.map(({ time }) => time).sort()
  const { head, state, reason, signer } = manifest
  return {
    head,
    manifest: { state, reason, signed: signer !== 'none' },
    scans: new Set(lines.flatMap(({ file }) => file ?? [])).size,
    hosts: new Set(accepted.map((line) => line.case)).size,
    patients: new Set(cases.map(({ patient }) => patient)).size,
    files: manifest.size,
    megabytes: bytes / 1e6,
    seeds: [...new Set(lines.map(({ seed }) => seed))],
    attempts: {
      accepted: accepted.length,
      rejected: rejected.length,
      noRoom: lines.length - painted,
    },
    acceptanceRate: painted === 0 ? null : accepted.length / painted,
    groups: groupsOf([...accepted, ...rejected]),
    volumeMl: percentiles(accepted.flatMap(({ measures }) => measures.volumeMl ?? [])),
    contrastHu: percentiles(accepted.flatMap(({ measures }) => measures.contrastHu ?? [])),
    finished: times.at(-1) ?? null,
  }
}

async function refuseChanged(directory: string, { documents }: ProvenanceHead): Promise<void> {
  for (const { path, sha256 } of documents) {
    const file = join(directory, path)
    if ((await hashFile(file)).sha256 !== sha256)
      throw new DataError(`${file}: differs from ${PROVENANCE}`, {
        hint: 'restore it, or repeat `freetumor synthesize` to write the manifest again',
      })
  }
}

function groupsOf(lines: readonly SynthesisLine[]): DatasetCardFacts['groups'] {
  const groups = new Map<string, { organ: string; size: string; accepted: number; rejected: number }>()
  for (const { organ, size, verdict } of lines) {
    const group = groups.get(`${organ} ${size}`) ?? { organ, size, accepted: 0, rejected: 0 }
    if (verdict === 'accepted') group.accepted++
    else group.rejected++
    groups.set(`${organ} ${size}`, group)
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

function percentiles(values: readonly number[]): readonly [number, number, number] | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
  return [at(0.05), at(0.5), at(0.95)]
}
