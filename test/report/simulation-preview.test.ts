import { inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { previewPng, SIZE_COLORS } from '../../src/report/simulation-preview.js'

/** Pixels of a PNG of ours: one IDAT, filter 2, 3 bytes a pixel. */
function decoded(png: Buffer): { width: number; height: number; pixel(x: number, y: number): number[] } {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  expect(png[25]).toBe(2)
  const rows = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)))
  const stride = 3 * width
  const rgb = Buffer.alloc(stride * height)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < stride; x++)
      rgb[y * stride + x] = rows[y * (stride + 1) + 1 + x]! + (y === 0 ? 0 : rgb[(y - 1) * stride + x]!)
  return { width, height, pixel: (x, y) => [...rgb.subarray(y * stride + 3 * x, y * stride + 3 * x + 3)] }
}

describe('previewPng', () => {
  // 12 x 6 x 4 voxels of 1 x 2 x 3 mm: every panel is to scale, 360 pixels for 12 mm.
  const shape = [12, 6, 4] as const
  const label = new Uint8Array(12 * 6 * 4).fill(1)
  const tumor = { size: 'large', origin: [9, 0, 3], shape: [2, 1, 1], data: Uint8Array.of(1, 1) } as const
  const picture = decoded(previewPng({ shape, spacingMm: [1, 2, 3], label, organLabel: 1 }, [tumor]))

  it('shows three planes side by side, to scale in millimetres', () => {
    expect([picture.width, picture.height]).toEqual([3 * 360 + 2 * 8, 360])
    const [red, green, blue] = picture.pixel(10, 10)
    expect([red === green, green === blue, red! > 100]).toEqual([true, true, true])
    expect(picture.pixel(363, 10)).toEqual([24, 24, 24])
  })

  it('colours a tumor by its size in each plane, the second axis upwards', () => {
    const isTumor = (x: number, y: number) => {
      const [red, , blue] = picture.pixel(x, y)
      return red !== blue
    }
    // Pixel of voxel (9, 0): x at 9.5 of 12, y at the bottom.
    expect([isTumor(285, 350), isTumor(285, 10), isTumor(200, 350)]).toEqual([true, false, false])
    // Axes 0 and 2: z 3 is at the top. Axes 1 and 2: y 0 is at the left.
    expect([isTumor(368 + 285, 10), isTumor(368 + 285, 350)]).toEqual([true, false])
    expect([isTumor(736 + 10, 10), isTumor(736 + 350, 10)]).toEqual([true, false])
    expect(new Set(Object.values(SIZE_COLORS).map(String)).size).toBe(4)
  })
})
