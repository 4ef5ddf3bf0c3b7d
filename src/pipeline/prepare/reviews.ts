import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { RunConfig } from '../../config/schema.js'
import { caseFileNames } from '../../curation/case-file-names.js'
import type { CuratedCase, Curation } from '../../curation/datasets/curate.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { countUses, type ReviewedTumor, type TumorDecision } from '../../quality/reviews.js'
import { cannotBeRead } from '../../system-errors.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import { makingParents } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import {
  openReviews,
  type ReviewSummary,
  readReviewedLedger,
  reviewCountsInWords,
  staleWarning,
  summariseReviews,
} from '../review-summary.js'

/** The sections that name reviews, and the place of the labels that they change. */
export type ReviewSettings = Pick<RunConfig, 'quality' | 'prepare'>

/** Cases after a review. */
export interface ReviewedCuration extends Curation {
  readonly cases: readonly ReviewedCase[]
  /** Null without `quality.reviews`. */
  readonly reviews: TrainingReviews | null
}

export interface ReviewedCase extends CuratedCase {
  /** Name of the case in the cache, if its label depends on reviews. Default: its id. */
  readonly cacheId?: string
}

/** Use of the reviews in the cases of a training. */
export interface TrainingReviews extends ReviewSummary {
  /** Scans with ignored voxels of dropped tumors. */
  readonly changedScans: number
  /** Scans that are left out, because reviewers dropped all their tumors. */
  readonly leftOutScans: readonly string[]
}

/** A synthetic scan among the cases, with the tumors that its ledger states. */
interface SyntheticScan {
  readonly item: CuratedCase
  readonly tumors: readonly SynthesisLine[]
}

/**
 * Apply reviews to synthetic scans of any data set with a ledger: the voxels of a dropped tumor are ignored, and a scan
 * without another tumor is left out. Other cases stay as they are.
 * @throws DataError for a damaged review file, or a data set without the numbers of its tumors
 */
export async function applyReviews(
  settings: ReviewSettings,
  curation: Curation,
  context: StageContext,
): Promise<ReviewedCuration> {
  const path = settings.quality.reviews
  if (path === null) return { ...curation, reviews: null }
  const opened = await openReviews(path)
  const { scans, unused } = await syntheticScans(curation.cases, opened.decisions)
  const hashes = new Map<string, string>()
  const dropped = new Map<CuratedCase, number[]>()
  const uses: [ReviewedTumor, 'dropped' | 'confirmed' | 'undecided' | 'unused' | 'stale'][] = []
  for (const decision of opened.decisions) {
    const found = await scanOf(decision, scans, hashes)
    if (found !== null && decision.joint === 'reject')
      dropped.set(found, [...(dropped.get(found) ?? []), decision.tumor])
    uses.push([decision, useOf(decision, found !== null, unused)])
  }
  const cases: ReviewedCase[] = []
  const leftOutScans: string[] = []
  for (const item of curation.cases) {
    const numbers = dropped.get(item)
    if (numbers === undefined) cases.push(item)
    else if (isLeftOut(item, numbers, scans)) leftOutScans.push(item.id)
    else cases.push(await withIgnoredTumors(settings, item, numbers, hashes))
  }
  const reviews = {
    ...summariseReviews(opened, countUses(uses)),
    changedScans: dropped.size - leftOutScans.length,
    leftOutScans,
  }
  noteReviews(reviews, context)
  return { ...curation, cases, reviews }
}

function noteReviews(reviews: TrainingReviews, context: StageContext): void {
  const { changedScans, leftOutScans } = reviews
  const names = leftOutScans.slice(0, 3).join(', ')
  const first = leftOutScans.length > 0 ? `, first ${names}` : ''
  context.note(
    `${reviewCountsInWords(reviews)}; ${counted(changedScans, 'scan')} with ignored tumors, ${counted(leftOutScans.length, 'scan')} left out${first}`,
  )
  const warning = staleWarning(reviews)
  if (warning !== null) context.note(warning, 'warning')
}

/**
 * Return the cases that are scans of a synthetic data set, by tumor, and the hashes of other files of the same
 * data sets.
 */
async function syntheticScans(
  cases: readonly CuratedCase[],
  decisions: readonly TumorDecision[],
): Promise<{
  readonly scans: ReadonlyMap<string, readonly SyntheticScan[]>
  readonly unused: ReadonlySet<string>
}> {
  const wanted = new Set(decisions.map(tumorKey))
  const byFile = new Map(cases.map((item) => [resolve(item.image), item]))
  const folders = new Set(
    cases.flatMap(({ image }) =>
      basename(dirname(image)) === 'imagesTr' ? [dirname(dirname(resolve(image)))] : [],
    ),
  )
  const scans = new Map<string, SyntheticScan[]>()
  const unused = new Set<string>()
  for (const folder of folders) {
    const ledger = join(folder, 'ledger.jsonl')
    if (!(await exists(ledger))) continue
    const tumors = new Map<CuratedCase, SynthesisLine[]>()
    for await (const line of readReviewedLedger(ledger)) {
      const item = line.file === undefined ? undefined : byFile.get(join(folder, 'imagesTr', line.file))
      // a used file is compared by its own bytes: it may have changed since
      if (item === undefined && line.sha256 !== undefined) unused.add(line.sha256)
      if (item !== undefined) tumors.set(item, [...(tumors.get(item) ?? []), line])
    }
    for (const [item, lines] of tumors)
      for (const line of lines.filter((one) => wanted.has(tumorKey(one))))
        scans.set(tumorKey(line), [...(scans.get(tumorKey(line)) ?? []), { item, tumors: lines }])
  }
  return { scans, unused }
}

