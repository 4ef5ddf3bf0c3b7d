import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { boundsOf, outsideError } from './outside.js'
import type { Layout } from './registry.js'

export type Split = 'training' | 'validation' | 'test'

/** A case as a list or a folder names it; paths are absolute. */
export interface ListedCase {
  readonly image: string
  readonly label: string | null
  readonly fold: number | null
  readonly split: Split
  /** As the list states it: several scans may share one. */
  readonly patient?: string
  /** Id of the case that it was made from, as lists of synthetic data sets say; its patient is then the host's. */
  readonly host?: string
}

export interface CaseList {
  /** The file, or the folder that was read without one. */
  readonly source: string
  /** Names of label ids as the list states them; null where it does not. */
  readonly labelNames: Readonly<Record<string, string>> | null
  /** Training cases that the list says it has (`numTraining`): often wrong; null where it does not say. */
  readonly statedCount: number | null
  readonly cases: readonly ListedCase[]
}

export interface ReadListOptions {
  /** Folders where relative paths of a list are tried, in this order; the list's own folder comes last. */
  readonly searchIn?: readonly string[]
  readonly layout?: Layout | undefined
  /** The list may name files outside these folders. Default: such an entry is an error. */
  readonly allowOutside?: boolean | undefined
}

const SPLITS: readonly Split[] = ['training', 'validation', 'test']
const FOLDERS: Layout = { kind: 'folders', images: 'imagesTr', labels: 'labelsTr' }
const NIFTI = /\.nii(\.gz)?$/

/**
 * The cases of a data set: a decathlon list (.json), a folder with such a list named dataset.json, an nnU-Net folder, or
 * bare folders of images and labels whose names pair (`_0000` ignored).
 * @throws DataError that names the file and the key
 */
