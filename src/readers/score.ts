import { type Agreement, cohensKappa, fleissKappa } from '../evaluation/agreement.js'
import { estimateMean } from '../evaluation/bootstrap.js'
import type { Vec3 } from '../volume/volume.js'
import { answersOf, type Journal, type ReaderAnswer } from './journal.js'
import { SIZE_NAMES } from './selection.js'
import {
  binomialTest,
  type Correlation,
  correlation,
  delongAuc,
  exactInterval,
  type Interval,
} from './statistics.js'
import type { CaseTruth, Reader, RobotFinding, Study, Truth } from './study.js'

/** Accuracy of 13 readers on 90 cases in the paper of the method. */
export const PAPER_ACCURACY = 0.608
/** A click at most this far from the tumor is a hit. */
export const HIT_MM = 5

/** A rate with its exact interval (Clopper-Pearson). */
export interface Rate {
  readonly count: number
  readonly of: number
  /** Null for no answer. */
  readonly rate: number | null
  readonly ci: Interval | null
}

/** The figures of one reader. The positive answer is `synthetic`; the second showing of a case counts for `intra` only. */
export interface ReaderScore {
  readonly id: string
  /** Cases that were answered, without second showings. */
  readonly cases: number
  readonly accuracy: number | null
  readonly ci: Interval | null
  /** Fraction of the synthetic cases that were called synthetic. */
  readonly sensitivity: number | null
  readonly sensitivityCi: Interval | null
  /** Fraction of the real cases that were called real. */
  readonly specificity: number | null
  readonly specificityCi: Interval | null
  /** AUC of the answer with its confidence, from -5 (surely real) to 5 (surely synthetic). */
  readonly auc: number | null
  readonly aucCi: Interval | null
  /** Two-sided p of the exact binomial test against 50 %, and against the accuracy of the paper. */
  readonly pChance: number | null
  readonly pPaper: number | null
  /** Agreement of the first with the second answer on repeated cases: Cohen's kappa. */
  readonly intra: Agreement
  readonly learning: Learning
  /** Clicks at most 5 mm from the tumor; a case without a click is a miss. */
  readonly localisation: Rate
  readonly medianSeconds: number | null
  /** Answers after the time limit. */
  readonly overTime: number
}

export interface Learning {
  readonly firstHalf: Rate
  readonly secondHalf: Rate
  /** Point-biserial correlation of a right answer with its place in the order; null if undefined. */
  readonly trend: Correlation | null
}

/** A part of the answers of all complete readers. */
export interface PartScore extends Rate {
  readonly name: string
}

export interface StudyScore {
  readonly study: string
  readonly readers: readonly ReaderScore[]
  /** Readers who have not answered every case. They take no part in the figures of all readers. */
  readonly incomplete: readonly { readonly id: string; readonly answered: number; readonly of: number }[]
  /** Figures of all complete readers; null without one. */
  readonly all: AllScore | null
  /** Agreement between complete readers: Cohen's kappa of two, Fleiss' of more; null below two. */
  readonly kappa: number | null
  readonly agreement: (Agreement & { readonly method: 'Cohen' | 'Fleiss'; readonly readers: number }) | null
  readonly organs: readonly PartScore[]
  readonly sizes: readonly PartScore[]
  readonly paperAccuracy: number
  readonly robot: RobotFinding
  readonly notes: readonly string[]
}

export interface AllScore {
  readonly readers: number
  readonly accuracy: Rate
  /** Percentile bootstrap over cases: answers on one case depend on each other. Null below 6 cases. */
  readonly accuracyCiByCase: Interval | null
  readonly sensitivity: Rate
  readonly specificity: Rate
  /** AUC of the mean rating of all readers, with DeLong's interval over cases. */
  readonly panelAuc: number | null
  readonly panelAucCi: Interval | null
  readonly pChance: number | null
  readonly pPaper: number | null
  readonly localisation: Rate
  readonly learning: Learning
}

/** An answer with its truth. */
export interface MarkedAnswer extends ReaderAnswer {
  readonly of: CaseTruth
  readonly right: boolean
  /** Distance of the click from the tumor; 0 inside, null without a click. */
  readonly distanceMm: number | null
}

