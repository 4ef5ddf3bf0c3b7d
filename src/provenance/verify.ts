import { existsSync } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { DataError, FreetumorError, UsageError } from '../errors.js'
import { cannotBeRead } from '../system-errors.js'
import { differencesFrom, isDescribed, markHash } from './compare.js'
import { type KeyRecord, keyFolder, readKeyring } from './keys.js'
import { PROVENANCE } from './manifest.js'
import { type NumberedFile, type OpenedManifest, openManifest } from './read-manifest.js'
import { hashFile, readScanFacts, type ScanFacts } from './scan-facts.js'

/**
 * `authentic`: as a signed manifest of a trusted key states. `altered`: not as its manifest or its mark states.
 * `unsigned`: marked, but no signature of a trusted key covers it. `unmarked`: nothing states that it is synthetic.
 */
export type ProvenanceState = 'authentic' | 'altered' | 'unsigned' | 'unmarked'

export interface VerifiedFile {
  readonly path: string
  readonly state: ProvenanceState
  /** Place of the difference, or reason for the state. */
  readonly reason: string
}

export interface Verification {
  /** Scans, documents and manifests. */
  readonly files: readonly VerifiedFile[]
  readonly counts: Readonly<Record<ProvenanceState, number>>
}

export interface VerifyOptions {
  /** Manifest of files outside their data set. Default: `provenance.json` in the folder of a file, or up to 3 above. */
  readonly manifest?: string | undefined
  /** Folder of the trusted keys. Default: that of the user. */
  readonly keys?: string | undefined
  /** Called for each file as soon as it is verified; then the result lists no files, and memory does not grow with them. */
  readonly onFile?: ((file: VerifiedFile) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

const SCAN = /\.nii(\.gz)?$/i
const MAX_DEPTH = 32
/** Folders between a scan and its data set: `rejected/imagesTr`. */
const MOST_ABOVE = 3

/**
 * Verify the marks and signatures of synthetic scans.
 * @param path a NIfTI file, or a folder with them
 * @throws UsageError for a folder without scans; DataError for a missing path or a manifest that cannot be read
 */
export async function verifyScans(path: string, options: VerifyOptions = {}): Promise<Verification> {
  const root = resolve(path)
  const state = await stat(root).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(cannotBeRead(path, error.code), { hint: 'correct the path', cause: error })
  })
  const keys = await readKeyring(options.keys ?? keyFolder())
  const files: VerifiedFile[] = []
  const counts: Record<ProvenanceState, number> = { authentic: 0, altered: 0, unsigned: 0, unmarked: 0 }
  const report = (file: VerifiedFile): void => {
    counts[file.state]++
    if (options.onFile) options.onFile(file)
    else files.push(file)
  }
  const walk = { keys, report, signal: options.signal, root }
  if (options.manifest !== undefined) {
    await using manifest = await openManifest(resolve(options.manifest), keys)
    const given = { manifest, isMoved: true, folder: '', damage: null, seen: new Set<number>() }
    if (state.isDirectory()) await verifyFolder(root, given, walk, 0)
    else await verifyFile(root, given, walk)
  } else if (state.isDirectory()) {
    const above = await manifestAbove(dirname(root), keys, MOST_ABOVE - 1)
    try {
      await verifyFolder(root, above, walk, 0)
      if (above !== null) await reportMissing(above, walk)
    } finally {
      await above?.manifest?.[Symbol.asyncDispose]()
    }
  } else {
    const above = await manifestAbove(dirname(root), keys, MOST_ABOVE)
    try {
      await verifyFile(root, above, walk)
    } finally {
      await above?.manifest?.[Symbol.asyncDispose]()
    }
  }
  if (Object.values(counts).every((count) => count === 0))
    throw new UsageError(`${path}: no NIfTI file (expected .nii or .nii.gz)`, {
      hint: 'name a scan, or a folder with scans',
    })
  return { files, counts }
}

