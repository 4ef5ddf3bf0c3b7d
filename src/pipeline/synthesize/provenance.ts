import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { DataSection } from '../../config/sections/data.js'
import { describedDatasets } from '../../curation/datasets/curate.js'
import { recognizeDataset } from '../../curation/datasets/recognize.js'
import { DataError, UsageError } from '../../errors.js'
import { parseForeignJson, readForeignText } from '../../foreign-text.js'
import { counted } from '../../plain-text.js'
import { markHash } from '../../provenance/compare.js'
import { keyFolder, signingKey } from '../../provenance/keys.js'
import { forbiddenSources, type LicensedSource, resultLicence } from '../../provenance/licence.js'
import {
  DOCUMENTS,
  FORMAT,
  PROVENANCE,
  type ProvenanceFile,
  type ProvenanceHead,
  writeProvenance,
} from '../../provenance/manifest.js'
import { MARKED_KINDS } from '../../provenance/mark.js'
import { hashFile, readScanFacts } from '../../provenance/scan-facts.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { ownVersion } from '../../training/run-version.js'
import type { StageContext } from '../context.js'
import type { EarlierWeights } from '../plan/spec.js'
import { paintingHash } from './record.js'
import type { SynthesisReviews } from './reviews.js'

const STATEMENT = 'The scans listed here hold SYNTHETIC tumors, painted by freetumor into other CT scans.'
const PARALLEL = 4

/** Host CTs: listed ones, a path, or data sets of a configuration. */
type Hosts = readonly { readonly dataset: string }[] | { readonly images: string } | DataSection

/**
 * Return the data sets of host CTs with their licences.
 * @param licence of hosts that the user names; it precedes the registry
 */
export function hostSources(hosts: Hosts, licence: string | undefined): readonly LicensedSource[] {
  if ('datasets' in hosts)
    return describedDatasets(hosts).map(({ name, licence: stated }) => ({
      kind: 'hosts',
      name,
      licence: licence ?? stated,
    }))
  if ('images' in hosts) {
    const folder = basename(hosts.images)
    const known = recognizeDataset(folder) ?? recognizeDataset(basename(dirname(hosts.images)))
    return [{ kind: 'hosts', name: known?.name ?? 'hosts', licence: licence ?? known?.licence ?? null }]
  }
  const names = [...new Set(hosts.map(({ dataset }) => dataset))]
  return names.map((name) => ({ kind: 'hosts', name, licence: licence ?? null }))
}

/** Return the weights and plug-ins that paint or judge, with their licences. */
export function weightsSources({
  licences,
  plugins = {},
}: Pick<EarlierWeights, 'licences' | 'plugins'>): readonly LicensedSource[] {
  return [
    ...licences.map(
      ({ file, sha256, licence }) => ({ kind: 'weights', name: file, licence, sha256 }) as const,
    ),
    ...Object.values(plugins).map(
      ({ name, licence, sha256 }) => ({ kind: 'plug-in', name, licence, sha256 }) as const,
    ),
  ]
}

/** @throws UsageError that names the sources whose licence forbids derivatives */
export function refuseForbidden(sources: readonly LicensedSource[]): void {
  const forbidden = forbiddenSources(sources)
  if (forbidden.length === 0) return
  const names = forbidden.map(({ name, licence }) => `${name}: ${licence}`).join('; ')
  throw new UsageError(
    `synthesize: a licence forbids derivatives (expected sources that allow them, found ${names})`,
    {
      hint: forbidden.some(({ kind }) => kind === 'hosts')
        ? 'use other hosts, or pass --licence NAME if your copies have another licence'
        : 'use other weights, or record another licence: `freetumor checkpoint licence FILE NAME`',
    },
  )
}

/** Facts in the manifest of a synthetic data set, in addition to its files. */
export interface ProvenanceFacts {
  readonly sources: readonly LicensedSource[]
  readonly reviews: Pick<SynthesisReviews, 'sha256' | 'decisions'> | null
}

/** Return the entry of `dataset.json` that marks the data set as synthetic. */
export function datasetMark({ sources }: ProvenanceFacts) {
  return { synthetic: true, provenance: { manifest: PROVENANCE, licence: resultLicence(sources).name } }
}

/**
 * Write `provenance.json` for all files that the ledger names, signed with the key of this user if there is one.
 * @param lines sorted ledger
 */
