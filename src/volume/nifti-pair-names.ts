/** A scan may be a pair: header in `a.hdr`, voxels in `a.img`. Either may be compressed, in any letter case. */
export const PAIR_HEADER = /\.(hdr)(\.gz)?$/i
const VOXELS = /\.img(\.gz)?$/i

/** Return true for the name of the header of a pair. */
export function isPairHeader(file: string): boolean {
  return PAIR_HEADER.test(file)
}

/** Return the names that the header of a voxel file `a.img` may have. */
export function headersOfVoxels(file: string): string[] {
  const stem = file.replace(VOXELS, '')
  return stem === file ? [] : endings(stem, 'hdr', VOXELS.exec(file)![1] !== undefined)
}

/** Return the names of a stem with an ending in each letter case; the likeliest comes first. */
export function endings(stem: string, ending: string, compressed: boolean): string[] {
  const cases = [...new Set([ending, ending.toLowerCase(), ending.toUpperCase(), capital(ending)])]
  const plain = cases.map((one) => `${stem}.${one}`)
  const zipped = cases.flatMap((one) => [`${stem}.${one}.gz`, `${stem}.${one}.GZ`])
  return compressed ? [...zipped, ...plain] : [...plain, ...zipped]
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase()
}
