import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { decodeVolume } from '../../../../src/studio/page/review/volume.js'
import { encodeNiftiHeader } from '../../../../src/volume/nifti-header.js'

const AFFINE = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]
const VOXELS = Int16Array.from({ length: 6 * 5 * 40 }, (_, at) => at * 17 - 3000)
const FILE = Buffer.concat([encodeNiftiHeader([6, 5, 40], AFFINE, 'int16'), Buffer.from(VOXELS.buffer)])

/** Return a stream of the bytes in pieces of a size. */
function inPieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close()
      else controller.enqueue(new Uint8Array(bytes.subarray(at, at + size)))
      at += size
    },
  })
}

test.each([
  ['compressed', gzipSync(FILE), 7],
  ['compressed, in one piece', gzipSync(FILE), 1e9],
  ['not compressed', FILE, 11],
  ['with bytes behind the voxels', Buffer.concat([FILE, Buffer.alloc(999)]), 64],
])('decodes a volume that arrives %s', async (_, bytes, size) => {
  const fractions: number[] = []
  const volume = await decodeVolume(inPieces(bytes, size), 'a.nii', (one) => fractions.push(one))
  expect(volume.shape).toEqual([6, 5, 40])
  expect(volume.spacingMm).toEqual([1, 1, 2])
  expect([...volume.voxels]).toEqual([...VOXELS])
  expect(fractions.every((one, at) => one <= 1 && one > (fractions[at - 1] ?? 0))).toBe(true)
})

test('swaps the bytes of a big-endian volume', async () => {
  const swapped = Buffer.from(FILE)
  for (const at of [40, 42, 44, 46, 48, 50, 52, 54, 70, 72, 252, 254]) swapped.subarray(at, at + 2).swap16()
  for (const at of [0, 76, 80, 84, 88, 92, 108, 112, 116, 256, 260, 264, 268, 272, 276])
    swapped.subarray(at, at + 4).swap32()
  for (let at = 280; at < 328; at += 4) swapped.subarray(at, at + 4).swap32()
  swapped.subarray(352).swap16()
  const { voxels } = await decodeVolume(inPieces(swapped, 100), 'a.nii')
  expect([...voxels]).toEqual([...VOXELS])
})

test.each([
  ['a truncated volume', FILE.subarray(0, 700), 'truncated'],
  ['a file that is no volume', Buffer.from('no volume'.repeat(100)), 'a.nii'],
  ['an empty file', Buffer.alloc(0), 'a.nii'],
])('refuses %s', async (_, bytes, words) => {
  await expect(decodeVolume(inPieces(bytes, 50), 'a.nii')).rejects.toThrow(words)
})

test('refuses a header that states more voxels than a browser can hold, before it allocates', async () => {
  const huge = Buffer.from(encodeNiftiHeader([4000, 4000, 4000], AFFINE, 'int16'))
  await expect(decodeVolume(inPieces(huge, 50), 'a.nii')).rejects.toThrow('too large')
})
