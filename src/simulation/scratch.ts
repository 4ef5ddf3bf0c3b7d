/**
 * Working memory that is used again and again, so that planning a tumor allocates nothing but its result. One set for each
 * thread; what a function leaves here is overwritten by its next call, so no result may point into it.
 */
const int16 = new Map<string, Int16Array>()
const int32 = new Map<string, Int32Array>()
const uint8 = new Map<string, Uint8Array>()

/** At least `length` elements with whatever an earlier use left in them. `name` is unique to a use. */
export function scratchInt16(name: string, length: number): Int16Array {
  const held = int16.get(name)
  if (held && held.length >= length) return held
  const made = new Int16Array(length)
  int16.set(name, made)
  return made
}

/** Like `scratchInt16`. */
export function scratchInt32(name: string, length: number): Int32Array {
  const held = int32.get(name)
  if (held && held.length >= length) return held
  const made = new Int32Array(length)
  int32.set(name, made)
  return made
}

/** Like `scratchInt16`. */
export function scratchUint8(name: string, length: number): Uint8Array {
  const held = uint8.get(name)
  if (held && held.length >= length) return held
  const made = new Uint8Array(length)
  uint8.set(name, made)
  return made
}
