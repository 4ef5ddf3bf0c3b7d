/** An extension of a NIfTI header. */
export interface NiftiExtension {
  /** Registered code; 6 is a comment. */
  readonly code: number
  /** Its bytes, with the zeros that fill its size. */
  readonly content: Uint8Array
}

export interface NiftiExtensions {
  readonly extensions: readonly NiftiExtension[]
  /** True if bytes between the header and the voxels are neither an extension nor 0. */
  readonly strayBytes: boolean
}

/**
 * Return the extensions of a single NIfTI file.
 * @param bytes those before the voxels
 */
export function niftiExtensions(bytes: Uint8Array, version: 1 | 2, littleEndian: boolean): NiftiExtensions {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const extensions: NiftiExtension[] = []
  let at = version === 1 ? 348 : 540
  if (bytes.length >= at + 4 && bytes[at] !== 0) {
    at += 4
    while (at + 8 <= bytes.length) {
      const size = view.getInt32(at, littleEndian)
      if (size < 16 || size % 16 !== 0 || at + size > bytes.length) break
      extensions.push({
        code: view.getInt32(at + 4, littleEndian),
        content: bytes.subarray(at + 8, at + size),
      })
      at += size
    }
  }
  return { extensions, strayBytes: bytes.subarray(at).some((byte) => byte !== 0) }
}
