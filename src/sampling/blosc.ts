/** A Blosc chunk (version 2 of the format: LZ4, shuffled bytes or none) whose decoded bytes are not what was expected. */
export class BloscError extends Error {}

const HEADER_BYTES = 16
const FORMAT = 2
const SHUFFLED = 0x01
const STORED = 0x02
const BIT_SHUFFLED = 0x04
const ONE_STREAM = 0x10
const LZ4 = 1
const SHORTEST_MATCH = 4
/** Lengths of 15 or more continue in the following bytes. */
const LONG = 15
/** Below this length, a loop is faster than a call. */
const SHORT = 32

/**
 * Decode a chunk of one block into `target`, whose length must be that of the decoded bytes. Return whether the values are
 * still shuffled: byte k of value n is at k * values + n.
 * @param values number of values that are needed; those behind them may keep what `target` held. Default: all
 * @throws BloscError on other codecs and several blocks, and if the chunk is damaged; never reads or writes elsewhere
 */
export function decodeBlosc(
  chunk: Uint8Array,
  target: Uint8Array,
  values = target.length / chunk[3]!,
): boolean {
  const head = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (chunk.length < HEADER_BYTES || chunk[0] !== FORMAT || head.getUint32(12, true) !== chunk.length)
    throw new BloscError('not a Blosc chunk')
  const flags = chunk[2]!
  const valueBytes = chunk[3]!
  if (head.getUint32(4, true) !== target.length || valueBytes === 0)
    throw new BloscError('wrong size of the decoded chunk')
  if ((flags & STORED) !== 0) {
    if (chunk.length !== HEADER_BYTES + target.length) throw new BloscError('wrong size of a stored chunk')
    target.set(chunk.subarray(HEADER_BYTES))
    return false
  }
  if (flags >> 5 !== LZ4 || (flags & BIT_SHUFFLED) !== 0) throw new BloscError('another codec than LZ4')
  if (head.getUint32(8, true) !== target.length || chunk.length < HEADER_BYTES + 4)
    throw new BloscError('several blocks')
  // one stream for each byte of a value
  const streams = (flags & ONE_STREAM) === 0 ? valueBytes : 1
  const streamBytes = target.length / streams
  const shuffled = (flags & SHUFFLED) !== 0 && valueBytes > 1
  // in one shuffled stream, the last bytes belong to the first values, too
  const needed =
    shuffled && streams === 1 ? streamBytes : Math.min(streamBytes, (values * valueBytes) / streams)
  let position = head.getInt32(HEADER_BYTES, true)
  for (let to = 0; to < target.length; to += streamBytes) {
    if (position < HEADER_BYTES || position + 4 > chunk.length)
      throw new BloscError('wrong start of a stream')
    const length = head.getInt32(position, true)
    position += 4
    if (length < 0 || position + length > chunk.length) throw new BloscError('wrong length of a stream')
    if (length === streamBytes) target.set(chunk.subarray(position, position + needed), to)
    else decodeLz4(chunk, position, position + length, target, to, to + streamBytes, to + needed)
    position += length
  }
  return shuffled
}

/** Decode one LZ4 block: bytes [from, end) of `source` into exactly [to, stop) of `target`, at least up to `enough`. */
function decodeLz4(
  source: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  stop: number,
  enough: number,
): void {
  const start = to
  let read = from
  let write = to
  while (read < end && (write < enough || enough === stop)) {
    const token = source[read++]!
    let literals = token >> 4
    if (literals === LONG)
      for (let more = 255; more === 255 && read < end; literals += more) more = source[read++]!
    if (read + literals > end || write + literals > stop) throw new BloscError('damaged literals')
    if (literals > SHORT) {
      target.set(source.subarray(read, read + literals), write)
      read += literals
      write += literals
    } else for (const last = read + literals; read < last; ) target[write++] = source[read++]!
    if (read === end) break
    if (read + 2 > end) throw new BloscError('damaged match')
    const distance = source[read]! | (source[read + 1]! << 8)
    read += 2
    let length = token & LONG
    if (length === LONG)
      for (let more = 255; more === 255 && read < end; length += more) more = source[read++]!
    length += SHORTEST_MATCH
    if (distance === 0 || write - distance < start || write + length > stop)
      throw new BloscError('damaged match')
    if (distance === 1 && length > SHORT) {
      target.fill(target[write - 1]!, write, write + length)
      write += length
    } else if (distance >= length && length > SHORT) {
      target.copyWithin(write, write - distance, write - distance + length)
      write += length
    } else for (const last = write + length; write < last; write++) target[write] = target[write - distance]!
  }
  if (write < enough) throw new BloscError('too few decoded bytes')
}
