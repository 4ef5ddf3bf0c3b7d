import { timingSafeEqual } from 'node:crypto'

/** Whether a caller knows the secret; takes the same time for every wrong one of its length. */
export function sameSecret(given: unknown, expected: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
