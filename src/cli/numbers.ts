import { InvalidArgumentError } from 'commander'

/**
 * Return the parser of an option that is a whole number of at least `lowest`, and at most `highest`. Parsers throw with the
 * expected value; the program adds the flag and the found value.
 */
export function wholeNumber(lowest: number, highest = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < lowest || value > highest)
      throw new InvalidArgumentError(
        highest === Number.MAX_SAFE_INTEGER
          ? `a whole number of at least ${lowest}`
          : `a whole number from ${lowest} to ${highest}`,
      )
    return value
  }
}

/** Parse an option that is a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0) || !Number.isFinite(value))
    throw new InvalidArgumentError('a number above 0')
  return value
}
