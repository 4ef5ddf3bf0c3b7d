import type { ManifestCase } from '../datasets/manifest.js'

type Placed = Pick<ManifestCase, 'split' | 'fold'>

/** Where a case stands, in words: `test`, `validation`, `training`, `training, fold 2`. */
export function sideOf({ split, fold }: Placed): string {
  return split === 'training' && fold !== null ? `training, fold ${fold}` : split
}

/**
 * Whether one of two cases trains where the other is held out: training against validation or test, or two folds, each of
 * which is held out in its turn (a case without a fold trains always). Two held-out cases do not meet.
 */
export function meet(a: Placed, b: Placed): boolean {
  const [heldOutA, heldOutB] = [a.split !== 'training', b.split !== 'training']
  if (heldOutA || heldOutB) return heldOutA !== heldOutB
  return a.fold !== b.fold
}
