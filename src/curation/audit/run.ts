import type { Vec3 } from '../../volume/volume.js'
import type { FingerprintAnswer } from '../case-tasks.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { Dataset } from '../datasets/registry.js'
import { meet, sideOf } from '../split/sides.js'
import type { Reading } from './coarse-grid.js'
import type { Fingerprint } from './fingerprint.js'
import { knownOverlaps, type SharedSources } from './known-overlaps.js'
import { decodeLandmarks } from './landmarks.js'
import { type Candidate, findCandidates } from './neighbours.js'
import { SAME_SCAN_CORRELATION, type ScanComparison } from './same-scan.js'

/** `exact`: the same voxels; `near`: a part or a copy of them; `patient`: another scan; `known`: by its name. */
export type PairKind = 'exact' | 'near' | 'patient' | 'known'

/** Two cases that are not independent. */
export interface AuditPair {
  readonly kind: PairKind
  /** Ids; of a `known` pair the second may be the name of a data set. */
  readonly cases: readonly [string, string]
  /** Where each stands: `test`, `validation`, `training`, `training, fold 2`. */
  readonly sides: readonly [string, string]
  /** One trains where the other is held out. */
  readonly leak: boolean
  /** One was made from the other, or both from one host. */
  readonly family: boolean
  readonly message: string
  /** Of a `near` pair: shares of voxel patterns, landmarks that agree, correlation of the noise. */
  readonly measures?: {
    readonly sharedPatterns: number
    readonly landmarks: number
    readonly noiseCorrelation: number | null
  }
  /** Of a `near` pair: where the second scan's low corner lies in the first, mm; null when unknown. */
  readonly offsetMm?: Vec3 | null
}

export interface AuditReport {
  /** No training case meets a held-out one. */
  readonly ok: boolean
  readonly numCases: number
  /** Leaks first, then by kind and name. */
  readonly pairs: readonly AuditPair[]
  /** Data sets that are known to share scans, nobody says which: what was found between them is in `pairs`. */
  readonly sharedSources: readonly SharedSources[]
  /** Cases that could not be read, and so were compared with nothing. */
  readonly unreadable: readonly { readonly case: string; readonly message: string }[]
  /** Pairs of scans that were looked at more closely because landmarks agreed. */
  readonly compared: number
}

/** A scan of the audit, and how its numbers are read. */
export interface AuditScan {
  readonly case: ManifestCase
  readonly reading: Reading
}

export interface AuditOptions {
  /** Data sets of one's own, with the overlaps that are known. */
  readonly own?: readonly Dataset[]
  /** Reads both scans and compares their noise. */
  readonly compare: (a: AuditScan, b: AuditScan, offsetMm: Vec3) => Promise<ScanComparison>
  readonly onCompared?: ((done: number, total: number) => void) | undefined
}

/** The same voxels, all in one hash. */
interface Scan {
  readonly cases: readonly ManifestCase[]
  readonly fingerprint: Fingerprint
}

/** Everything in a collection of cases that is not independent, and whether it stands on two sides of a split. */
export async function auditCases(
  cases: readonly ManifestCase[],
  answers: readonly FingerprintAnswer[],
  options: AuditOptions,
): Promise<AuditReport> {
  const scans = distinctScans(cases, answers)
  const { pairs: near, compared } = await nearPairs(scans, options)
  // A synthetic case beside its host, on the same side, is as it should be.
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

function distinctScans(cases: readonly ManifestCase[], answers: readonly FingerprintAnswer[]): Scan[] {
  const byHash = new Map<string, { cases: ManifestCase[]; fingerprint: Fingerprint }>()
  for (const [at, answer] of answers.entries()) {
    if (!('fingerprint' in answer)) continue
    const { fingerprint } = answer
    const known = byHash.get(fingerprint.exact)
    if (known) known.cases.push(cases[at]!)
    else byHash.set(fingerprint.exact, { cases: [cases[at]!], fingerprint })
  }
  return [...byHash.values()]
}

/** Beyond this many copies of one scan, pairs of all with one held-out copy (or the first) stand for all pairs. */
const LISTED_COPIES = 16

function exactPairs({ cases }: Scan): AuditPair[] {
  const hub = cases.find(({ split }) => split !== 'training') ?? cases[0]!
  return cases.flatMap((a, at) =>
    cases.slice(at + 1).flatMap((b) => {
      if (cases.length > LISTED_COPIES && a !== hub && b !== hub) return []
      return [pairOf('exact', a, b, 'the same voxels, whatever their headers say')]
    }),
  )
}

async function nearPairs(scans: readonly Scan[], { compare, onCompared }: AuditOptions) {
  const candidates = findCandidates(
    scans.map(({ fingerprint }) => ({
      sketch: fingerprint.sketch,
      landmarks: fingerprint.landmarks.map(({ encoded }) => decodeLandmarks(encoded)),
    })),
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

/** Voxel patterns prove a copy without the images; landmarks only say that a look is worth it. */
async function comparisonOf(
  a: Scan,
  b: Scan,
  { proven, landmarks }: Candidate,
  compare: AuditOptions['compare'],
): Promise<ScanComparison | null> {
  if (proven || landmarks === null) return null
  const scanOf = (scan: Scan, reading: number): AuditScan => ({
    case: scan.cases[0]!,
    reading: scan.fingerprint.landmarks[reading]!.reading,
  })
  return compare(scanOf(a, landmarks.readingA), scanOf(b, landmarks.readingB), landmarks.offsetMm)
}

/** The pairs of two scans that are one; of many copies of each, only one that meets. */
function copiesOf(a: Scan, b: Scan, candidate: Candidate, comparison: ScanComparison | null): AuditPair[] {
  const noise = comparison?.noiseCorrelation ?? null
  const message =
    noise === null
      ? `${(100 * candidate.sharedPatterns).toFixed(0)} % of the voxel patterns are the same: a part of it, or other padding or limits`
      : `the noise is the same (correlation ${noise.toFixed(2)}): a resampled or windowed copy`
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

/** One pair for every patient that stands on two sides, unless a pair that was found already tells of it. */
function patientPairs(cases: readonly ManifestCase[], found: readonly AuditPair[]): AuditPair[] {
  const told = new Set(found.filter(({ leak }) => leak).map(({ cases: pair }) => pair.join('\0')))
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
    if (!first || meeting.every(({ cases: pair }) => told.has(pair.join('\0')))) return []
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
    const message = `known of ${item.dataset}: ${note}`
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
