import type { Vec3 } from '../../volume/volume.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { Dataset } from '../datasets/registry.js'
import { meet, sideOf } from '../split/sides.js'
import type { Reading } from './coarse-grid.js'
import type { Fingerprint } from './fingerprint.js'
import { knownOverlaps, type SharedSources } from './known-overlaps.js'
import { decodeLandmarks } from './landmarks.js'
import { type Candidate, findCandidates } from './neighbours.js'
import { SAME_SCAN_CORRELATION, type ScanComparison } from './same-scan.js'
import type { ScanAnswer, ScanKeys } from './scan-keys.js'

/** `exact`: equal voxels; `near`: a part or a copy of them; `patient`: another scan; `known`: by its name. */
export type PairKind = 'exact' | 'near' | 'patient' | 'known'

/** Two cases that depend on each other. */
export interface AuditPair {
  readonly kind: PairKind
  /** Ids; the second id of a `known` pair may be the name of a data set. */
  readonly cases: readonly [string, string]
  /** Side of each case: `test`, `validation`, `training`, `training, fold 2`. */
  readonly sides: readonly [string, string]
  /** One case trains while the other is held out. */
  readonly leak: boolean
  /** One case was made from the other, or both from one host CT. */
  readonly family: boolean
  readonly message: string
  /** For a `near` pair: fraction of shared voxel patterns, agreeing landmarks, correlation of the noise. */
  readonly measures?: {
    readonly sharedPatterns: number
    readonly landmarks: number
    readonly noiseCorrelation: number | null
  }
  /**
   * For a `near` pair: position of the low corner of the second scan in the first, in mm; null if unknown.
   */
  readonly offsetMm?: Vec3 | null
}

export interface AuditReport {
  /** True without a leak. */
  readonly ok: boolean
  readonly numCases: number
  /** Sorted by leak, kind and name. */
  readonly pairs: readonly AuditPair[]
  /** Data sets that share unlisted scans; the pairs found between them are in `pairs`. */
  readonly sharedSources: readonly SharedSources[]
  /** Unreadable cases, which were compared with nothing. */
  readonly unreadable: readonly { readonly case: string; readonly message: string }[]
  /** Number of pairs of scans whose images were compared because landmarks agreed. */
  readonly compared: number
}

/** A scan of the audit, with the meaning of its numbers. */
export interface AuditScan {
  readonly case: ManifestCase
  readonly reading: Reading
}

export interface AuditOptions {
  /** Read the fingerprint of a scan again, for its landmarks. */
  readonly fingerprintOf: (item: ManifestCase) => Promise<Fingerprint>
  /** Data sets of the user, with their known overlaps. */
  readonly own?: readonly Dataset[]
  /** Read both scans and compare their noise. */
  readonly compare: (a: AuditScan, b: AuditScan, offsetMm: Vec3) => Promise<ScanComparison>
  readonly onCompared?: ((done: number, total: number) => void) | undefined
}

/** Cases with equal voxels, under one hash. */
interface Scan {
  readonly cases: readonly ManifestCase[]
  readonly keys: ScanKeys
}

/** Find all pairs of cases that depend on each other, and check whether they are on two sides of a split. */
export async function auditCases(
  cases: readonly ManifestCase[],
  answers: readonly ScanAnswer[],
  options: AuditOptions,
): Promise<AuditReport> {
  const scans = distinctScans(cases, answers)
  const { pairs: near, compared } = await nearPairs(scans, options)
  // a synthetic case next to its host CT, on the same side, is correct
  const found = [...scans.flatMap(exactPairs), ...near].filter(({ leak, family }) => leak || !family)
  const known = knownOverlaps(cases, options.own)
  const pairs = [...found, ...patientPairs(cases, found), ...knownPairs(cases, known.twins)]
  return {
    ok: pairs.every(({ leak }) => !leak),
    numCases: cases.length,
    pairs: pairs.sort(byWeight),
    sharedSources: known.shared,
    unreadable: cases.flatMap(({ id }, at) => {
      const answer = answers[at]!
      return 'problem' in answer ? [{ case: id, message: answer.problem }] : []
    }),
    compared,
  }
}

function distinctScans(cases: readonly ManifestCase[], answers: readonly ScanAnswer[]): Scan[] {
  const byHash = new Map<string, { cases: ManifestCase[]; keys: ScanKeys }>()
  for (const [at, keys] of answers.entries()) {
    if ('problem' in keys) continue
    const known = byHash.get(keys.exact)
    if (known) known.cases.push(cases[at]!)
    else byHash.set(keys.exact, { cases: [cases[at]!], keys })
  }
  return [...byHash.values()]
}

/**
 * Above this number of copies of one scan, only pairs with one held-out copy (or the first copy) are listed.
 */
const LISTED_COPIES = 16

function exactPairs({ cases }: Scan): AuditPair[] {
  const hub = cases.find(({ split }) => split !== 'training') ?? cases[0]!
  return cases.flatMap((a, at) =>
    cases.slice(at + 1).flatMap((b) => {
      if (cases.length > LISTED_COPIES && a !== hub && b !== hub) return []
      return [pairOf('exact', a, b, 'equal voxels, for any header')]
    }),
  )
}

