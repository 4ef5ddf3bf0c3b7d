import { openStream } from '../simulation/random.js'
import type { Study } from './study.js'

/** One place in the order of a reader. */
export interface Showing {
  readonly case: number
  /** 2: the reader has seen this case before. */
  readonly showing: 1 | 2
}

/**
 * Return the order of the cases for one reader. Every case comes once; a repeated one comes again after half of all places.
 * The order depends on the seed and on the number of the reader only, so it knows nothing of the truth.
 */
export function readerOrder(
  { seed, cases, repeated }: Pick<Study, 'seed' | 'cases' | 'repeated'>,
  reader: number,
): readonly Showing[] {
  const random = openStream([seed, 'readers', 'order', reader])
  const total = cases + repeated.length
  const half = Math.floor(total / 2)
  const again = new Set(repeated)
  const shuffled = <T>(values: readonly T[]): T[] =>
    random.permutation(values.length).map((at) => values[at]!)
  const order = new Array<Showing | undefined>(total)
  const places = random.permutation(half).slice(0, repeated.length)
  for (const [at, one] of shuffled(repeated).entries()) {
    order[places[at]!] = { case: one, showing: 1 }
    order[places[at]! + half] = { case: one, showing: 2 }
  }
  const others = shuffled(Array.from({ length: cases }, (_, at) => at + 1).filter((one) => !again.has(one)))
  let next = 0
  return Array.from(order, (one) => one ?? { case: others[next++]!, showing: 1 })
}
