/** A scan may be a pair: header in `a.hdr`, voxels in `a.img`. Either may be compressed, in any letter case. */
const HEADER = /\.(hdr)(\.gz)?$/i
const VOXELS = /\.img(\.gz)?$/i

/** Return true for the name of the header of a pair. */
export function isPairHeader(file: string): boolean {
  return HEADER.test(file)
}

/** Return the names that the header of a voxel file `a.img` may have. */
export function headersOfVoxels(file: string): string[] {
  const stem = file.replace(VOXELS, '')
  return stem === file ? [] : endings(stem, 'hdr', VOXELS.exec(file)![1] !== undefined)
}

/** Return the names that the voxel file of a pair header may have, the likeliest first; none for another file. */
export function voxelsOfHeader(file: string): string[] {
  const ending = HEADER.exec(file)
  if (ending === null) return []
  const written = ending[1] === 'HDR' ? 'IMG' : 'img'
  return endings(file.slice(0, ending.index), written, ending[2] !== undefined)
}

/** Return the names of a stem with an ending in each letter case; the likeliest comes first. */
function endings(stem: string, ending: string, compressed: boolean): string[] {
  const cases = [...new Set([ending, ending.toLowerCase(), ending.toUpperCase(), capital(ending)])]
  const plain = cases.map((one) => `${stem}.${one}`)
  const zipped = cases.flatMap((one) => [`${stem}.${one}.gz`, `${stem}.${one}.GZ`])
  return compressed ? [...zipped, ...plain] : [...plain, ...zipped]
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase()
}
