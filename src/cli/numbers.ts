import { InvalidArgumentError } from 'commander'

/** Parser of an option that is a whole number of at least `lowest`. */
export function wholeNumber(lowest: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < lowest || !Number.isSafeInteger(value))
      throw new InvalidArgumentError(`a whole number of at least ${lowest} was expected.`)
    return value
  }
}

/** Parser of an option that is a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0) || !Number.isFinite(value))
    throw new InvalidArgumentError('a number above 0 was expected.')
  return value
}
