import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { DataError } from '../../errors.js'
import { parseForeignJson } from '../../foreign-text.js'
import { reviewAgreement } from '../../pipeline/review-agreement.js'
import {
  appendReview,
  decisionsOf,
  REVIEW_BOUNDS,
  type ReviewedTumor,
  type ReviewLine,
  readReviewFile,
  reviewsCsv,
  type TumorDecision,
} from '../../quality/reviews.js'
import { realPathInside } from '../inside.js'
import { type FileHashes, stampOf } from './file-hash.js'
import type { AgreementFigure, ItemDecision, NewDecision, Reviews } from './messages.js'
import type { SyntheticCollection } from './synthetic.js'

const newDecision = z.strictObject({
  revision: z.string().max(100),
  at: z.int().min(0),
  reviewer: z.string().trim().min(1).max(REVIEW_BOUNDS.reviewer),
  decision: z.enum(['accept', 'reject', 'undo']),
  reason: z.string().trim().max(REVIEW_BOUNDS.reason).nullable(),
  seconds: z.number().min(0).max(1e6),
}) satisfies z.ZodType<NewDecision>

/** Return the decision of a request body; null if it is none. */
export function parseDecision(text: string): NewDecision | null {
  try {
    return newDecision.parse(parseForeignJson(text, 'decision', { depth: 4, values: 16 }))
  } catch {
    return null
  }
}

/** Reads and appends decisions on synthetic data sets. */
export class Decisions {
  readonly #read = new Map<string, { readonly stamp: string; readonly lines: readonly ReviewLine[] }>()
  #appending: Promise<unknown> = Promise.resolve()

  /** @param file takes the decisions on all data sets; null: each data set has its own */
  constructor(
    private readonly file: string | null,
    private readonly hashes: FileHashes,
    private readonly version: string,
  ) {}

  /** Return the file that takes the decisions on a data set. */
  fileOf({ path }: SyntheticCollection): string {
    return this.file ?? join(path, 'reviews.jsonl')
  }

  /** Return the decisions; null if they have the version that the page knows. @throws DataError */
  async of(collection: SyntheticCollection, known: string | undefined): Promise<Reviews | null> {
    const { stamp, lines } = await this.#lines(collection)
    const version = `${stamp}/${collection.revision}.${collection.columns.count}/${this.hashes.generation}`
    if (version === known) return null
    const decided = decisionsOf(lines)
    const placed = await Promise.all(decided.map((one) => this.#placed(collection, one)))
    const decisions = placed.filter((one) => one !== null)
    return {
      version,
      file: this.fileOf(collection),
      decisions,
      elsewhere: decided.length - decisions.length,
      agreement: agreementOf(
        lines,
        decided.filter((_, at) => placed[at]?.stale === false),
      ),
    }
  }

  /** Append a decision; resolve when it is on the disk. @throws DataError, EnvironmentError */
  async add(
    collection: SyntheticCollection,
    { revision: _, at, ...given }: NewDecision,
  ): Promise<ReviewLine> {
    const scan = collection.scanAt(at)
    const sha256 = scan === null ? null : await this.hashes.of(collection.root, scan)
    if (sha256 === null)
      throw new DataError('decision: no scan (expected a tumor whose synthetic scan exists)', {
        hint: 'reload the page',
      })
    const recorded = collection.sha256At(at)
    if (recorded !== null && recorded !== sha256)
      throw new DataError(
        `${scan}: changed since its synthesis (expected SHA-256 ${recorded}, found ${sha256})`,
        { hint: 'restore it, or synthesize again' },
      )
    const file = await this.#writable(collection)
    const line: ReviewLine = {
      time: new Date().toISOString(),
      ...collection.tumorAt(at),
      ...given,
      sha256,
      seconds: Number(given.seconds.toFixed(1)),
      version: this.version,
    }
    // one after another, so that the lines have the order of their times
    const work = this.#appending.then(() => appendReview(file, line))
    this.#appending = work.catch(() => {})
    await work
    return line
  }

  /** Return all decisions of the file as CSV. @throws DataError */
  async csv(collection: SyntheticCollection): Promise<string> {
    return reviewsCsv((await this.#lines(collection)).lines)
  }

  /** The file of a data set must not lead out of its folder; a file that the user names may lie anywhere. */
  async #writable(collection: SyntheticCollection): Promise<string> {
    const file = this.fileOf(collection)
    if (this.file !== null || (await realPathInside(collection.root, file)) !== null) return file
    // a link to no file would create one where it leads
    const found = await lstat(file).catch(() => null)
    if (found !== null) throw new DataError(`${file}: links to a missing file`, { hint: 'remove the link' })
    return file
  }

  async #lines(
    collection: SyntheticCollection,
  ): Promise<{ readonly stamp: string; readonly lines: readonly ReviewLine[] }> {
    const file = await this.#writable(collection)
    const stamp = await stampOf(this.file === null ? collection.root : '/', file)
    if (stamp === null) return { stamp: 'missing', lines: [] }
    const known = this.#read.get(file)
    if (known?.stamp === stamp) return known
    const read = { stamp, lines: (await readReviewFile(file)).lines }
    this.#read.set(file, read)
    return read
  }

  async #placed(collection: SyntheticCollection, one: TumorDecision): Promise<ItemDecision | null> {
    const candidates = collection.itemsOf(one.case, one.variant, one.tumor)
    const hashes = await Promise.all(
      candidates.map(
        (at) => collection.sha256At(at) ?? this.hashes.peek(collection.root, collection.scanAt(at)!),
      ),
    )
    const exact = hashes.indexOf(one.sha256)
    const unknown = hashes.indexOf(null)
    // until the hash of a file is known, its decision is shown as one on this file
    const place = exact >= 0 ? exact : unknown >= 0 ? unknown : candidates.length - 1
    const at = candidates[place]
    if (at === undefined) return null
    return {
      at,
      joint: one.joint,
      votes: one.standing.map(({ reviewer, decision, reason }) => ({ reviewer, decision, reason })),
      stale: exact < 0 && unknown < 0,
    }
  }
}

/** Return the agreement of the reviewers on some tumors; null unless two of them share a tumor. */
function agreementOf(lines: readonly ReviewLine[], tumors: readonly TumorDecision[]): AgreementFigure | null {
  const shared = tumors.filter(({ standing }) => standing.length > 1)
  const reviewers = new Set(shared.flatMap(({ standing }) => standing.map(({ reviewer }) => reviewer)))
  if (reviewers.size < 2) return null
  const wanted = new Set(shared.map(keyOf))
  const { pairs, overall } = reviewAgreement(lines.filter((line) => wanted.has(keyOf(line))))
  const { kappa, ci, observed } = reviewers.size === 2 ? pairs[0]! : overall
  const method = reviewers.size === 2 ? 'Cohen' : 'Fleiss'
  return { method, kappa, ci, observed, items: shared.length, reviewers: reviewers.size }
}

function keyOf({ case: caseId, variant, tumor, sha256 }: ReviewedTumor): string {
  return JSON.stringify([caseId, variant, tumor, sha256])
}