/** Compare all answers with the truth, in the order of the journal. Answers of readers who are not in the list are left out. */
export function markedAnswers(
  study: Study,
  truth: Truth,
  readers: readonly Reader[],
  journal: Journal,
): MarkedAnswer[] {
  const cases = new Map(truth.cases.map((one) => [one.case, one]))
  const known = new Set(readers.map(({ id }) => id))
  return answersOf(journal.lines).flatMap((answer) => {
    const of = cases.get(answer.case)
    if (of === undefined || !known.has(answer.reader)) return []
    const distanceMm = answer.clickMm === null ? null : distanceTo(of.lesion, answer.clickMm, study)
    return [{ ...answer, of, right: answer.answer === of.truth, distanceMm }]
  })
}

/** Compute all figures of a study. */
export function studyScore(
  study: Study,
  readers: readonly Reader[],
  answers: readonly MarkedAnswer[],
): StudyScore {
  const total = study.cases + study.repeated.length
  const byReader = readers.map(({ id }) => ({ id, own: answers.filter((one) => one.reader === id) }))
  const incomplete = byReader
    .filter(({ own }) => own.length < total)
    .map(({ id, own }) => ({ id, answered: own.length, of: total }))
  const complete = byReader.filter(({ own }) => own.length >= total)
  const first = complete.flatMap(({ own }) => own.filter(({ showing }) => showing === 1))
  const agreement = agreementOf(complete.map(({ own }) => own))
  return {
    study: study.id,
    readers: byReader.map(({ id, own }) => readerScore(id, own)),
    incomplete,
    all: complete.length === 0 ? null : allScore(first, complete.length),
    kappa: agreement?.kappa ?? null,
    agreement,
    organs: parts(first, ({ of }) => of.organ, study.organs),
    sizes: parts(first, ({ of }) => of.size, SIZE_NAMES),
    paperAccuracy: PAPER_ACCURACY,
    robot: study.robot,
    notes: study.notes,
  }
}

function readerScore(id: string, own: readonly MarkedAnswer[]): ReaderScore {
  const first = own.filter(({ showing }) => showing === 1)
  const { accuracy, sensitivity, specificity } = ratesOf(first)
  const auc = aucOf(first.map((one) => [one.of.truth, ratingOf(one)]))
  return {
    id,
    cases: first.length,
    accuracy: accuracy.rate,
    ci: accuracy.ci,
    sensitivity: sensitivity.rate,
    sensitivityCi: sensitivity.ci,
    specificity: specificity.rate,
    specificityCi: specificity.ci,
    auc: auc?.auc ?? null,
    aucCi: auc?.ci ?? null,
    pChance: binomialTest(accuracy.count, accuracy.of, 0.5),
    pPaper: binomialTest(accuracy.count, accuracy.of, PAPER_ACCURACY),
    intra: intraOf(own),
    learning: learningOf(first),
    localisation: localisationOf(first),
    medianSeconds: medianOf(own.map(({ seconds }) => seconds)),
    overTime: own.filter(({ overTime }) => overTime).length,
  }
}

function allScore(first: readonly MarkedAnswer[], readers: number): AllScore {
  const { accuracy, sensitivity, specificity } = ratesOf(first)
  const values = first.map((one) => ({ patient: String(one.case), value: Number(one.right) }))
  const panel = aucOf(panelRatings(first))
  return {
    readers,
    accuracy,
    accuracyCiByCase: estimateMean(values, { seed: 0, name: 'accuracy' })?.ci ?? null,
    sensitivity,
    specificity,
    panelAuc: panel?.auc ?? null,
    panelAucCi: panel?.ci ?? null,
    pChance: binomialTest(accuracy.count, accuracy.of, 0.5),
    pPaper: binomialTest(accuracy.count, accuracy.of, PAPER_ACCURACY),
    localisation: localisationOf(first),
    learning: learningOf(first),
  }
}

function ratesOf(answers: readonly MarkedAnswer[]): Record<'accuracy' | 'sensitivity' | 'specificity', Rate> {
  const synthetic = answers.filter(({ of }) => of.truth === 'synthetic')
  const real = answers.filter(({ of }) => of.truth === 'real')
  return { accuracy: rightOf(answers), sensitivity: rightOf(synthetic), specificity: rightOf(real) }
}

function rightOf(answers: readonly MarkedAnswer[]): Rate {
  return rateOf(answers.filter(({ right }) => right).length, answers.length)
}

function rateOf(count: number, of: number): Rate {
  return { count, of, rate: of === 0 ? null : count / of, ci: exactInterval(count, of) }
}

