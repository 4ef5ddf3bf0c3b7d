import { InvalidArgumentError } from 'commander'

/**
 * Return the parser of an option that is a whole number of at least `lowest`. Parsers throw with the expected value; the program
 * adds the flag and the found value.
 */
export function wholeNumber(lowest: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < lowest || !Number.isSafeInteger(value))
      throw new InvalidArgumentError(`a whole number of at least ${lowest}`)
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
