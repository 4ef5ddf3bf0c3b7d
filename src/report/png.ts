import { crc32, deflateSync } from 'node:zlib'

/** Pixels in rows from the top, three bytes (red, green, blue) a pixel. */
export interface Raster {
  readonly width: number
  readonly height: number
  readonly rgb: Uint8Array
}

/** Return a PNG file with 8 bits a channel; grayscale (a third of the size) if no pixel has a colour. */
export function encodePng(raster: Raster): Buffer {
  const { width, height, rgb } = raster
  if (width < 1 || height < 1 || rgb.length !== 3 * width * height)
    throw new RangeError(`a PNG of ${width} x ${height} needs ${3 * width * height} bytes, got ${rgb.length}`)
  const colored = hasColor(rgb)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  // bit depth, colour type (2 RGB, 0 gray), then the default compression, filter and interlace
  header.set([8, colored ? 2 : 0, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(filtered(colored ? rgb : grayOf(rgb), width * (colored ? 3 : 1), height))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function hasColor(rgb: Uint8Array): boolean {
  for (let at = 0; at < rgb.length; at += 3)
    if (rgb[at] !== rgb[at + 1] || rgb[at] !== rgb[at + 2]) return true
  return false
}

function grayOf(rgb: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: rgb.length / 3 }, (_, pixel) => rgb[3 * pixel]!)
}

/**
 * Encode rows as differences to the row above (filter 2): enlarged rows become zeros, which compress well.
 */
function filtered(samples: Uint8Array, rowBytes: number, height: number): Buffer {
  const rows = Buffer.alloc(height * (rowBytes + 1))
  for (let y = 0; y < height; y++) {
    const out = y * (rowBytes + 1)
    rows[out] = 2
    for (let x = 0; x < rowBytes; x++) {
      const above = y === 0 ? 0 : samples[(y - 1) * rowBytes + x]!
      rows[out + 1 + x] = samples[y * rowBytes + x]! - above
    }
  }
  return rows
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content])
  const framed = Buffer.alloc(named.length + 8)
  framed.writeUInt32BE(content.length, 0)
  framed.set(named, 4)
  framed.writeUInt32BE(crc32(named), named.length + 4)
  return framed
}