export async function recordProvenance(
  out: string,
  name: string,
  lines: readonly SynthesisLine[],
  facts: ProvenanceFacts,
  { note, signal }: Pick<StageContext, 'note' | 'signal'>,
): Promise<void> {
  const path = join(out, 'synthesis.json')
  const settings = parseForeignJson(await readForeignText(path), path) as Readonly<Record<string, unknown>>
  const painting = paintingHash(settings)
  const { files, refused } = await listFiles(out, lines, painting, signal)
  if (refused.length > 0)
    note(
      `${counted(refused.length, 'file')} not in ${PROVENANCE}: missing, or changed since written (first ${refused[0]})`,
      'warning',
    )
  const key = await signingKey(keyFolder(), out)
  await writeProvenance(join(out, PROVENANCE), await headOf(out, name, painting, settings, facts), files, key)
  if (key === null && files.length > 0)
    note(
      `${PROVENANCE} is not signed: there is no key; create one with \`freetumor key create\`, then repeat the command`,
    )
}

async function headOf(
  out: string,
  name: string,
  painting: string,
  { checkpoints }: Readonly<Record<string, unknown>>,
  { sources, reviews }: ProvenanceFacts,
): Promise<ProvenanceHead> {
  const present = DOCUMENTS.filter((path) => existsSync(join(out, path)))
  return {
    format: FORMAT,
    statement: STATEMENT,
    settings: painting,
    name,
    versions: { freetumor: ownVersion(), node: process.versions.node },
    checkpoints,
    reviews: reviews && {
      sha256: reviews.sha256,
      reviewers: reviews.decisions.map((decisions, at) => ({ id: `reviewer-${at + 1}`, decisions })),
    },
    sources,
    licence: resultLicence(sources),
    documents: await Promise.all(
      present.map(async (path) => ({ path, sha256: (await hashFile(join(out, path))).sha256 })),
    ),
  }
}

type WantedFile = Omit<ProvenanceFile, 'bytes' | 'sha256' | 'voxels' | 'header' | 'mark'> & {
  /** SHA-256 in the ledger; undefined if it has none. */
  readonly recorded: string | undefined
}

async function listFiles(
  out: string,
  lines: readonly SynthesisLine[],
  painting: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly files: ProvenanceFile[]; readonly refused: string[] }> {
  const wanted = wantedFiles(lines)
  const found: (ProvenanceFile | null)[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < wanted.length; at = next++) {
      signal?.throwIfAborted()
      found[at] = await entryOf(out, wanted[at]!, painting)
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  const refused = wanted.flatMap(({ path, kind, recorded }, at) =>
    // version 0.1 wrote neither hashes nor numbers of tumors
    found[at] === null && !(kind === 'tumors' && recorded === undefined) ? [path] : [],
  )
  return { files: found.filter((file) => file !== null), refused }
}

/** Return null for a file that is missing, or that is not the one that was written. */
async function entryOf(
  out: string,
  { recorded, ...wanted }: WantedFile,
  painting: string,
): Promise<ProvenanceFile | null> {
  const path = join(out, wanted.path)
  try {
    const { sha256, bytes } = await hashFile(path)
    if (wanted.kind === 'image' && recorded !== undefined && recorded !== sha256) return null
    const { header, mark, hasMore, voxels } = await readScanFacts(path)
    const { kind, verdict, variant, host } = wanted
    const isOwn =
      mark === null ||
      (mark.voxels === voxels &&
        mark.settings === painting &&
        JSON.stringify([mark.kind, mark.verdict, mark.variant, mark.host]) ===
          JSON.stringify([kind, verdict, variant, host]))
    if (!isOwn || hasMore) return null
    return { ...wanted, bytes, sha256, voxels, header, mark: mark && markHash(mark) }
  } catch (error) {
    if (error instanceof DataError) return null
    throw error
  }
}

/** Return the files of the ledger, in its order. */
function wantedFiles(lines: readonly SynthesisLine[]): WantedFile[] {
  const scans = new Map<string, SynthesisLine[]>()
  for (const line of lines) {
    const path = line.file === undefined ? rejectedPath(line) : `imagesTr/${line.file}`
    if (path !== null) scans.set(path, [...(scans.get(path) ?? []), line])
  }
  return [...scans].flatMap(([image, made]) => {
    const { case: caseId, variant, host, seed, sha256, rejectedFile } = made[0]!
    const folders = { image: 'imagesTr', label: 'labelsTr', change: 'changeTr', tumors: 'tumorsTr' }
    return MARKED_KINDS.map((kind): WantedFile => {
      const path = image.replace('imagesTr', folders[kind])
      return {
        path: kind === 'image' ? path : path.replace(/_0000\.nii\.gz$/, '.nii.gz'),
        kind,
        verdict: rejectedFile === undefined ? 'accepted' : 'rejected',
        case: caseId,
        ...{ variant, host, seed },
        tumors: made.map(({ tumor, attempt, organ, size }) => ({ tumor, attempt, organ, size })),
        recorded: sha256,
      }
    })
  })
}

function rejectedPath({ rejectedFile }: SynthesisLine): string | null {
  return rejectedFile === undefined ? null : `rejected/imagesTr/${rejectedFile}`
}
