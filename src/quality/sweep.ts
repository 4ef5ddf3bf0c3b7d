import { UsageError } from '../errors.js'
import type { OrganName } from '../volume/labels.js'
import { judge, judgeTogether, type TumorMeasures, type Verdict } from './judge.js'
import type { LedgerLine, SynthesisLine } from './ledger.js'
import {
  type JudgedKind,
  MEASURES,
  type QualityPolicy,
  RULE_NAMES,
  RULES_AGAINST_REAL,
  wantedMeasures,
  wantsAlreadySeen,
} from './policy.js'

/** A try of a ledger, of a training or of an offline synthesis, as far as it can be judged again. */
export interface SweptTry {
  readonly kind: JudgedKind
  /** Of the tumor that was tried; its tries share it. */
  readonly tumor: string
  /** Of the tries that one share is counted over where the policy says `case`. */
  readonly round: string
  readonly measures: TumorMeasures
}

export interface SweptLedger {
  readonly tries: readonly SweptTry[]
  /** Without a baseline only rules can be tried. */
  readonly hasBaseline: boolean
  /** Measures that some line holds. */
  readonly taken: ReadonlySet<string>
}

interface Kept {
  readonly kept: number
  readonly of: number
}

/** What a policy would have kept. */
export interface SweepRow {
  readonly threshold: number
  readonly tries: Kept
  /** Tumors with a try that is kept: one that was given up earlier may have had more tries under this policy. */
  readonly tumors: Kept
  readonly reasons: Readonly<Record<string, number>>
  readonly byKind: readonly (JudgedKind & Kept)[]
}

/** Reads what can be judged again; tries without room and empty ledgers have nothing. */
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
 * Judges a ledger again under other thresholds of the share seen; nothing is painted or looked at again.
 * @param policy rules and overrides that hold beside each threshold; an override's own threshold gives way
 * @throws UsageError when the ledger lacks what the policy asks about
 */
export function sweepThresholds(
  ledger: SweptLedger,
  policy: QualityPolicy,
  thresholds: readonly number[],
): SweepRow[] {
  refuseUntaken(ledger, policy)
  return thresholds.map((threshold) => {
    const overrides = policy.overrides.map(({ shareSeenThreshold: _, ...rest }) => rest)
    return rowOf(ledger, { ...policy, shareSeenThreshold: threshold, overrides }, threshold)
  })
}

/** One policy as it stands, its overrides' thresholds too. */
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
  const own = `${line.item}/${line.crop}/${line.draw ?? 0}`
  return { tumor: own, round: own }
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
    throw new UsageError(`no line of the ledger has ${lacking.join(', ')}: it was not measured`, {
      hint: `a training measures what its rules ask about, an offline synthesis all of ${RULE_NAMES.join(', ')} but the last`,
    })
  if (
    wantsAlreadySeen(policy) &&
    hasBaseline &&
    !tries.some(({ measures }) => measures.alreadySeenVoxels > 0)
  )
    throw new UsageError('no line of the ledger says what the baseline called tumor before painting', {
      hint: 'it is measured when the policy has subtractAlreadySeen or a rule alreadySeenShare',
    })
}
