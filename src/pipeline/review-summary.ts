import { rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError } from '../errors.js'
import { asRecord, readForeignJson } from '../foreign-text.js'
import { readJsonLog } from '../jsonl.js'
import type { SynthesisLine } from '../quality/ledger.js'
import { decisionsOf, type ReviewCounts, readReviewFile, type TumorDecision } from '../quality/reviews.js'
import { writeWhole } from '../whole-file.js'
import { type ReviewAgreement, reviewAgreement } from './review-agreement.js'

/** Name of a review file in the folder of its synthetic data set. */
export const REVIEW_FILE = 'reviews.jsonl'
/** Use of reviews, in the folder of a data set or a run. */
const SUMMARY_FILE = 'reviews.json'

/** Use of a review file by a synthesis or a training, and the agreement of its reviewers; `reviews.json`. */
export interface ReviewSummary extends ReviewCounts {
  readonly file: string
  readonly sha256: string
  readonly agreement: ReviewAgreement
}

/** A review file that was read. */
export interface OpenedReviews {
  readonly file: string
  readonly sha256: string
  readonly decisions: readonly TumorDecision[]
  readonly agreement: ReviewAgreement
}

/**
 * Read a review file.
 * @param path the file, or the folder that holds `reviews.jsonl`
 * @throws DataError that names the file and the line
 */
export async function openReviews(path: string): Promise<OpenedReviews> {
  const file = await reviewFileAt(path)
  const { lines, sha256 } = await readReviewFile(file)
  return { file, sha256, decisions: decisionsOf(lines), agreement: reviewAgreement(lines) }
}

/**
 * Read the ledger of a reviewed data set, line by line.
 * @throws DataError for a line that is none of a ledger
 */
export async function* readReviewedLedger(path: string): AsyncIterable<SynthesisLine> {
  let number = 0
  for await (const line of readJsonLog<SynthesisLine>(path)) {
    number++
    if (!isLedgerLine(line))
      throw new DataError(`${path}: line ${number}: not a line of a ledger`, {
        hint: 'remove that line, or synthesize again',
      })
    yield line
  }
}

/** Return whether a line has what the use of reviews takes from it; it may be one of an earlier version. */
function isLedgerLine(value: unknown): boolean {
  const { case: id, file = '', sha256 = '', review = 'accept' } = asRecord(value) ?? {}
  return (
    [id, file, sha256].every((text) => typeof text === 'string') && /^(accept|reject)$/.test(String(review))
  )
}

/** Decisions of a review file, counted. */
export interface ReviewOverview {
  readonly file: string
  readonly sha256: string
  /** Reviewed tumors by their joint decision; `undecided` are ties. */
  readonly tumors: { readonly accepted: number; readonly rejected: number; readonly undecided: number }
  readonly reviewers: readonly ReviewerOverview[]
  readonly agreement: ReviewAgreement
}

export interface ReviewerOverview {
  readonly reviewer: string
  readonly accepted: number
  readonly rejected: number
  /** Mean time spent on a standing decision. */
  readonly secondsPerDecision: number
}

/** Count the decisions of a review file; see `openReviews`. */
export async function overviewOfReviews(path: string): Promise<ReviewOverview> {
  const { file, sha256, decisions, agreement } = await openReviews(path)
  const joint = (wanted: string): number => decisions.filter((one) => one.joint === wanted).length
  const standing = decisions.flatMap((one) => one.standing)
  const names = [...new Set(standing.map(({ reviewer }) => reviewer))].sort()
  return {
    file,
    sha256,
    tumors: { accepted: joint('accept'), rejected: joint('reject'), undecided: joint('undecided') },
    reviewers: names.map((reviewer) => {
      const own = standing.filter((one) => one.reviewer === reviewer)
      const accepted = own.filter(({ decision }) => decision === 'accept').length
      const seconds = own.reduce((sum, one) => sum + one.seconds, 0)
      const secondsPerDecision = seconds / own.length
      return { reviewer, accepted, rejected: own.length - accepted, secondsPerDecision }
    }),
    agreement,
  }
}

/** Return the review file at a path: the path, or `reviews.jsonl` in the folder. */
export async function reviewFileAt(path: string): Promise<string> {
  const at = resolve(path)
  const isFolder = await stat(at).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return isFolder ? join(at, REVIEW_FILE) : at
}

/** Combine a review file with the counts of its use. */
export function summariseReviews(
  { file, sha256, agreement }: OpenedReviews,
  counts: ReviewCounts,
): ReviewSummary {
  return { file, sha256, ...counts, agreement }
}

/** Write `reviews.json` into the folder of a data set or a run; without a summary, remove an earlier one. */
export async function writeReviewSummary(folder: string, summary: ReviewSummary | null): Promise<void> {
  const path = join(folder, SUMMARY_FILE)
  if (summary === null) await rm(path, { force: true })
  else await writeWhole(path, `${JSON.stringify(summary, null, 2)}\n`)
}

/** Read `reviews.json` of a data set or a run; null if it has none, or a damaged one. */
export async function readReviewSummary(folder: string): Promise<ReviewSummary | null> {
  const found = await readForeignJson(join(folder, SUMMARY_FILE)).catch(() => null)
  return isSummary(found) ? found : null
}

function isSummary(value: unknown): value is ReviewSummary {
  const summary = asRecord(value)
  const agreement = asRecord(summary?.agreement)
  const counts = ['kept', 'dropped', 'confirmed', 'undecided', 'unused', 'stale']
  const isFigure = (one: unknown): boolean => {
    const { kappa, ci, observed, n } = asRecord(one) ?? {}
    const isNumber = (end: unknown): boolean => typeof end === 'number'
    return (
      isNumber(n) &&
      [kappa, observed].every((number) => number === null || isNumber(number)) &&
      (ci === null || (Array.isArray(ci) && ci.every(isNumber)))
    )
  }
  const isPair = (one: unknown): boolean => isFigure(one) && isTexts(asRecord(one)?.reviewers)
  return (
    typeof summary?.sha256 === 'string' &&
    typeof summary.file === 'string' &&
    counts.every((use) => typeof summary[use] === 'number') &&
    isTexts(summary.firstStale) &&
    Array.isArray(agreement?.pairs) &&
    agreement.pairs.every(isPair) &&
    isFigure(agreement.overall)
  )
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

/** Return the counts as a sentence. */
export function reviewCountsInWords(counts: ReviewCounts): string {
  const { kept, dropped, confirmed, undecided, unused } = counts
  return `reviews: ${kept} kept against the rule, ${dropped} dropped, ${confirmed} confirmed, ${undecided} undecided, ${unused} unused`
}

/** Return a warning about decisions that do not apply; null if there are none. */
export function staleWarning({ stale, firstStale }: ReviewCounts): string | null {
  if (stale === 0) return null
  const more = stale > firstStale.length ? ' ...' : ''
  return `reviews: ${stale} on other versions of the files do not apply: ${firstStale.join(', ')}${more}`
}
