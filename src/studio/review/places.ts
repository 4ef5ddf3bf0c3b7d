import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import { openInside } from '../inside.js'
import { stampOf } from './file-hash.js'
import type { ItemDetail, Layer, LayerRole } from './messages.js'

/** A file of a layer below a given folder, or why there is none. */
export type LayerFile = { readonly root: string; readonly path: string } | NonNullable<Layer['missing']>

/** One item, with its files. */
export interface OpenItem extends Omit<ItemDetail, 'layers' | 'at'> {
  readonly files: ReadonlyMap<LayerRole, LayerFile>
}

/** Return the layers of an item, as the page gets them. A file that cannot be opened is a missing one with its reason. */
export async function layersOf(files: OpenItem['files']): Promise<Layer[]> {
  return await Promise.all([...files].map(([role, file]) => layerOf(role, file)))
}

async function layerOf(role: LayerRole, file: LayerFile): Promise<Layer> {
  const none = { role, key: null, bytes: 0 }
  if ('message' in file) return { ...none, name: '', missing: file }
  const name = basename(file.path)
  try {
    const stamp = await stampOf(file.root, file.path)
    if (stamp === null)
      return { ...none, name, missing: { message: `${file.path}: file not found`, hint: 'restore it' } }
    await using opened = (await openInside(file.root, file.path))!
    const key = createHash('sha256').update(`${file.path}\n${stamp}`).digest('hex').slice(0, 16)
    return { role, name, key, bytes: (await opened.stat()).size, missing: null }
  } catch (error) {
    return { ...none, name, missing: { message: (error as Error).message, hint: 'correct the file' } }
  }
}

/** Return a file, or that it lies outside the given folders. @param roots real paths */
export async function fileBelow(roots: readonly string[], path: string, what: string): Promise<LayerFile> {
  // a result may name its files through a symbolic link
  const real = await realpath(path).catch(() => path)
  const root = roots.find((one) => real.startsWith(one.endsWith('/') ? one : `${one}/`))
  return root === undefined ? outside(path, what) : { root, path: real }
}

function outside(path: string, what: string): LayerFile {
  const folder = path.slice(0, path.lastIndexOf('/')) || '/'
  return {
    message: `The ${what} lies outside the given folders: ${path}`,
    hint: `Add its folder: freetumor studio ... ${folder}`,
  }
}
