import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { readingsOf } from '../../curation/audit/coarse-grid.js'
import { type WholeHuVolume, wholeHu } from '../../curation/audit/exact-hash.js'
import {
  fingerprintDirectory,
  keepFingerprint,
  keptFingerprint,
} from '../../curation/audit/fingerprint-cache.js'
import { slicePairs } from '../../curation/audit/pair-slices.js'
import { type AuditPair, type AuditReport, type AuditScan, auditCases } from '../../curation/audit/run.js'
import { compareScans } from '../../curation/audit/same-scan.js'
import { type ScanAnswer, scanKeysStore } from '../../curation/audit/scan-keys.js'
import { forEachCase } from '../../curation/case-threads.js'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import type { Dataset } from '../../curation/datasets/registry.js'
import { DataError } from '../../errors.js'
import { parseForeignJson } from '../../foreign-text.js'
import { type AuditPagePair, renderAudit } from '../../report/audit-page.js'
import { typedSystemError } from '../../system-errors.js'
import { readNifti, voxelMemory } from '../../volume/nifti.js'
import { makeWritableFolder, writeWhole } from '../../whole-file.js'

export interface AuditSettings {
  /** Folder of the prepared cases. It also keeps the fingerprints and the result, for the leak check of `train`. */
  readonly cache: string
  /** Folder for `audit.json` and `audit.html`; null to write neither. */
  readonly out: string | null
  /** Largest number of pairs with pictures on the page. */
  readonly pictures: number
  /** Number of scans read at the same time. */
  readonly workers: number
  readonly own?: readonly Dataset[]
  readonly signal?: AbortSignal | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
  readonly onCompared?: ((done: number, total: number) => void) | undefined
}

/** Record of an audit for the leak check: the cases that it compared, and its findings. */
export interface SavedAudit {
  readonly version: 1
  readonly time: string
  /** Ids of the cases that were compared. */
  readonly cases: readonly string[]
  readonly pairs: readonly AuditPair[]
}

/**
 * Compare every case with every other: by fingerprints, then the images of candidate pairs; draw the pairs that match.
 * Fingerprints are kept, so a second audit reads only new scans.
 */
export async function runAudit(
  cases: readonly ManifestCase[],
  settings: AuditSettings,
): Promise<AuditReport> {
  for (const folder of [settings.cache, ...(settings.out === null ? [] : [settings.out])])
    await makeWritableFolder(resolve(folder))
  const distinct = withoutRepeats(cases)
  const answers = await fingerprintAll(distinct, settings)
  const scans = scanReader()
  const report = await auditCases(distinct, answers, {
    ...(settings.own && { own: settings.own }),
    onCompared: settings.onCompared,
    fingerprintOf: async ({ image }) => {
      settings.signal?.throwIfAborted()
      return (await keptFingerprint(image, fingerprintDirectory(settings.cache), voxelMemory())).fingerprint
    },
    compare: async (a, b, offsetMm) => {
      settings.signal?.throwIfAborted()
      return compareScans(await scans(a), await scans(b), offsetMm)
    },
  })
  const unread = new Set(report.unreadable.map(({ case: id }) => id))
  const saved: SavedAudit = {
    version: 1,
    time: new Date().toISOString(),
    cases: distinct.map(({ id }) => id).filter((id) => !unread.has(id)),
    pairs: report.pairs,
  }
  await writeWhole(savedAuditFile(settings.cache), JSON.stringify(saved))
  if (settings.out !== null) await writePages(settings.out, distinct, report, scans, settings)
  return report
}

/** Return the keys of each case by its fingerprint, or the reason why it has none, in the order of the cases. */
export async function fingerprintAll(
  cases: readonly ManifestCase[],
  { cache, workers, signal, onCase }: Pick<AuditSettings, 'cache' | 'workers' | 'signal' | 'onCase'>,
): Promise<ScanAnswer[]> {
  const directory = fingerprintDirectory(cache)
  const task = { name: 'fingerprint', options: { directory } } as const
  const keysOf = scanKeysStore()
  return forEachCase(cases, task, { workers, signal, onCase }, async ({ image }, answer) => {
    if ('problem' in answer) return answer
    await keepFingerprint(image, directory, answer)
    return keysOf(answer.fingerprint)
  })
}

