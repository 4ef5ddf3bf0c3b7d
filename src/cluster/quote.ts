import { ConfigError } from '../errors.js'

/**
 * Return a text as one word of a POSIX shell.
 * @param where the key or option in an error
 * @throws ConfigError if the text holds a control character, which could start a line of the script
 */
export function shellWord(text: string, where: string): string {
  refuseControl(text, where)
  return quoted(text)
}

/** Return a text, also one of several lines, as one word of a POSIX shell. */
export function quoted(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** Refuse a text that is more than one printable line. @throws ConfigError */
export function refuseControl(text: string, where: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is searched
  const found = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.exec(text)
  if (found)
    throw new ConfigError(
      `${where}: wrong value (expected one line of text, found ${JSON.stringify(text.slice(0, 60))})`,
      { hint: 'remove line breaks and control characters' },
    )
}
