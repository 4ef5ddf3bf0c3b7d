/** Longer words are no typing errors, and the distance takes time with the length. */
const MAX_LENGTH = 100

/** Return the nearest known word if it is near, else all known words. */
export function suggestion(word: string, known: readonly string[]): string {
  if (word.length > MAX_LENGTH) return ''
  const best = nearestWord(word, known)
  if (best !== undefined) return ` (did you mean ${best}?)`
  return known.length > 0 ? ` (known: ${known.join(', ')})` : ''
}

/** Return the nearest known word; undefined if none is near. */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  if (word.length > MAX_LENGTH) return undefined
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  return best && best.distance <= Math.max(2, word.length / 3) ? best.candidate : undefined
}

/** Count the insertions, deletions and replacements that lead from one word to the other. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