/** Return -5 for surely real to 5 for surely synthetic. */
function ratingOf({ answer, confidence }: ReaderAnswer): number {
  return answer === 'synthetic' ? confidence : -confidence
}

function aucOf(ratings: readonly (readonly [truth: CaseTruth['truth'], rating: number])[]) {
  const of = (side: CaseTruth['truth']): number[] =>
    ratings.flatMap(([truth, rating]) => (truth === side ? [rating] : []))
  return delongAuc(of('synthetic'), of('real'))
}

function panelRatings(first: readonly MarkedAnswer[]): (readonly [CaseTruth['truth'], number])[] {
  const cases = new Map<number, { readonly truth: CaseTruth['truth']; readonly ratings: number[] }>()
  for (const one of first) {
    const entry = cases.get(one.case) ?? { truth: one.of.truth, ratings: [] }
    entry.ratings.push(ratingOf(one))
    cases.set(one.case, entry)
  }
  return [...cases.values()].map(
    ({ truth, ratings }) => [truth, ratings.reduce((sum, one) => sum + one, 0) / ratings.length] as const,
  )
}

function intraOf(own: readonly MarkedAnswer[]): Agreement {
  const second = own.filter(({ showing }) => showing === 2)
  const firstOf = (number: number): string | null =>
    own.find((one) => one.showing === 1 && one.case === number)?.answer ?? null
  return cohensKappa(
    second.map((one) => firstOf(one.case)),
    second.map(({ answer }) => answer),
  )
}

function agreementOf(readers: readonly (readonly MarkedAnswer[])[]): StudyScore['agreement'] {
  if (readers.length < 2) return null
  const answers = readers.map(
    (own) => new Map(own.filter(({ showing }) => showing === 1).map((one) => [one.case, one.answer])),
  )
  const cases = [...new Set(answers.flatMap((own) => [...own.keys()]))].sort((a, b) => a - b)
  const [a, b] = answers.map((own) => cases.map((number) => own.get(number) ?? null))
  if (readers.length === 2) return { method: 'Cohen', readers: 2, ...cohensKappa(a!, b!) }
  const counts = cases.map((number) =>
    ['real', 'synthetic'].map((side) => answers.filter((own) => own.get(number) === side).length),
  )
  return { method: 'Fleiss', readers: readers.length, ...fleissKappa(counts) }
}

function learningOf(first: readonly MarkedAnswer[]): Learning {
  const last = Math.max(0, ...first.map(({ position }) => position))
  return {
    firstHalf: rightOf(first.filter(({ position }) => position <= last / 2)),
    secondHalf: rightOf(first.filter(({ position }) => position > last / 2)),
    trend: correlation(
      first.map(({ position }) => position),
      first.map(({ right }) => Number(right)),
    ),
  }
}

function localisationOf(answers: readonly MarkedAnswer[]): Rate {
  const hits = answers.filter(({ distanceMm }) => distanceMm !== null && distanceMm <= HIT_MM)
  return rateOf(hits.length, answers.length)
}

function parts(
  answers: readonly MarkedAnswer[],
  nameOf: (one: MarkedAnswer) => string,
  order: readonly string[],
): PartScore[] {
  return order.flatMap((name) => {
    const own = answers.filter((one) => nameOf(one) === name)
    return own.length === 0 ? [] : [{ name, ...rightOf(own) }]
  })
}

/** Return the distance of a position from the nearest voxel of a tumor, 0 within half a voxel. */
function distanceTo(runs: readonly number[], [x, y, z]: Vec3, { shape, spacingMm }: Study): number {
  const [nx, ny] = shape
  // in voxels
  const to = [x, y, z].map((mm, axis) => mm / spacingMm + (shape[axis]! - 1) / 2) as [number, number, number]
  let nearest = Infinity
  for (let at = 0; at < runs.length; at += 2) {
    const [start, length] = [runs[at]!, runs[at + 1]!]
    for (let voxel = start; voxel < start + length; voxel++) {
      const place = [voxel % nx, Math.floor(voxel / nx) % ny, Math.floor(voxel / (nx * ny))]
      const [a, b, c] = place.map((one, axis) => Math.max(0, Math.abs(one - to[axis]!) - 0.5))
      nearest = Math.min(nearest, Math.hypot(a!, b!, c!))
    }
  }
  return nearest * spacingMm
}

function medianOf(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  if (sorted.length === 0) return null
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
