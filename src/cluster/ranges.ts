import { UsageError } from '../errors.js'

/** Return increasing whole numbers as ranges, such as `1-3,7`. */
export function rangesOf(numbers: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const one of numbers) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === one - 1) last[1] = one
    else ranges.push([one, one])
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}

/**
 * Return the increasing whole numbers of ranges such as `3,7-9`.
 * @param most the largest allowed number; the smallest is 1
 * @throws UsageError for another text
 */
export function numbersOf(ranges: string, most: number, option: string): readonly number[] {
  const found = new Set<number>()
  for (const part of ranges.split(',')) {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? []
    if (first === undefined || Number(first) < 1 || Number(last) > most || Number(first) > Number(last))
      throw new UsageError(
        `${option}: wrong shards (expected numbers from 1 to ${most}, found ${part || 'nothing'})`,
        { hint: `write ${option} 3,7-9` },
      )
    for (let one = Number(first); one <= Number(last); one++) found.add(one)
  }
  return [...found].sort((a, b) => a - b)
}
