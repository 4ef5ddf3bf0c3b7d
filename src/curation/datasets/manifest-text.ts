/**
 * Yield the JSON text of each case of a manifest, so that 100,000 cases need no tree of untyped values in memory. Only the
 * usual form is read: `{"version": 1, "cases": [{...}, ...]}`.
 * @param mostValues largest number of members of arrays and objects in the file
 * @returns false if the file has another form, is damaged or holds more values: then read it as a whole
 */
export function* caseTexts(content: Uint8Array, mostValues: number): Generator<string, boolean> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const start = startOfCases(content)
  if (start === null) return false
  let at = afterSpace(content, start)
  // the members of the manifest, and the root
  let values = 4
  if (content[at] === CLOSE_LIST) return isEnd(content, at + 1)
  for (;;) {
    const item = objectAt(content, at)
    values += item.values
    if (item.end === null || values > mostValues) return false
    yield decoder.decode(content.subarray(at, item.end))
    at = afterSpace(content, item.end)
    if (content[at] === CLOSE_LIST) return isEnd(content, at + 1)
    if (content[at] !== COMMA) return false
    at = afterSpace(content, at + 1)
  }
}

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
const HEAD =
  /^(?:\xef\xbb\xbf)?[ \t\n\r]*\{[ \t\n\r]*"version"[ \t\n\r]*:[ \t\n\r]*1[ \t\n\r]*,[ \t\n\r]*"cases"[ \t\n\r]*:[ \t\n\r]*\[/
const MOST_HEAD_BYTES = 256

function startOfCases(content: Uint8Array): number | null {
  const head = Buffer.from(content.subarray(0, MOST_HEAD_BYTES)).toString('latin1')
  return HEAD.exec(head)?.[0].length ?? null
}

/** Return the position after the object that starts at `at`, null if there is none, and the number of its values. */
function objectAt(content: Uint8Array, at: number): { end: number | null; values: number } {
  let [depth, values] = [0, 1]
  if (content[at] !== OPEN_OBJECT) return { end: null, values }
  for (; at < content.length; at++) {
    const code = content[at]
    if (code === QUOTE) at = endOfString(content, at)
    else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      depth++
      values++
    } else if (code === COMMA) values++
    else if ((code === CLOSE_OBJECT || code === CLOSE_LIST) && --depth === 0) return { end: at + 1, values }
  }
  return { end: null, values }
}

/** Return the position of the closing quote, or the end of the file. */
function endOfString(content: Uint8Array, start: number): number {
  for (let at = start + 1; at < content.length; at++) {
    if (content[at] === QUOTE) return at
    if (content[at] === BACKSLASH) at++
  }
  return content.length
}

function afterSpace(content: Uint8Array, at: number): number {
  while (content[at] === 0x20 || content[at] === 0x0a || content[at] === 0x0d || content[at] === 0x09) at++
  return at
}

/** Return true if only the closing bracket of the manifest follows. */
function isEnd(content: Uint8Array, at: number): boolean {
  const close = afterSpace(content, at)
  return content[close] === CLOSE_OBJECT && afterSpace(content, close + 1) === content.length
}
