/**
 * Characters that a terminal or a log interprets instead of showing: controls (C0 except tab and line feed,
 * DEL, C1), line separators, and marks that reorder or hide text.
 */
const ACTING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches control characters on purpose
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours that this program writes itself
const OWN_COLOUR = /(\u001b\[(?:2|22|3[1236]|39)m)/

/**
 * Return text for a terminal or a log: control characters are escaped as in JSON (`\u001b`), line feeds
 * stay. A JSON document keeps its meaning.
 */
export function visible(text: string): string {
  return text.replace(ACTING, spelled)
}

/** Return text as `visible` does, but keep the colours that this program writes. */
export function visibleInColour(text: string): string {
  return text
    .split(OWN_COLOUR)
    .map((part, at) => (at % 2 === 1 ? part : visible(part)))
    .join('')
}

/**
 * Return foreign text (a name, an id, a description) for use inside a line: line feeds and tabs are escaped
 * as well.
 */
export function oneLine(text: string): string {
  return visible(text).replace(/[\n\t]/g, spelled)
}

/**
 * Return one line of output, which may hold colours of this program. Line feeds are escaped here, other
 * control characters by the stream.
 */
export function lineOfOutput(text: string): string {
  return text.replaceAll('\n', spelled)
}

/**
 * Return one message for stderr: lines after the first are indented, so that a foreign line feed cannot
 * imitate a new message.
 */
export function setApart(text: string): string {
  return text.replaceAll('\n', '\n  | ')
}

/**
 * Return a field of a comma-separated file: quoted if needed, and prefixed so that no spreadsheet reads it as
 * a formula.
 */
export function csvField(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const plain = oneLine(value)
  const safe = /^[=+\-@|%]/.test(plain.trimStart()) ? `'${plain}` : plain
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

function spelled(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/**
 * Return a count with its thing: `1 case`, `20,000 steps`.
 * @param verb its forms for one and for many: `1 case lacks`, `2 cases lack`
 */
export function counted(count: number, thing: string, verb?: readonly [one: string, many: string]): string {
  const noun = `${count.toLocaleString('en-US')} ${thing}${count === 1 ? '' : 's'}`
  return verb === undefined ? noun : `${noun} ${verb[count === 1 ? 0 : 1]}`
}

/** Return a text, also one of several lines, as one word of a POSIX shell. */
export function quoted(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
