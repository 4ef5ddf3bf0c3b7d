/** Return the nearest known word if it is near, else all known words. */
export function suggestion(word: string, known: readonly string[]): string {
  // computing the distance takes time with the length, and a word of this length is no typing error
  if (word.length > 100) return ''
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  if (best && best.distance <= Math.max(2, word.length / 3)) return ` (did you mean ${best.candidate}?)`
  return known.length > 0 ? ` (known: ${known.join(', ')})` : ''
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
