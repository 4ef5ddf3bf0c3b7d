import type { ClassCounts } from './events.js'

export interface Selection {
  /** Sum of tumor Dice over cases / cases with a tumor; null when no case has one (docs/method.md 10). */
  readonly tumorDice: number | null
  /** Mean Dice of a label over the cases that have it, by id. */
  readonly diceByLabel: Readonly<Record<string, number>>
}

/**
 * Return the score that selects the best checkpoint. The tumor Dice of a case is the mean over the tumor ids of its truth,
 * because an id that is missing there may be unlabelled.
 */
export function selectTumorDice(
  cases: readonly (readonly ClassCounts[])[],
  tumorIds: readonly number[],
): Selection {
  const byLabel = new Map<number, number[]>()
  const tumor: number[] = []
  for (const counts of cases) {
    const ofTumors: number[] = []
    for (const count of counts) {
      const dice = diceOf(count)
      if (dice === null) continue
      byLabel.set(count.label, [...(byLabel.get(count.label) ?? []), dice])
      if (tumorIds.includes(count.label)) ofTumors.push(dice)
    }
    if (ofTumors.length > 0) tumor.push(mean(ofTumors))
  }
  return {
    tumorDice: tumor.length > 0 ? mean(tumor) : null,
    diceByLabel: Object.fromEntries([...byLabel].map(([id, values]) => [String(id), mean(values)])),
  }
}

/** One validation of a run. */
export interface Validation {
  readonly step: number
  readonly tumorDice: number | null
}

/** Return the first of the best validations; null if no case had a tumor. */
export function bestOf(history: readonly Validation[]): Validation | null {
  let best: Validation | null = null
  for (const one of history) if (one.tumorDice !== null && one.tumorDice > (best?.tumorDice ?? -1)) best = one
  return best
}

/**
 * Return why a run ends at its last validation; null when it continues. It ends if `patience` validations in a row do not rise
 * by more than `minDelta` above the best before them.
 */
export function reasonToEnd(
  history: readonly Validation[],
  earlyStop: { readonly patience: number; readonly minDelta: number } | null,
): string | null {
  if (earlyStop === null) return null
  const { patience, minDelta } = earlyStop
  let best = -1
  let waited = 0
  for (const { tumorDice } of history) {
    const rises = tumorDice !== null && (best < 0 || tumorDice > best + minDelta)
    waited = rises ? 0 : waited + 1
    if (rises) best = tumorDice
  }
  if (waited < patience) return null
  const found = bestOf(history)
  const bestInWords =
    found === null
      ? 'no validation case has a tumor'
      : `best ${found.tumorDice?.toFixed(4)} after step ${found.step}`
  return `early stop: the tumor Dice has not risen by more than ${minDelta} in ${waited} validations (${bestInWords})`
}

/** Return 2 TP / (2 TP + FP + FN); null if the label does not occur in the truth. */
function diceOf(count: ClassCounts): number | null {
  const truth = count.truePositive + count.falseNegative
  if (truth === 0) return null
  return (2 * count.truePositive) / (2 * count.truePositive + count.falsePositive + count.falseNegative)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
