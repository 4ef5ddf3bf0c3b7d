import { crc32, inflateSync } from 'node:zlib'

export interface DecodedPng {
  readonly width: number
  readonly height: number
  /** 1 gray, 3 RGB. */
  readonly channels: 1 | 3
  readonly samples: Uint8Array
}

/** Reads a PNG of 8 bits a channel as the standard says; throws at a wrong signature, CRC, order or filter. */
export function decodePng(file: Uint8Array): DecodedPng {
  const bytes = Buffer.from(file)
  if (bytes.subarray(0, 8).toString('latin1') !== '\x89PNG\r\n\x1a\n') throw new Error('no PNG signature')
  const chunks = chunksOf(bytes.subarray(8))
  if (chunks[0]?.type !== 'IHDR' || chunks.at(-1)?.type !== 'IEND') throw new Error('wrong order of chunks')
  const header = chunks[0].content
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const [depth, colorType, ...methods] = header.subarray(8)
  if (depth !== 8 || methods.some((method) => method !== 0)) throw new Error('unexpected header')
  const channels = colorType === 0 ? 1 : 3
  const data = chunks.filter(({ type }) => type === 'IDAT').map(({ content }) => content)
  return {
    width,
    height,
    channels,
    samples: unfiltered(inflateSync(Buffer.concat(data)), width * channels, height),
  }
}

function chunksOf(bytes: Buffer): { type: string; content: Buffer }[] {
  const chunks = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    const named = bytes.subarray(at + 4, at + 8 + length)
    const type = named.subarray(0, 4).toString('latin1')
    if (crc32(named) !== bytes.readUInt32BE(at + 8 + length)) throw new Error(`wrong CRC of ${type}`)
    chunks.push({ type, content: named.subarray(4) })
    at += 12 + length
  }
  return chunks
}

function unfiltered(rows: Buffer, rowBytes: number, height: number): Uint8Array {
  if (rows.length !== height * (rowBytes + 1)) throw new Error('wrong number of rows')
  const samples = new Uint8Array(height * rowBytes)
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (rowBytes + 1)]
    if (filter !== 0 && filter !== 2) throw new Error(`filter ${filter} is not known here`)
    for (let x = 0; x < rowBytes; x++) {
      const above = filter === 2 && y > 0 ? samples[(y - 1) * rowBytes + x]! : 0
      samples[y * rowBytes + x] = rows[y * (rowBytes + 1) + 1 + x]! + above
    }
  }
  return samples
}
