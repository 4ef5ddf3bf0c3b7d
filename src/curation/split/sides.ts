import type { ManifestCase } from '../datasets/manifest.js'

type Placed = Pick<ManifestCase, 'split' | 'fold'>

/** Return the side of a case in words: `test`, `validation`, `training`, `training, fold 2`. */
export function sideOf({ split, fold }: Placed): string {
  return split === 'training' && fold !== null ? `training, fold ${fold}` : split
}

/**
 * Return true if one of two cases trains while the other is held out: training against validation or test, or
 * two folds, each of which is held out in turn (a case without a fold always trains). Two held-out cases
 * never conflict.
 */
export function meet(a: Placed, b: Placed): boolean {
  const [heldOutA, heldOutB] = [a.split !== 'training', b.split !== 'training']
  if (heldOutA || heldOutB) return heldOutA !== heldOutB
  return a.fold !== b.fold
}
