import type { ClassCounts } from './events.js'

export interface Selection {
  /** Sum of tumor Dice over cases / cases with a tumor; null when no case has one (METHOD 10). */
  readonly tumorDice: number | null
  /** Mean Dice of a label over the cases that have it, by id. */
  readonly diceByLabel: Readonly<Record<string, number>>
}

/**
 * What chooses the best checkpoint. The tumor Dice of a case is the mean over the tumor ids that its truth has: an id that it
 * lacks may be one that nobody labelled.
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

/** 2 TP / (2 TP + FP + FN); null where the label does not occur in the truth. */
function diceOf(count: ClassCounts): number | null {
  const truth = count.truePositive + count.falseNegative
  if (truth === 0) return null
  return (2 * count.truePositive) / (2 * count.truePositive + count.falsePositive + count.falseNegative)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
