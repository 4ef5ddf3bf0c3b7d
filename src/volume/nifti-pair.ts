import { stat } from 'node:fs/promises'

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

/**
 * Return the files that hold a scan: the file itself, and for a `.hdr` its `.img` if there is one. This is the only rule of
 * pairs; `files_of_scan` of freetumor_runtime/data/nifti.py is its twin.
 */
export async function filesOfScan(file: string): Promise<readonly string[]> {
  const ending = HEADER.exec(file)
  if (ending === null) return [file]
  const stem = file.slice(0, ending.index)
  const written = ending[1] === 'HDR' ? 'IMG' : 'img'
  for (const name of endings(stem, written, ending[2] !== undefined))
    if (await stat(name).catch(() => null)) return [file, name]
  return [file]
}

/** Size and time of a file. */
export interface FileState {
  readonly bytes: number
  readonly modifiedMs: number
}

/** Return the state of each file of a scan; a changed scan has other states. A missing file has -1 bytes. */
export async function statesOfScan(file: string): Promise<FileState[]> {
  const files = await filesOfScan(file)
  return await Promise.all(
    files.map((name) =>
      stat(name).then(
        ({ size, mtimeMs }) => ({ bytes: size, modifiedMs: mtimeMs }),
        () => ({ bytes: -1, modifiedMs: 0 }),
      ),
    ),
  )
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
