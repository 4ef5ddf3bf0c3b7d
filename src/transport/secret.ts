import { timingSafeEqual } from 'node:crypto'

/** Compare secrets in constant time for equal lengths. */
export function sameSecret(given: unknown, expected: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
