import { readdir } from 'node:fs/promises'
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { caseNames, type LeftOut, stemOf } from './file-names.js'
import { type LabelNames, namesByRegions } from './label-names.js'
import { boundsOf, outsideError } from './outside.js'

export type Split = 'training' | 'validation' | 'test'

/** A binary mask of one organ or tumor. */
export interface OrganMask {
  /** File name without ending, such as `kidney_left`. */
  readonly name: string
  readonly file: string
}

/** A case named by a list or a folder; paths are absolute. */
export interface ListedCase {
  /** Name of the case, unique in its data set unless the list has a case twice. */
  readonly name: string
  readonly image: string
  readonly label: string | null
  /** Binary masks that are merged into its label. */
  readonly masks?: readonly OrganMask[]
  readonly fold: number | null
  readonly split: Split
  /** Patient in the list; several scans may share one. */
  readonly patient?: string
  /** Id of the host CT, in lists of synthetic data sets; the patient is then that of the host. */
  readonly host?: string
}

export interface CaseList {
  /** The list, folder or scan that was read. */
  readonly source: string
  /** Layout in words, such as `decathlon list`. */
  readonly layout: string
  /** Names of label ids in the list; null without names. */
  readonly labelNames: LabelNames | null
  /** Reason if the regions of the list leave the meaning of its ids open. */
  readonly unclearNames?: string
  /** Number of training cases that the list states (`numTraining`), often wrong; null if not stated. */
  readonly statedCount: number | null
  readonly cases: readonly ListedCase[]
  /** Scans that no command takes: other formats, and volumes of unknown meaning. */
  readonly leftOut: readonly LeftOut[]
  /** Sentences about files that are known not to be scans. */
  readonly notes: readonly string[]
}

export interface ReadListOptions {
  /**
   * Folders that relative paths of a list are resolved against, in this order; the folder of the list comes
   * last.
   */
  readonly searchIn?: readonly string[]
  /** End of the names of images in a registered flat folder, which is not part of the name of a case. */
  readonly imageEnding?: string | undefined
  /** Accept files outside these folders. Default: such an entry is an error. */
  readonly allowOutside?: boolean | undefined
}

const SPLITS: readonly Split[] = ['training', 'validation', 'test']

/** Content of a list: its own cases, or null if the folders next to it define them (nnU-Net). */
export interface ListFile extends Pick<CaseList, 'labelNames' | 'unclearNames' | 'statedCount'> {
  readonly cases: readonly ListedCase[] | null
}

/**
 * Read a decathlon list in the published dialects, or the dataset.json of an nnU-Net folder.
 * @throws DataError that names the file and the key
 */
export async function readList(file: string, options: ReadListOptions = {}): Promise<ListFile> {
  const content = await parseJson(file)
  const named = labelNamesOf(content, file)
  const statedCount = typeof content.numTraining === 'number' ? content.numTraining : null
  if (!SPLITS.some((split) => Array.isArray(content[split]))) {
    // nnU-Net 2 defines the cases by the folders next to the file
    if (!('file_ending' in content) && !('channel_names' in content))
      throw new DataError(`${file}: no cases (expected a list under training, validation or test)`, {
        hint: 'pass a decathlon list, or the dataset.json of nnU-Net',
      })
    return { ...named, statedCount, cases: null }
  }
  const folders = [...(options.searchIn ?? []), dirname(file)]
  const located = new Locator(folders, options.allowOutside ? () => true : await boundsOf(folders))
  const cases: Unnamed[] = []
  for (const split of SPLITS)
    for (const [at, entry] of entriesOf(content, split, file).entries())
      cases.push(await caseOf(entry, split, `${file}: ${split}[${at}]`, located))
  return { ...named, statedCount, cases: withNames(cases, options.imageEnding) }
}

/** Return true if a JSON file is a list, or may be one because it is damaged. */
export async function isList(file: string): Promise<boolean> {
  try {
    const content = asRecord(await readForeignJson(file)) ?? {}
    return [...SPLITS, 'channel_names'].some((key) => key in content)
  } catch (error) {
    if (error instanceof DataError) return true
    throw error
  }
}

type Unnamed = Omit<ListedCase, 'name'>

/** Name the cases of each folder of images; channels are judged folder by folder. */
function withNames(cases: readonly Unnamed[], imageEnding?: string): ListedCase[] {
  const names = new Map<Unnamed, string>()
  const folders = new Map<string, Unnamed[]>()
  for (const item of cases) {
    const folder = dirname(item.image)
    const group = folders.get(folder)
    if (group) group.push(item)
    else folders.set(folder, [item])
  }
  for (const group of folders.values()) {
    const labels = new Set(group.flatMap(({ label }) => (label === null ? [] : [stemOf(label)])))
    const found = caseNames(
      group.map(({ image }) => image),
      labels,
    )
    for (const [at, item] of group.entries()) names.set(item, withoutEnding(found[at]!, imageEnding))
  }
  return cases.map((item) => ({ name: names.get(item)!, ...item }))
}

function withoutEnding(name: string, ending = ''): string {
  return ending !== '' && name.endsWith(ending) ? name.slice(0, -ending.length) : name
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

async function caseOf(entry: unknown, split: Split, where: string, located: Locator): Promise<Unnamed> {
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
