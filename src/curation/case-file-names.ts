import { createHash } from 'node:crypto'
import { DataError } from '../errors.js'

/**
 * Return the file name of each case, without an ending. It depends on the id only, so a case that is added
 * later renames nothing. Two ids never share a name, even if the file system ignores case. `d/liver_1`
 * becomes `d__liver_1`; letters, digits, `.`, `-` and `_` stay unless they would be ambiguous.
 * @throws DataError that names two ids that differ only in upper and lower case
 */
export function caseFileNames(ids: readonly string[]): ReadonlyMap<string, string> {
  refuseSameFile(ids, (id) => caseFileName(id))
  return new Map(ids.map((id) => [id, caseFileName(id)]))
}

/**
 * Return the name of a case in the prepared cache; `case_path` in freetumor_runtime/data/cache.py follows the
 * same rule.
 */
export function cacheName(id: string): string {
  return `${shortened(percentEncoded(id, /[A-Za-z0-9_.~-]/))}.zarr`
}

/**
 * Refuse two ids whose files have equal names on a file system that ignores case or Unicode forms.
 * @param nameOf returns the file name of an id
 * @throws DataError that names both ids
 */
export function refuseSameFile(
  ids: readonly string[],
  nameOf: (id: string) => string,
  hint = 'rename one of them, or give its data set another name',
): void {
  const seen = new Map<string, string>()
  for (const id of ids) {
    const key = nameOf(id).normalize('NFC').toLowerCase()
    const other = seen.get(key)
    if (other !== undefined && other !== id)
      throw new DataError(`cases ${other} and ${id}: equal file names (found ${nameOf(id)} for both)`, {
        hint,
        facts: { cases: [other, id] },
      })
    seen.set(key, id)
  }
}

function caseFileName(id: string): string {
  const parts = id.split('/').map((part) =>
    // an underscore next to another one, or at an end of its part, could be read as a separator
    percentEncoded(part, /[A-Za-z0-9_.-]/).replace(/^_|_$|_(?=_)|(?<=_)_/g, '%5F'),
  )
  const name = parts.join('__') || '%'
  // no hidden file, no option of a command, no device name of Windows
  const unsafe = /^[.-]/.test(name) || /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name)
  return shortened(unsafe ? percentEncoded(name[0]!, /[^\s\S]/) + name.slice(1) : name)
}

/**
 * Shorten a long name: a file name has at most 255 bytes, and endings and temporary names need some of them.
 * `%-` occurs in no other name.
 */
function shortened(name: string): string {
  if (name.length <= 160) return name
  const hash = createHash('sha256').update(name).digest('hex')
  return `${name.slice(0, 120)}%-${hash.slice(0, 32)}`
}

/**
 * Return the bytes of the UTF-8 form as `%XX`, except for `safe` characters; half a surrogate pair has three
 * bytes.
 */
function percentEncoded(text: string, safe: RegExp): string {
  return [...text]
    .map((sign) =>
      safe.test(sign)
        ? sign
        : utf8(sign)
            .map((byte) => `%${hex(byte)}`)
            .join(''),
    )
    .join('')
}

function utf8(sign: string): number[] {
  const code = sign.codePointAt(0)!
  return code >= 0xd800 && code <= 0xdfff
    ? [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)]
    : [...Buffer.from(sign)]
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0')
}
