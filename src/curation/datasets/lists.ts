import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { type LabelNames, namesByRegions } from './label-names.js'
import { boundsOf, outsideError } from './outside.js'
import type { Layout } from './registry.js'

export type Split = 'training' | 'validation' | 'test'

/** A case named by a list or a folder; paths are absolute. */
export interface ListedCase {
  readonly image: string
  readonly label: string | null
  readonly fold: number | null
  readonly split: Split
  /** Patient in the list; several scans may share one. */
  readonly patient?: string
  /** Id of the host CT, in lists of synthetic data sets; the patient is then that of the host. */
  readonly host?: string
}

export interface CaseList {
  /** The list, or the folder that was read without a list. */
  readonly source: string
  /** Names of label ids in the list; null without names. */
  readonly labelNames: LabelNames | null
  /** Reason if the regions of the list leave the meaning of its ids open. */
  readonly unclearNames?: string
  /** Number of training cases that the list states (`numTraining`), often wrong; null if not stated. */
  readonly statedCount: number | null
  readonly cases: readonly ListedCase[]
}

export interface ReadListOptions {
  /**
   * Folders that relative paths of a list are resolved against, in this order; the folder of the list comes
   * last.
   */
  readonly searchIn?: readonly string[]
  readonly layout?: Layout | undefined
  /** Accept files outside these folders. Default: such an entry is an error. */
  readonly allowOutside?: boolean | undefined
}

const SPLITS: readonly Split[] = ['training', 'validation', 'test']
const FOLDERS: Layout = { kind: 'folders', images: 'imagesTr', labels: 'labelsTr' }
const NIFTI = /\.nii(\.gz)?$/

/**
 * Read the cases of a data set: a decathlon list (.json), a folder with such a list named dataset.json, an
 * nnU-Net folder, or bare folders of images and labels with equal names (`_0000` ignored).
 * @throws DataError that names the file and the key
 */
export async function readCases(path: string, options: ReadListOptions = {}): Promise<CaseList> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(cannotBeRead(path, error.code, 'data set'), {
      hint: 'correct data.root, or the path of the data set',
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

/** Read a decathlon list in the published dialects, or the dataset.json of an nnU-Net folder. */
export async function readList(file: string, options: ReadListOptions = {}): Promise<CaseList> {
  const content = await parseJson(file)
  const named = labelNamesOf(content, file)
  const statedCount = typeof content.numTraining === 'number' ? content.numTraining : null
  if (!SPLITS.some((split) => Array.isArray(content[split]))) {
    // nnU-Net 2 defines the cases by the folders next to the file
    if (!('file_ending' in content) && !('channel_names' in content))
      throw new DataError(`${file}: no cases (expected a list under training, validation or test)`, {
        hint: 'pass a decathlon list, or the dataset.json of nnU-Net',
      })
    return {
      source: file,
      ...named,
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
  return { source: file, ...named, statedCount, cases }
}

/** Return the file name of a case without endings that only state the kind of file. */
export function stemOf(image: string, imageEnding = '_0000'): string {
  const name = basename(image).replace(NIFTI, '')
  return name.endsWith(imageEnding) ? name.slice(0, -imageEnding.length) : name.replace(/_0000$/, '')
}

async function parseJson(file: string): Promise<Readonly<Record<string, unknown>>> {
  const unreadable = (code: string, cause: unknown): DataError =>
    new DataError(cannotBeRead(file, code), { hint: 'correct the path of the list', cause })
  const content = asRecord(await readForeignJson(file, { unreadable }))
  if (content === undefined)
    throw new DataError(`${file}: wrong content (expected an object)`, { hint: 'pass a decathlon list' })
  return content
}

/**
 * Return the names of the ids of a list, in either direction: KiTS and nnU-Net 2 map names to ids, or to lists of ids.
 * @throws DataError for labels of another form
 */
export function labelNamesOf(
  content: Readonly<Record<string, unknown>>,
  file: string,
): Pick<CaseList, 'labelNames' | 'unclearNames'> {
  const labels = content.labels ?? content.label
  if (labels === undefined) return { labelNames: null }
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels))
    throw new DataError(`${file}: wrong labels (expected ids with names, found ${JSON.stringify(labels)})`, {
      hint: 'correct the list',
    })
  const pairs = Object.entries(labels)
  if (pairs.every(([id, name]) => /^\d+$/.test(id) && typeof name === 'string'))
    return { labelNames: Object.fromEntries(pairs) }
  const regions = pairs.map(([name, ids]) => ({ name, ids: [ids].flat().map(String) }))
  if (!regions.every(({ ids }) => ids.every((id) => /^\d+$/.test(id)))) return { labelNames: null }
  if (regions.every(({ ids }) => ids.length === 1))
    return { labelNames: Object.fromEntries(regions.map(({ name, ids }) => [ids[0]!, name])) }
  const named = namesByRegions(regions)
  return 'names' in named ? { labelNames: named.names } : { labelNames: null, unclearNames: named.unclear }
}

function entriesOf(
  content: Readonly<Record<string, unknown>>,
  split: Split,
  file: string,
): readonly unknown[] {
  const entries = content[split] ?? []
  if (!Array.isArray(entries))
    throw new DataError(`${file}: wrong ${split} (expected a list, found ${typeof entries})`, {
      hint: 'correct the list',
    })
  return entries
}

async function caseOf(entry: unknown, split: Split, where: string, located: Locator): Promise<ListedCase> {
  if (typeof entry === 'string')
    return { image: await located.find(entry, where), label: null, fold: null, split }
  if (typeof entry !== 'object' || entry === null)
    throw new DataError(`${where}: wrong entry (expected a path, or an object with image and label)`, {
      hint: 'correct the list',
    })
  const { image, label, fold, patient, host } = entry as Record<string, unknown>
  if (fold !== undefined && !Number.isInteger(fold))
    throw new DataError(`${where}.fold: wrong value (expected an integer, found ${JSON.stringify(fold)})`, {
      hint: 'correct the list',
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
  throw new DataError(`${where}: wrong value (expected one path, found ${JSON.stringify(value)})`, {
    hint: 'correct the list: CT has one channel',
  })
}

/** Resolves listed paths. Folders are read once, because a list names thousands of files in a few folders. */
class Locator {
  private readonly listings = new Map<string, Promise<ReadonlySet<string>>>()

  constructor(
    private readonly folders: readonly string[],
    private readonly isAllowed: (path: string) => boolean,
  ) {}

  /** Return the first path that exists, else the first candidate. */
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
      `${folder}: no image found in ${layout.kind === 'flat' ? layout.folder : layout.images}`,
      {
        hint: 'pass a folder with imagesTr and labelsTr, or with a dataset.json',
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
    throw new DataError(`${join(folder, images, channels[0]!)}: a second channel (expected one for CT)`, {
      hint: 'remove the other channels from the folder',
    })
  const labelOf = new Map(labelNames.map((name) => [stemOf(name), join(folder, labels, name)]))
  const cases = imageNames.map((name): ListedCase => {
    // a test image may have no label; for a training image, the label is expected under its name
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
      `${join(folder, images)}: no image has a label of equal name in ${labels} (first ${imageNames[0]})`,
      { hint: 'give images and labels equal names, or pair them in a dataset.json' },
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
  // files that start with a dot are left over from copying tools
  return names.filter((name) => NIFTI.test(name) && !name.startsWith('.')).sort()
}