export async function readCases(path: string, options: ReadListOptions = {}): Promise<CaseList> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${path}: no data set there (${error.code})`, {
      hint: 'correct data.root or the path of the data set',
    })
  })
  if (!state.isDirectory()) return readList(path, options)
  const list = join(path, 'dataset.json')
  const hasList = await stat(list).then(
    () => true,
    () => false,
  )
  if (!hasList)
    return {
      source: path,
      labelNames: null,
      statedCount: null,
      cases: await readFolders(path, options.layout ?? FOLDERS),
    }
  return readList(list, { ...options, searchIn: [path, ...(options.searchIn ?? [])] })
}

/** A decathlon list in the dialects that are published, or the dataset.json of an nnU-Net folder. */
export async function readList(file: string, options: ReadListOptions = {}): Promise<CaseList> {
  const content = await parseJson(file)
  const labelNames = namesOf(content.labels ?? content.label, file)
  const statedCount = typeof content.numTraining === 'number' ? content.numTraining : null
  if (!SPLITS.some((split) => Array.isArray(content[split]))) {
    // nnU-Net 2 leaves the cases to the folders beside the file.
    if (!('file_ending' in content) && !('channel_names' in content))
      throw new DataError(`${file}: a list of cases was expected under training, validation or test`, {
        hint: 'is this a decathlon list or the dataset.json of nnU-Net?',
      })
    return {
      source: file,
      labelNames,
      statedCount,
      cases: await readFolders(dirname(file), options.layout ?? FOLDERS),
    }
  }
  const folders = [...(options.searchIn ?? []), dirname(file)]
  const located = new Locator(folders, options.allowOutside ? () => true : await boundsOf(folders))
  const cases: ListedCase[] = []
  for (const split of SPLITS)
    for (const [at, entry] of entriesOf(content, split, file).entries())
      cases.push(await caseOf(entry, split, `${file}: ${split}[${at}]`, located))
  return { source: file, labelNames, statedCount, cases }
}

/** File name of a case without endings that only say what kind of file it is. */
export function stemOf(image: string, imageEnding = '_0000'): string {
  const name = basename(image).replace(NIFTI, '')
  return name.endsWith(imageEnding) ? name.slice(0, -imageEnding.length) : name.replace(/_0000$/, '')
}

async function parseJson(file: string): Promise<Readonly<Record<string, unknown>>> {
  const unreadable = (code: string, cause: unknown): DataError =>
    new DataError(`${file}: cannot be read (${code})`, { hint: 'correct the path of the list', cause })
  const content = asRecord(await readForeignJson(file, { unreadable }))
  if (content === undefined)
    throw new DataError(`${file}: an object was expected`, { hint: 'name a decathlon list' })
  return content
}

/** Id -> name, whichever way round the list has it (KiTS and nnU-Net 2 map names to ids). */
function namesOf(labels: unknown, file: string): Record<string, string> | null {
  if (labels === undefined) return null
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels))
    throw new DataError(`${file}: labels must map ids to names, found ${JSON.stringify(labels)}`, {
      hint: 'repair the list',
    })
  const pairs = Object.entries(labels)
  if (pairs.every(([id, name]) => /^\d+$/.test(id) && typeof name === 'string'))
    return Object.fromEntries(pairs)
  if (pairs.every(([, id]) => /^\d+$/.test(String(id))))
    return Object.fromEntries(pairs.map(([name, id]) => [String(id), name]))
  // Regions of nnU-Net (several ids a name) are no names of ids.
  return null
}

function entriesOf(
  content: Readonly<Record<string, unknown>>,
  split: Split,
  file: string,
): readonly unknown[] {
  const entries = content[split] ?? []
  if (!Array.isArray(entries))
    throw new DataError(`${file}: ${split} must be a list, found ${typeof entries}`, {
      hint: 'repair the list',
    })
  return entries
}

async function caseOf(entry: unknown, split: Split, where: string, located: Locator): Promise<ListedCase> {
  if (typeof entry === 'string')
    return { image: await located.find(entry, where), label: null, fold: null, split }
  if (typeof entry !== 'object' || entry === null)
    throw new DataError(`${where} must be a path or an object with image and label`, {
      hint: 'repair the list',
    })
  const { image, label, fold, patient, host } = entry as Record<string, unknown>
  if (fold !== undefined && !Number.isInteger(fold))
    throw new DataError(`${where}.fold must be a whole number, found ${JSON.stringify(fold)}`, {
      hint: 'repair the list',
    })
  return {
    image: await located.find(pathOf(image, `${where}.image`), `${where}.image`),
    label:
      label === undefined || label === null
        ? null
        : await located.find(pathOf(label, `${where}.label`), `${where}.label`),
    fold: (fold as number | undefined) ?? null,
    split,
    ...(isText(patient) && { patient }),
    ...(isText(patient) && isText(host) && { host }),
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0
}

function pathOf(value: unknown, where: string): string {
  const single = Array.isArray(value) && value.length === 1 ? (value[0] as unknown) : value
  if (typeof single === 'string' && single.length > 0) return single
  throw new DataError(`${where} must be one path, found ${JSON.stringify(value)}`, {
    hint: 'repair the list; CT has one channel',
  })
}

/** Finds listed files; folders are listed once, because a list names thousands of files in few of them. */
class Locator {
  private readonly listings = new Map<string, Promise<ReadonlySet<string>>>()

  constructor(
    private readonly folders: readonly string[],
    private readonly isAllowed: (path: string) => boolean,
  ) {}

  /** The first place where the file is; the first one tried when it is nowhere. */
  async find(path: string, where: string): Promise<string> {
    const places = this.folders.map((folder) => resolve(folder, path)).filter(this.isAllowed)
    if (places.length === 0) throw outsideError(where, path, this.folders[0]!)
    if (isAbsolute(path)) return places[0]!
    for (const place of places) if ((await this.listing(dirname(place))).has(basename(place))) return place
    return places[0]!
  }

  private listing(folder: string): Promise<ReadonlySet<string>> {
    const known = this.listings.get(folder)
    if (known) return known
    const names = readdir(folder).then(
      (found) => new Set(found),
      () => new Set<string>(),
    )
    this.listings.set(folder, names)
    return names
  }
}

async function readFolders(folder: string, layout: Layout): Promise<ListedCase[]> {
  const cases =
    layout.kind === 'flat'
      ? await readFlat(join(folder, layout.folder), layout.imageEnding, layout.labelEnding)
      : await readPairs(folder, layout.images, layout.labels, 'training')
  if (cases.length === 0)
    throw new DataError(
      `${folder}: no image was found in ${layout.kind === 'flat' ? layout.folder : layout.images}`,
      {
        hint: 'a data-set folder holds imagesTr and labelsTr, or a dataset.json',
      },
    )
  const tests = layout.kind === 'folders' ? await readPairs(folder, 'imagesTs', 'labelsTs', 'test') : []
  return [...cases, ...tests]
}

async function readPairs(
  folder: string,
  images: string,
  labels: string,
  split: Split,
): Promise<ListedCase[]> {
  const [imageNames, labelNames] = await Promise.all([
    niftiNames(join(folder, images)),
    niftiNames(join(folder, labels)),
  ])
  const channels = imageNames.filter((name) => /_000[1-9]\.nii(\.gz)?$/.test(name))
  if (channels.length > 0 && imageNames.some((name) => /_0000\.nii(\.gz)?$/.test(name)))
    throw new DataError(`${join(folder, images, channels[0]!)}: a second channel; a CT has one`, {
      hint: 'take the other channels out of the folder',
    })
  const labelOf = new Map(labelNames.map((name) => [stemOf(name), join(folder, labels, name)]))
  const cases = imageNames.map((name): ListedCase => {
    // A test image may have none; of a training image the label is missing where its name says it should be.
    const expected = split === 'training' ? join(folder, labels, `${stemOf(name)}.nii.gz`) : null
    return {
      image: join(folder, images, name),
      label: labelOf.get(stemOf(name)) ?? expected,
      fold: null,
      split,
    }
  })
  const paired = imageNames.some((name) => labelOf.has(stemOf(name)))
  if (split === 'training' && cases.length > 0 && !paired)
    throw new DataError(
      `${join(folder, images)}: none of its ${cases.length} images has a label of its name in ${labels}, first ${imageNames[0]}`,
      { hint: 'names pair when they are equal but for _0000; a list in dataset.json pairs them otherwise' },
    )
  return cases
}

async function readFlat(folder: string, imageEnding: string, labelEnding: string): Promise<ListedCase[]> {
  const names = await niftiNames(folder)
  const images = names.filter((name) => name.replace(NIFTI, '').endsWith(imageEnding))
  return images.map((name): ListedCase => {
    const wanted = `${stemOf(name, imageEnding)}${labelEnding}`
    const label = names.find((other) => other.replace(NIFTI, '') === wanted) ?? `${wanted}.nii.gz`
    return { image: join(folder, name), label: join(folder, label), fold: null, split: 'training' }
  })
}

async function niftiNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  // Files that start with a dot are leavings of copying tools.
  return names.filter((name) => NIFTI.test(name) && !name.startsWith('.')).sort()
}