/** Return the case whose image is the reviewed file, bit by bit; null if none is. */
async function scanOf(
  decision: TumorDecision,
  scans: ReadonlyMap<string, readonly SyntheticScan[]>,
  hashes: Map<string, string>,
): Promise<CuratedCase | null> {
  for (const { item } of scans.get(tumorKey(decision)) ?? [])
    if ((await sha256Of(item.image, hashes)) === decision.sha256) return item
  return null
}

function useOf(
  { joint, sha256 }: TumorDecision,
  isUsed: boolean,
  unused: ReadonlySet<string>,
): 'dropped' | 'confirmed' | 'undecided' | 'unused' | 'stale' {
  if (!isUsed) return unused.has(sha256) ? 'unused' : 'stale'
  if (joint === 'undecided') return 'undecided'
  return joint === 'reject' ? 'dropped' : 'confirmed'
}

function isLeftOut(
  item: CuratedCase,
  dropped: readonly number[],
  scans: ReadonlyMap<string, readonly SyntheticScan[]>,
): boolean {
  const all = [...scans.values()].flat().find((scan) => scan.item === item)!.tumors
  return all.every(({ tumor }) => dropped.includes(tumor))
}

/** Return a case whose label map ignores the voxels of dropped tumors. The map lies in the cache, named by its content. */
async function withIgnoredTumors(
  { prepare }: ReviewSettings,
  item: CuratedCase,
  dropped: readonly number[],
  hashes: Map<string, string>,
): Promise<ReviewedCase> {
  const label = item.label!
  const numbers = join(dirname(dirname(label)), 'tumorsTr', basename(label))
  if (!(await exists(numbers)))
    throw new DataError(
      `${cannotBeRead(numbers, 'ENOENT')}: the dropped tumors of ${item.id} have no numbers`,
      {
        hint: 'write the data set with this version of `freetumor synthesize`',
      },
    )
  const { id: ignored, map } = ignoredId(item.labelMap)
  const sorted = [...dropped].sort((a, b) => a - b)
  const inputs = [await sha256Of(label, hashes), await sha256Of(numbers, hashes), sorted, ignored]
  const hash = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 12)
  const folder = join(resolve(prepare.cache), 'reviewed')
  const file = join(folder, `${caseFileNames([item.id]).get(item.id)}_${hash}.nii.gz`)
  if (!(await exists(file))) {
    const [volume, tumors] = [await readNifti(label), await readNifti(numbers)]
    if (
      volume.data.length !== tumors.data.length ||
      volume.shape.some((side, at) => side !== tumors.shape[at])
    )
      throw new DataError(
        `${numbers}: wrong grid (expected ${volume.shape.join(' x ')} voxels, found ${tumors.shape.join(' x ')})`,
        { hint: 'write the data set again with `freetumor synthesize`' },
      )
    const data = Uint8Array.from(volume.data)
    for (let at = 0; at < data.length; at++) if (sorted.includes(tumors.data[at]! - 1)) data[at] = ignored
    const reviewed = { shape: volume.shape, affine: volume.affine, data }
    await makingParents(file, () => writeNifti(file, reviewed))
  }
  return { ...item, label: file, labelMap: map, cacheId: `${item.id}~reviewed-${hash}` }
}

/** Return the id of ignored voxels in the files of a label map, and the map with it. */
function ignoredId(labelMap: LabelIdMap): { readonly id: number; readonly map: LabelIdMap } {
  const known = Object.keys(labelMap).find((id) => id !== '0' && labelMap[id] === IGNORED_LABEL)
  if (known !== undefined) return { id: Number(known), map: labelMap }
  let id = IGNORED_LABEL
  while (id > 1 && labelMap[String(id)] !== undefined) id--
  return { id, map: { ...labelMap, [String(id)]: IGNORED_LABEL } }
}

function tumorKey({ case: id, variant, tumor }: Omit<ReviewedTumor, 'sha256'>): string {
  return JSON.stringify([id, variant, tumor])
}

async function sha256Of(path: string, known: Map<string, string>): Promise<string> {
  const found = known.get(path)
  if (found !== undefined) return found
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 4 << 20 }), hash)
  const sha256 = hash.digest('hex')
  known.set(path, sha256)
  return sha256
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
