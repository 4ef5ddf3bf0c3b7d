/**
 * Characters that a terminal or a log acts upon instead of showing them: controls (C0 but tab and line feed, DEL, C1),
 * line separators, and marks that reorder or hide text.
 */
const ACTING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours that this program writes itself
const OWN_COLOUR = /(\u001b\[(?:2|22|3[1236]|39)m)/

/**
 * Text for a terminal or a log: acting characters are spelled out as in JSON (`\u001b`), lines stay. A JSON document stays
 * the same document.
 */
export function visible(text: string): string {
  return text.replace(ACTING, spelled)
}

/** The same, but colours that this program writes itself stay colours. */
export function visibleInColour(text: string): string {
  return text
    .split(OWN_COLOUR)
    .map((part, at) => (at % 2 === 1 ? part : visible(part)))
    .join('')
}

/** Foreign text (a name, an id, a description) inside a line: line feeds and tabs are spelled out, too. */
export function oneLine(text: string): string {
  return visible(text).replace(/[\n\t]/g, spelled)
}

/** One line of output, which may have colours of this program: a line feed is spelled out, the stream spells out the rest. */
export function lineOfOutput(text: string): string {
  return text.replaceAll('\n', spelled)
}

/** Talk of one message: lines after its first are set apart, so that no foreign line feed begins a message of its own. */
export function setApart(text: string): string {
  return text.replaceAll('\n', '\n  | ')
}

/** A field of a comma-separated file: quoted where needed; a spreadsheet does not take it for a formula. */
export function csvField(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const plain = oneLine(value)
  const safe = /^[=+\-@|%]/.test(plain.trimStart()) ? `'${plain}` : plain
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

function spelled(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