interface Walk {
  readonly keys: readonly KeyRecord[]
  readonly report: (file: VerifiedFile) => void
  readonly signal: AbortSignal | undefined
  /** Path that the caller named. */
  readonly root: string
}

interface DataSet {
  /** Null: it cannot be read, for the reason `damage`. */
  readonly manifest: OpenedManifest | null
  readonly damage: string | null
  /** Folder that the paths of the manifest start from. */
  readonly folder: string
  /** True if files are compared by content, not by path. */
  readonly isMoved: boolean
  /** Numbers of the entries that have a file. */
  readonly seen: Set<number>
}

async function openDataSet(folder: string, keys: readonly KeyRecord[]): Promise<DataSet> {
  const place = { folder, isMoved: false, seen: new Set<number>() }
  try {
    return { ...place, manifest: await openManifest(join(folder, PROVENANCE), keys), damage: null }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { ...place, manifest: null, damage: error.message.slice(join(folder, PROVENANCE).length + 2) }
  }
}

async function manifestAbove(
  folder: string,
  keys: readonly KeyRecord[],
  most: number,
): Promise<DataSet | null> {
  let above = folder
  for (let level = 0; level < most; level++) {
    if (existsSync(join(above, PROVENANCE))) return await openDataSet(above, keys)
    above = dirname(above)
  }
  return null
}

async function verifyFolder(folder: string, above: DataSet | null, walk: Walk, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) return
  const isRoot = above?.isMoved !== true && existsSync(join(folder, PROVENANCE))
  const set = isRoot ? await openDataSet(folder, walk.keys) : above
  try {
    const entries = await opendir(folder).catch((error: NodeJS.ErrnoException) => {
      throw new DataError(cannotBeRead(folder, error.code, 'folder'), {
        hint: 'correct its permissions',
        cause: error,
      })
    })
    for await (const entry of entries) {
      walk.signal?.throwIfAborted()
      const path = join(folder, entry.name)
      if (entry.isDirectory()) await verifyFolder(path, set, walk, depth + 1)
      else if (SCAN.test(entry.name)) await verifyFile(path, set, walk)
    }
    if (isRoot) {
      await verifyDocuments(set!, walk)
      await reportMissing(set!, walk)
    }
  } finally {
    if (isRoot) await set!.manifest?.[Symbol.asyncDispose]()
  }
}

async function verifyFile(path: string, set: DataSet | null, { report }: Walk): Promise<void> {
  try {
    report({ path, ...(await judge(path, set)) })
  } catch (error) {
    if (!(error instanceof FreetumorError)) throw error
    const reason = error.message.startsWith(path) ? error.message.slice(path.length + 2) : error.message
    const isListed = set?.manifest && (await listed(path, set)) !== undefined
    report({ path, state: isListed ? 'altered' : 'unmarked', reason: `file: ${reason}` })
  }
}

async function listed(
  path: string,
  { manifest, folder, isMoved }: DataSet,
): Promise<NumberedFile | undefined> {
  if (manifest === null || isMoved) return undefined
  return await manifest.at(relative(folder, path).split(sep).join('/'))
}

async function judge(path: string, set: DataSet | null): Promise<Omit<VerifiedFile, 'path'>> {
  const own = set && (await listed(path, set))
  if (own) set!.seen.add(own.number)
  const { sha256 } = await hashFile(path)
  const manifest = set?.manifest ?? null
  if (manifest === null) return alone(await readScanFacts(path), set)
  const sameBytes = own?.file.sha256 === sha256 ? own : await manifest.withHash(sha256)
  // equal bytes need no second reading, wherever the file lies
  if (sameBytes?.file.sha256 === sha256 && (own ? own.number === sameBytes.number : set!.isMoved))
    return covered(manifest, [], set!.isMoved ? ` as ${sameBytes.file.path}` : '')
  const facts = await readScanFacts(path)
  const entry = own ?? (await entryOf(facts, manifest))
  if (entry === undefined) return set!.isMoved ? alone(facts, set) : added(facts)
  const differences = differencesFrom(entry.file, facts)
  if (own) {
    const other = sameBytes ?? (facts.voxels === own.file.voxels ? undefined : await entryOf(facts, manifest))
    const isOther = other !== undefined && other.number !== own.number
    return covered(manifest, isOther ? [`file: replaced by ${other.file.path}`] : differences, '', true)
  }
  if (set!.isMoved) return covered(manifest, differences, ` as ${entry.file.path}`, true)
  return { state: 'altered', reason: `file: added, a copy of ${entry.file.path}` }
}

