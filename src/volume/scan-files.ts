import { stat } from 'node:fs/promises'
import { voxelsOfHeader } from './nifti-pair.js'

/**
 * Return the files that hold a scan: the file itself, and for a `.hdr` its `.img` if there is one. This is the only rule of
 * pairs; `files_of_scan` of freetumor_runtime/data/nifti.py is its twin.
 */
export async function filesOfScan(file: string): Promise<readonly string[]> {
  for (const name of voxelsOfHeader(file)) if (await stat(name).catch(() => null)) return [file, name]
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

/** Number of parallel questions; disks and networks serve several at a time. */
const PARALLEL = 16

/** Return the states of many scans, in order. */
export async function statesOfScans(files: readonly string[]): Promise<FileState[][]> {
  const found: FileState[][] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < files.length; at = next++) found[at] = await statesOfScan(files[at]!)
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  return found
}