/** Return the last audit that was kept with this cache; null if there is none. @throws DataError if it is damaged */
export async function readSavedAudit(cache: string): Promise<SavedAudit | null> {
  const file = savedAuditFile(cache)
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw typedSystemError(error)
  })
  if (text === null) return null
  try {
    const saved = parseForeignJson(text, file) as SavedAudit
    if (saved.version === 1 && Array.isArray(saved.cases) && Array.isArray(saved.pairs)) return saved
  } catch {
    // reported below
  }
  throw new DataError(`${file}: is no audit of this version`, { hint: 'run `freetumor data audit` again' })
}

function savedAuditFile(cache: string): string {
  return join(resolve(cache), 'audit.json')
}

/** Return the cases without duplicates that several manifests list. */
export function withoutRepeats(cases: readonly ManifestCase[]): ManifestCase[] {
  const seen = new Set<string>()
  return cases.filter(({ id, image, split, fold }) => {
    const key = [id, resolve(image), split, fold].join('\0')
    return !seen.has(key) && seen.add(key)
  })
}

/** Return a function that reads scans for comparison. It keeps the last few, because candidates come sorted. */
function scanReader(): (
  scan: AuditScan,
) => Promise<{ volume: WholeHuVolume; reading: AuditScan['reading'] }> {
  const kept = new Map<string, Promise<WholeHuVolume>>()
  return async ({ case: { image }, reading }) => {
    const volume = kept.get(image) ?? readNifti(image).then(wholeHu)
    kept.delete(image)
    kept.set(image, volume)
    if (kept.size > 3) kept.delete(kept.keys().next().value!)
    return { volume: await volume, reading }
  }
}

async function writePages(
  out: string,
  cases: readonly ManifestCase[],
  report: AuditReport,
  scans: ReturnType<typeof scanReader>,
  { pictures, signal }: AuditSettings,
): Promise<void> {
  const folder = resolve(out)
  const byId = new Map(cases.map((item) => [item.id, item]))
  const paired = new Set(report.pairs.flatMap((pair) => pair.cases))
  const files = Object.fromEntries(
    [...paired].flatMap((id) => (byId.has(id) ? [[id, resolve(byId.get(id)!.image)]] : [])),
  )
  await writeWhole(join(folder, 'audit.json'), `${JSON.stringify({ ...report, files }, null, 2)}\n`)
  const pairs: AuditPagePair[] = []
  let drawn = 0
  for (const pair of report.pairs) {
    signal?.throwIfAborted()
    const pictured = drawn < pictures && (pair.kind === 'near' || pair.kind === 'exact')
    if (pictured) drawn++
    pairs.push({ ...pair, panels: pictured ? await panelsOf(pair, byId, scans) : null })
  }
  const made = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`
  const notes = auditNotes(report)
  await writeWhole(join(folder, 'audit.html'), renderAudit({ numCases: report.numCases, pairs, notes, made }))
}

/** Return sentences about what an audit could not decide. */
export function auditNotes({ sharedSources, unreadable }: AuditReport): string[] {
  return [
    ...sharedSources.map(
      ({ datasets, note }) =>
        `${datasets.join(' and ')} are known to share scans (${note}); the pairs found are listed`,
    ),
    ...unreadable.map(({ case: id, message }) => `${id} was compared with nothing: ${message}`),
  ]
}

async function panelsOf(
  { cases: [a, b], offsetMm }: AuditPair,
  byId: ReadonlyMap<string, ManifestCase>,
  scans: ReturnType<typeof scanReader>,
) {
  const [first, second] = await Promise.all(
    [a, b].map(async (id) => {
      const { volume } = await scans({ case: byId.get(id)!, reading: { low: 0, high: 1 } })
      const [reading] = readingsOf(volume)
      return reading ? { volume, reading } : null
    }),
  )
  return first && second ? slicePairs(first, second, offsetMm ?? null) : null
}