async function entryOf(facts: ScanFacts, manifest: OpenedManifest): Promise<NumberedFile | undefined> {
  const byMark = facts.mark === null ? undefined : await manifest.withHash(markHash(facts.mark))
  return byMark ?? (await manifest.withHash(facts.voxels))
}

/** Return the state of a file that a manifest lists. */
function covered(
  manifest: OpenedManifest,
  differences: readonly string[],
  place = '',
  isOtherForm = false,
): Omit<VerifiedFile, 'path'> {
  if (differences.length > 0) return { state: 'altered', reason: differences.join('; ') }
  const { state, reason } = manifest
  if (state !== 'authentic') return { state, reason }
  const note = isOtherForm ? '; voxels, header and mark are equal, its form differs' : ''
  return { state, reason: `${reason}${place}${note}` }
}

/** Return the state of a file in a data set whose manifest does not list it. */
function added(facts: ScanFacts): Omit<VerifiedFile, 'path'> {
  const what = facts.mark === null && !isDescribed(facts) ? 'an unmarked file' : 'a marked file'
  return { state: 'altered', reason: `file: added, ${what} that the manifest does not list` }
}

/** Return the state of a file that no manifest lists. */
function alone(facts: ScanFacts, set: DataSet | null): Omit<VerifiedFile, 'path'> {
  const { mark, voxels } = facts
  if (mark === null && !isDescribed(facts)) return { state: 'unmarked', reason: 'no mark' }
  if (mark === null) return { state: 'unsigned', reason: 'the description is left, the mark was removed' }
  if (mark.voxels !== voxels) return { state: 'altered', reason: 'voxels: not those of the mark' }
  if (set === null) return { state: 'unsigned', reason: 'no manifest (name it with --manifest)' }
  if (set.damage !== null) return { state: 'unsigned', reason: `its manifest is damaged: ${set.damage}` }
  const isOther = set.manifest!.head.settings !== mark.settings
  const reason = isOther ? 'the manifest is that of another synthesis' : 'the manifest does not list it'
  return { state: 'unsigned', reason }
}

async function verifyDocuments({ manifest, damage, folder }: DataSet, { report }: Walk): Promise<void> {
  const own = join(folder, PROVENANCE)
  if (manifest === null) {
    report({ path: own, state: 'altered', reason: `manifest: ${damage}` })
    return
  }
  const { state, reason } = manifest
  report({ path: own, state, reason })
  for (const { path, sha256 } of manifest.head.documents) {
    const found = await hashFile(join(folder, path)).catch((error: unknown) => {
      if (error instanceof DataError) return null
      throw error
    })
    const differences = found === null ? ['file: missing'] : found.sha256 === sha256 ? [] : ['file: changed']
    report({ path: join(folder, path), ...covered(manifest, differences) })
  }
}

/** Report the entries below the root that have no file. */
async function reportMissing({ manifest, folder, seen }: DataSet, { report, root }: Walk): Promise<void> {
  if (manifest === null || seen.size === manifest.size) return
  for await (const { number, file } of manifest.entries()) {
    const path = join(folder, file.path)
    const isBelow = `${path}${sep}`.startsWith(`${root}${sep}`)
    if (isBelow && !seen.has(number)) report({ path, state: 'altered', reason: 'file: missing' })
  }
}