async function nearPairs(scans: readonly Scan[], { fingerprintOf, compare, onCompared }: AuditOptions) {
  const candidates = await findCandidates(
    scans.map(({ keys }) => keys),
    async (scan) => {
      const { landmarks } = await fingerprintOf(scans[scan]!.cases[0]!)
      return landmarks.map(({ encoded }) => decodeLandmarks(encoded))
    },
  )
  const pairs: AuditPair[] = []
  let compared = 0
  for (const [at, candidate] of candidates.entries()) {
    const [a, b] = [scans[candidate.a]!, scans[candidate.b]!]
    const comparison = await comparisonOf(a, b, candidate, compare)
    if (comparison) compared++
    onCompared?.(at + 1, candidates.length)
    if (candidate.proven || (comparison?.noiseCorrelation ?? 0) >= SAME_SCAN_CORRELATION)
      pairs.push(...copiesOf(a, b, candidate, comparison))
  }
  return { pairs, compared }
}

/** Compare the images if landmarks agree; voxel patterns prove a copy without the images. */
async function comparisonOf(
  a: Scan,
  b: Scan,
  { proven, landmarks }: Candidate,
  compare: AuditOptions['compare'],
): Promise<ScanComparison | null> {
  if (proven || landmarks === null) return null
  const scanOf = (scan: Scan, reading: number): AuditScan => ({
    case: scan.cases[0]!,
    reading: scan.keys.readings[reading]!,
  })
  return compare(scanOf(a, landmarks.readingA), scanOf(b, landmarks.readingB), landmarks.offsetMm)
}

/** Return the pairs of two equal scans; with many copies of each, only one pair, a leak if there is one. */
function copiesOf(a: Scan, b: Scan, candidate: Candidate, comparison: ScanComparison | null): AuditPair[] {
  const noise = comparison?.noiseCorrelation ?? null
  const message =
    noise === null
      ? `${(100 * candidate.sharedPatterns).toFixed(0)} % of the voxel patterns are equal: a part of the scan, or other padding or clipping`
      : `the noise is equal (correlation ${noise.toFixed(2)}): a resampled or windowed copy`
  const measures = {
    sharedPatterns: candidate.sharedPatterns,
    landmarks: candidate.landmarks?.votes ?? 0,
    noiseCorrelation: noise,
  }
  const offsetMm = comparison?.offsetMm ?? candidate.landmarks?.offsetMm ?? null
  const all = a.cases.flatMap((one) =>
    b.cases.map((other) => ({ ...pairOf('near', one, other, message), measures, offsetMm })),
  )
  return all.length <= LISTED_COPIES ? all : [all.find(({ leak }) => leak) ?? all[0]!]
}

/** Return one pair for every patient on two sides, unless an earlier pair covers it. */
function patientPairs(cases: readonly ManifestCase[], found: readonly AuditPair[]): AuditPair[] {
  const covered = new Set(found.filter(({ leak }) => leak).map(({ cases: pair }) => pair.join('\0')))
  const byPatient = new Map<string, ManifestCase[]>()
  for (const item of cases) {
    const scans = byPatient.get(item.patient)
    if (scans) scans.push(item)
    else byPatient.set(item.patient, [item])
  }
  return [...byPatient.values()].flatMap((scans) => {
    const meeting = scans.flatMap((a, at) =>
      scans.slice(at + 1).flatMap((b) => (meet(a, b) ? [pairOf('patient', a, b, '')] : [])),
    )
    const first = meeting[0]
    if (!first || meeting.every(({ cases: pair }) => covered.has(pair.join('\0')))) return []
    const message = `one patient on two sides${meeting.length > 1 ? `, in ${meeting.length} pairs of scans` : ''}`
    return [{ ...first, message }]
  })
}

function knownPairs(
  cases: readonly ManifestCase[],
  twins: ReturnType<typeof knownOverlaps>['twins'],
): AuditPair[] {
  return twins.map(({ case: item, dataset, note }): AuditPair => {
    const others = cases.filter((other) => other.dataset === dataset)
    const meeting = others.find((other) => meet(item, other))
    const sides = [sideOf(item), sideOf(meeting ?? others[0]!)] as const
    const message = `known overlap of ${item.dataset}: ${note}`
    const leak = meeting !== undefined
    return { kind: 'known', cases: [item.id, dataset], sides, leak, family: false, message }
  })
}

function pairOf(kind: PairKind, a: ManifestCase, b: ManifestCase, message: string): AuditPair {
  const family = a.parent === b.id || b.parent === a.id || (a.parent !== undefined && a.parent === b.parent)
  return { kind, cases: [a.id, b.id], sides: [sideOf(a), sideOf(b)], leak: meet(a, b), family, message }
}

function byWeight(a: AuditPair, b: AuditPair): number {
  const order: readonly PairKind[] = ['exact', 'near', 'known', 'patient']
  return (
    Number(b.leak) - Number(a.leak) ||
    order.indexOf(a.kind) - order.indexOf(b.kind) ||
    (a.cases.join('\0') < b.cases.join('\0') ? -1 : 1)
  )
}
