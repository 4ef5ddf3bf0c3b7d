import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { UsageError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { countUses, type ReviewedTumor, type TumorDecision } from '../../quality/reviews.js'
import type { CaseToPrepare } from '../prepare/run.js'
import { openReviews, type ReviewSummary, readReviewedLedger, summariseReviews } from '../review-summary.js'
import { PAINTING, recordedSettings } from './record.js'
import type { SynthesisSettings } from './settings.js'

/** The decisions of reviewers on an earlier synthesis of the same settings. */
export interface SynthesisReviews {
  readonly sha256: string
  /** Number of standing decisions of each reviewer, in the order of their first ones. */
  readonly decisions: readonly number[]
  /** Return the joint decision on an attempt; null if no review of this very tumor decides it. */
  decisionOn(line: SynthesisLine): 'accept' | 'reject' | null
  /** Count the use of the decisions in a finished ledger. */
  summaryOf(ledger: readonly SynthesisLine[]): ReviewSummary
}

interface Reviewed {
  readonly decision: TumorDecision
  /** The attempt of the reviewed data set; null if no file of it is the reviewed one. */
  readonly line: SynthesisLine | null
}

/**
 * Read the reviews of a synthetic data set, whose ledger lies in the same folder.
 * @param path the review file, or the folder that holds `reviews.jsonl`
 * @throws DataError for a damaged file; UsageError without a ledger next to it, or if other settings made its data set
 */
export async function openSynthesisReviews(
  path: string,
  settings: SynthesisSettings,
  checkpoints: SynthesisLine['checkpoints'],
  hosts: readonly CaseToPrepare[],
): Promise<SynthesisReviews> {
  const opened = await openReviews(path)
  const folder = dirname(opened.file)
  const ledger = join(folder, 'ledger.jsonl')
  await access(ledger).catch((cause: unknown) => {
    throw new UsageError(`${opened.file}: no ledger next to it (expected ${ledger}, found none)`, {
      hint: 'copy the review file into the folder of its synthetic data set',
      cause,
    })
  })
  await refuseOtherPainting(opened.file, settings, checkpoints)
  const { lines, earlier } = await reviewedLines(ledger, opened.decisions)
  const images = new Map(hosts.map(({ id, image }) => [id, image]))
  const reviewed: Reviewed[] = []
  const hashes = new Map<string, string>()
  const decided = opened.decisions.map((decision) => ({
    decision,
    line: lines.get(keyOf(decision)) ?? null,
  }))
  const again = new Set(decided.flatMap(({ line }) => (line === null ? [] : [attemptKey(line)])))
  const carried = earlier.filter((line) => !again.has(attemptKey(line))).map(carriedDecision)
  for (const { decision, line } of [...decided, ...carried]) {
    const image = images.get(decision.case)
    const isSameHost = line !== null && image !== undefined && (await sha256Of(image, hashes)) === line.host
    // a host that this synthesis does not use has no attempt to compare
    reviewed.push({ decision, line: image === undefined || isSameHost ? line : null })
  }
  const byAttempt = new Map(
    reviewed.flatMap(({ decision, line }) => (line === null ? [] : [[attemptKey(line), { decision, line }]])),
  )
  return {
    sha256: opened.sha256,
    decisions: decisionsByReviewer(opened.decisions),
    decisionOn: (line) => {
      const found = byAttempt.get(attemptKey(line))
      if (found === undefined || !isSameTumor(found.line, line)) return null
      return found.decision.joint === 'undecided' ? null : found.decision.joint
    },
    summaryOf: (finished) => {
      const attempts = new Map(finished.map((line) => [attemptKey(line), line]))
      const uses = reviewed.map(({ decision, line }) => [decision, useOf(decision, line, attempts)] as const)
      return summariseReviews(opened, countUses(uses))
    },
  }
}

function decisionsByReviewer(decisions: readonly TumorDecision[]): readonly number[] {
  const counts = new Map<string, number>()
  for (const { reviewer } of decisions.flatMap(({ standing }) => standing))
    counts.set(reviewer, (counts.get(reviewer) ?? 0) + 1)
  return [...counts.values()]
}

function useOf(
  { joint }: TumorDecision,
  line: SynthesisLine | null,
  attempts: ReadonlyMap<string, SynthesisLine>,
): 'kept' | 'dropped' | 'confirmed' | 'undecided' | 'unused' | 'stale' {
  if (line === null) return 'stale'
  const made = attempts.get(attemptKey(line))
  if (made === undefined) return 'unused'
  if (!isSameTumor(line, made)) return 'stale'
  if (joint === 'undecided') return 'undecided'
  if (made.reason !== 'review') return 'confirmed'
  return made.verdict === 'accepted' ? 'kept' : 'dropped'
}

interface LedgerOfReviews {
  /** Attempts whose files were reviewed, by tumor and version. */
  readonly lines: ReadonlyMap<string, SynthesisLine>
  /** Attempts on which the synthesis of this ledger already applied a decision. */
  readonly earlier: readonly SynthesisLine[]
}

/** Return the attempt of an earlier synthesis with the decision that it applied: reviews of its results add to it. */
function carriedDecision(line: SynthesisLine): { decision: TumorDecision; line: SynthesisLine } {
  const { case: id, variant, tumor, sha256 = '', review } = line
  return { decision: { case: id, variant, tumor, sha256, standing: [], joint: review! }, line }
}

async function reviewedLines(ledger: string, decisions: readonly TumorDecision[]): Promise<LedgerOfReviews> {
  const wanted = new Set(decisions.map(tumorKey))
  const lines = new Map<string, SynthesisLine>()
  const earlier: SynthesisLine[] = []
  const hashes = new Map<string, string>()
  for await (const line of readReviewedLedger(ledger)) {
    if (line.review !== undefined) earlier.push(line)
    if (!wanted.has(tumorKey(line))) continue
    const sha256 = line.sha256 ?? (await hashOfFile(line, dirname(ledger), hashes))
    if (sha256 !== null) lines.set(keyOf({ ...line, sha256 }), line)
  }
  return { lines, earlier }
}

/** Return the hash of a file whose line states none, as in version 0.1; null without a file. */
async function hashOfFile(
  { file }: SynthesisLine,
  folder: string,
  known: Map<string, string>,
): Promise<string | null> {
  // the ledger may come from a stranger
  if (file === undefined || file !== basename(file)) return null
  return await sha256Of(join(folder, 'imagesTr', file), known)
}

async function refuseOtherPainting(
  file: string,
  settings: SynthesisSettings,
  checkpoints: SynthesisLine['checkpoints'],
): Promise<void> {
  const record = join(dirname(file), 'synthesis.json')
  const before = asRecord(await readForeignJson(record)) ?? {}
  const now = JSON.parse(
    JSON.stringify(recordedSettings(settings, checkpoints, { reviews: null, calibration: null })),
  ) as typeof before
  const part = (of: typeof before, section: string, keys: readonly string[]): unknown =>
    keys.map((key) => asRecord(of[section])?.[key])
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b)
  const painting = [...PAINTING.synthesize, ...PAINTING.shrunk]
  const others = [
    ...PAINTING.top.filter((key) => differs(before[key], now[key])),
    ...(differs(part(before, 'synthesize', painting), part(now, 'synthesize', painting))
      ? ['synthesize']
      : []),
    ...(differs(part(before, 'checkpoints', ['generator']), part(now, 'checkpoints', ['generator']))
      ? ['generator']
      : []),
    ...(differs(part(before, 'weights', ['generator']), part(now, 'weights', ['generator']))
      ? ['weights']
      : []),
  ]
  if (others.length > 0)
    throw new UsageError(`${file}: reviews a synthesis of other settings (${others.join(', ')})`, {
      hint: `use the settings of ${record}`,
    })
}

/** Return whether two lines are the same tumor, painted into the same place. */
function isSameTumor(one: SynthesisLine, other: SynthesisLine): boolean {
  const facts = ({ seed, k, plan }: SynthesisLine): string => JSON.stringify([seed, k, plan])
  return facts(one) === facts(other)
}

function tumorKey({ case: id, variant, tumor }: Omit<ReviewedTumor, 'sha256'>): string {
  return JSON.stringify([id, variant, tumor])
}

function keyOf({ case: id, variant, tumor, sha256 }: ReviewedTumor): string {
  return JSON.stringify([id, variant, tumor, sha256])
}

function attemptKey({ case: id, variant, tumor, attempt }: SynthesisLine): string {
  return JSON.stringify([id, variant, tumor, attempt])
}

/** Return the SHA-256 of a file; null if it cannot be read. */
async function sha256Of(path: string, known: Map<string, string>): Promise<string | null> {
  const found = known.get(path)
  if (found !== undefined) return found
  const hash = createHash('sha256')
  const isRead = await pipeline(createReadStream(path, { highWaterMark: 4 << 20 }), hash).then(
    () => true,
    () => false,
  )
  if (!isRead) return null
  const sha256 = hash.digest('hex')
  known.set(path, sha256)
  return sha256
}
