import { UsageError } from '../errors.js'
import type { OrganName } from '../volume/labels.js'
import { judge, judgeTogether, type TumorMeasures, type Verdict } from './judge.js'
import type { LedgerLine, SynthesisLine } from './ledger.js'
import {
  type JudgedKind,
  MEASURES,
  type QualityPolicy,
  RULES_AGAINST_REAL,
  wantedMeasures,
  wantsAlreadySeen,
} from './policy.js'

/** An attempt of a ledger, of a training or of an offline synthesis, that can be judged again. */
export interface SweptTry {
  readonly kind: JudgedKind
  /** Name of the tumor; all its attempts share it. */
  readonly tumor: string
  /** Name of the attempts that share one fraction if the policy has `shareOver: case`. */
  readonly round: string
  readonly measures: TumorMeasures
}

export interface SweptLedger {
  readonly tries: readonly SweptTry[]
  /** Without a baseline, only rules apply. */
  readonly hasBaseline: boolean
  /** Measures that at least one line holds. */
  readonly taken: ReadonlySet<string>
}

export interface Kept {
  readonly kept: number
  readonly of: number
}

/** Acceptance under one policy. */
export interface SweepRow {
  readonly threshold: number
  readonly tries: Kept
  /**
   * Tumors with an accepted attempt. A tumor that was given up may have had more attempts under this policy.
   */
  readonly tumors: Kept
  readonly reasons: Readonly<Record<string, number>>
  readonly byKind: readonly (JudgedKind & Kept)[]
}

/** Read the attempts that can be judged again; attempts without room are skipped. */
export async function readSweptLedger(
  lines: AsyncIterable<LedgerLine | SynthesisLine>,
): Promise<SweptLedger> {
  const tries: SweptTry[] = []
  const taken = new Set<string>()
  let looked = false
  for await (const line of lines) {
    const { organ, size, measures } = line
    if (line.verdict === 'noRoom' || !measures || organ === undefined || size === undefined) continue
    for (const name of Object.keys(measures)) taken.add(name)
    looked ||= measures.seenVoxels !== undefined && line.reason !== 'notJudged'
    tries.push({
      kind: { organ: organ as OrganName, size },
      ...placeOf(line),
      measures: measuresOf(measures),
    })
  }
  return { tries, hasBaseline: looked, taken }
}

/**
 * Judge a ledger again under other thresholds of the detected fraction. Nothing is painted or segmented
 * again.
 * @param policy rules and overrides that apply at each threshold; thresholds of overrides are ignored
 * @throws UsageError if the ledger lacks a measure that the policy needs
 */
export function sweepThresholds(
  ledger: SweptLedger,
  policy: QualityPolicy,
  thresholds: readonly number[],
): SweepRow[] {
  refuseUntaken(ledger, policy)
  return thresholds.map((threshold) => {
    const overrides = policy.overrides.map(({ shareSeenThreshold: _, ...rest }) => rest)
    return rowOf(ledger, { ...policy, calibrated: null, shareSeenThreshold: threshold, overrides }, threshold)
  })
}

/** Judge a ledger again under one policy, with the thresholds of its overrides. */
export function judgeAgain(ledger: SweptLedger, policy: QualityPolicy): SweepRow {
  refuseUntaken(ledger, policy)
  return rowOf(ledger, policy, policy.shareSeenThreshold)
}

function rowOf({ tries, hasBaseline }: SweptLedger, policy: QualityPolicy, threshold: number): SweepRow {
  const verdicts = verdictsOn(tries, policy, hasBaseline)
  const tumors = new Map<string, boolean>()
  const reasons: Record<string, number> = {}
  const kinds = new Map<string, JudgedKind & { kept: number; of: number }>()
  let kept = 0
  for (const [at, { kind, tumor }] of tries.entries()) {
    const { accepted, reason } = verdicts[at]!
    if (accepted) kept++
    tumors.set(tumor, accepted || (tumors.get(tumor) ?? false))
    reasons[reason] = (reasons[reason] ?? 0) + 1
    const name = `${kind.organ}/${kind.size}`
    const row = kinds.get(name) ?? { ...kind, kept: 0, of: 0 }
    kinds.set(name, { ...row, kept: row.kept + Number(accepted), of: row.of + 1 })
  }
  return {
    threshold,
    tries: { kept, of: tries.length },
    tumors: { kept: [...tumors.values()].filter(Boolean).length, of: tumors.size },
    reasons,
    byKind: [...kinds].sort(([a], [b]) => a.localeCompare(b)).map(([, row]) => row),
  }
}

function verdictsOn(tries: readonly SweptTry[], policy: QualityPolicy, hasBaseline: boolean): Verdict[] {
  if (policy.shareOver === 'tumor')
    return tries.map(({ kind, measures }) => judge(kind, measures, policy, hasBaseline))
  const rounds = new Map<string, number[]>()
  for (const [at, { round }] of tries.entries()) rounds.set(round, [...(rounds.get(round) ?? []), at])
  const verdicts: Verdict[] = []
  for (const places of rounds.values()) {
    const together = judgeTogether(
      places.map((at) => tries[at]!),
      policy,
      hasBaseline,
    )
    for (const [n, at] of places.entries()) verdicts[at] = together[n]!
  }
  return verdicts
}

function placeOf(line: LedgerLine | SynthesisLine): Pick<SweptTry, 'tumor' | 'round'> {
  if ('variant' in line) {
    const variant = `${line.case}#${line.variant}`
    return { tumor: `${variant}#${line.tumor}`, round: `${variant}#${line.round}` }
  }
  const crop = `${line.item}/${line.crop}`
  return { tumor: crop, round: `${crop}/${line.draw ?? 0}` }
}

function measuresOf(measures: Readonly<Partial<Verdict['measures']>>): TumorMeasures {
  const { syntheticVoxels = 0, seenVoxels = 0, alreadySeenVoxels = 0, contrast = 0 } = measures
  const more = Object.fromEntries(
    MEASURES.flatMap((name) => (name in measures ? [[name, measures[name]]] : [])),
  )
  return { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast, more }
}

function refuseUntaken({ tries, taken, hasBaseline }: SweptLedger, policy: QualityPolicy): void {
  // without a real tumor there is no distance to one
  const lacking = wantedMeasures(policy).filter(
    (name) => !taken.has(name) && !RULES_AGAINST_REAL.includes(name) && tries.length > 0,
  )
  if (lacking.length > 0)
    throw new UsageError(`ledger: missing measures (expected ${lacking.join(', ')}, found in no line)`, {
      hint: `leave these rules out: a training measures only the rules of its own configuration`,
    })
  if (
    wantsAlreadySeen(policy) &&
    hasBaseline &&
    !tries.some(({ measures }) => measures.alreadySeenVoxels > 0)
  )
    throw new UsageError('ledger: missing measures (expected alreadySeenVoxels, found in no line)', {
      hint: 'synthesize again with subtractAlreadySeen or a rule alreadySeenShare',
    })
}
