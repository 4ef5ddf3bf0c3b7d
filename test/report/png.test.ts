import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodePng } from '../../src/report/png.js'
import { decodePng } from './decode-png.js'

test('returns any pixels bit-identical after decoding', () => {
  const raster = fc
    .record({ width: fc.integer({ min: 1, max: 9 }), height: fc.integer({ min: 1, max: 9 }) })
    .chain(({ width, height }) =>
      fc.record({
        width: fc.constant(width),
        height: fc.constant(height),
        rgb: fc.uint8Array({ minLength: 3 * width * height, maxLength: 3 * width * height }),
      }),
    )
  fc.assert(
    fc.property(raster, (made) => {
      const { width, height, channels, samples } = decodePng(encodePng(made))
      expect({ width, height }).toEqual({ width: made.width, height: made.height })
      const rgb =
        channels === 3 ? samples : Uint8Array.from([...samples].flatMap((gray) => [gray, gray, gray]))
      expect(rgb).toEqual(made.rgb)
    }),
  )
})

test('writes pictures without a colour as gray', () => {
  const gray = encodePng({ width: 2, height: 1, rgb: Uint8Array.of(7, 7, 7, 255, 255, 255) })
  expect(decodePng(gray)).toEqual({ width: 2, height: 1, channels: 1, samples: Uint8Array.of(7, 255) })
})

test('refuses pixels whose number does not match the size', () => {
  expect(() => encodePng({ width: 2, height: 2, rgb: new Uint8Array(11) })).toThrow('needs 12 bytes, got 11')
  expect(() => encodePng({ width: 0, height: 2, rgb: new Uint8Array(0) })).toThrow('0 x 2')
})
