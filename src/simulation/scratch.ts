/**
 * Reused working memory: planning a tumor then allocates only its result. Each thread has its own. A result
 * must not point into it, because the next call overwrites it.
 */
const int16 = new Map<string, Int16Array>()
const int32 = new Map<string, Int32Array>()
const uint8 = new Map<string, Uint8Array>()

/** Return at least `length` elements with unspecified content. `name` is unique to a use. */
export function scratchInt16(name: string, length: number): Int16Array {
  const held = int16.get(name)
  if (held && held.length >= length) return held
  const made = new Int16Array(length)
  int16.set(name, made)
  return made
}

/** Return memory as `scratchInt16` does. */
export function scratchInt32(name: string, length: number): Int32Array {
  const held = int32.get(name)
  if (held && held.length >= length) return held
  const made = new Int32Array(length)
  int32.set(name, made)
  return made
}

/** Return memory as `scratchInt16` does. */
export function scratchUint8(name: string, length: number): Uint8Array {
  const held = uint8.get(name)
  if (held && held.length >= length) return held
  const made = new Uint8Array(length)
  uint8.set(name, made)
  return made
}
