import { ConfigError } from '../errors.js'
import { quoted } from '../plain-text.js'

/**
 * Return a text as one word of a POSIX shell.
 * @param where the key or option in an error
 * @throws ConfigError if the text holds a control character, which could start a line of the script
 */
export function shellWord(text: string, where: string): string {
  refuseControl(text, where)
  return quoted(text)
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

/** Refuse a line of a shell script, or of options of sbatch, that continues in the next one. @throws ConfigError */
export function refuseUnclosed(text: string, where: string): void {
  const missing = closingOf(text.replace(/^#SBATCH/, ''))
  if (missing !== null)
    throw new ConfigError(`${where}: incomplete line (expected ${missing} at its end, found ${text})`, {
      hint: 'complete the line, or move it to a file and write `source FILE`',
    })
}

/** Return what closes the innermost open quote of a line, and `no \` for a line break that is escaped; null if none is open. */
function closingOf(text: string): string | null {
  const open: string[] = []
  for (let at = 0; at < text.length; at++) {
    const [one, top] = [text[at]!, open.at(-1)]
    if (top === "'") {
      if (one === top) open.pop()
    } else if (one === '\\') {
      if (++at === text.length) return 'no \\'
    } else if (one === top) open.pop()
    else if (one === '"' || one === '`' || (one === "'" && top !== '"')) open.push(one)
    else if (one === '$' && text[at + 1] === '(') {
      open.push(')')
      at++
    } else if (one === '#' && top !== '"' && /(^|[\s;(])$/.test(text.slice(0, at))) break
  }
  return open.at(-1) ?? null
}
