import { open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { DataError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import {
  FORMAT_BYTES,
  type ForeignFormat,
  formatByContent,
  formatByName,
} from '../../volume/foreign-formats.js'

/** Endings of volumes, in any letter case. A `.hdr` stands for the pair with its `.img`. */
const VOLUME = /\.(nii|nii\.gz|hdr)$/i
const CHANNEL = /_\d{4}$/
const FIRST_CHANNEL = /_0000$/

/** Folders whose volumes are label maps or masks. */
const MASK_FOLDER =
  /^(labels?(tr|ts|va|val)?|masks?|segs?|segmentations?|annotations?|instances|change(tr)?|probabilities)$/i
/** Ends of label names next to their scan: `a_seg` of `a` or `a_ct`. */
const LABEL_ENDING = /[-_ .](segs?|segmentations?|labels?|masks?|gt)$/i
const IMAGE_ENDING = /[-_ .](ct|image|img|scan|0000)$/i

/** Files of other formats that look like scans: no command takes them. */
export interface LeftOut {
  readonly count: number
  /** The first of them. */
  readonly example: string
  readonly reason: string
  readonly remedy: string
}

/** Return one line for each group of files that look like scans and are not taken. */
export function leftOutLines(leftOut: readonly LeftOut[]): string[] {
  return leftOut.map(({ count, example, reason, remedy }) => {
    const more = count > 1 ? ` and ${count - 1} more` : ''
    return `${example}${more}: not taken (${reason}); ${remedy}`
  })
}

/** Return true for the name of a volume: `.nii`, `.nii.gz` or `.hdr` in any letter case, not hidden. */
export function isVolume(file: string): boolean {
  return VOLUME.test(file) && !isHidden(basename(file))
}

/** Return true for files of the system or of copying tools, such as `.DS_Store` and `._scan.nii.gz`. */
export function isHidden(name: string): boolean {
  return name.startsWith('.')
}

/** Return true for a folder of label maps or masks, by its name. */
export function isMaskFolder(name: string): boolean {
  return MASK_FOLDER.test(name)
}

/** Return the name of a volume without folder and ending. */
export function stemOf(file: string): string {
  return basename(file).replace(VOLUME, '')
}

/**
 * Return the name of the case of each image of one folder, without folder and ending; see `withoutChannel`.
 * @param images names or paths of volumes
 * @throws DataError for a second channel
 */
export function caseNames(
  images: readonly string[],
  labels: ReadonlySet<string> = new Set(),
  declared = false,
): string[] {
  const stems = images.map(stemOf)
  const second = stems.findIndex((stem) => CHANNEL.test(stem) && !FIRST_CHANNEL.test(stem))
  const isChannel = declared || stems.some((stem) => labels.has(stem.replace(CHANNEL, '')))
  const names = withoutChannel(stems, labels, declared)
  if (
    second >= 0 &&
    isChannel &&
    !labels.has(stems[second]!) &&
    stems.some((stem) => FIRST_CHANNEL.test(stem))
  )
    throw new DataError(`${images[second]}: a second channel (expected one for CT)`, {
      hint: 'remove the other channels from the folder',
    })
  return names
}

/**
 * Return the names without the channel `_0000`. It is a channel, and not part of the name, if every image has
 * it and no label does, or if `declared` (the channels of a dataset.json).
 * @param names of the images of one folder, without ending
 * @param labels names of their labels, without ending
 */
export function withoutChannel(
  names: readonly string[],
  labels: ReadonlySet<string>,
  declared = false,
): string[] {
  const isPart = names.some((name) => FIRST_CHANNEL.test(name) && labels.has(name))
  const isChannel = !isPart && (declared || names.every((name) => FIRST_CHANNEL.test(name)))
  return isChannel ? names.map((name) => name.replace(FIRST_CHANNEL, '')) : [...names]
}

/**
 * Return the label of each scan in one folder of both: `a_seg` belongs to `a`, `a_ct` or `a_image`.
 * @param names of volumes
 */
export function labelsByEnding(names: readonly string[]): Map<string, string> {
  const plain = new Map(names.map((name) => [stemOf(name), name]))
  for (const name of names) {
    const short = stemOf(name).replace(IMAGE_ENDING, '')
    if (!plain.has(short)) plain.set(short, name)
  }
  return new Map(
    names.flatMap((name) => {
      const stem = stemOf(name)
      const image = LABEL_ENDING.test(stem) ? plain.get(stem.replace(LABEL_ENDING, '')) : undefined
      return image === undefined || image === name ? [] : [[image, name] as const]
    }),
  )
}

/** Return the error of a path without a scan. */
export function noScan(message: string, hint: string): DataError {
  return new DataError(message, { hint, facts: { reason: 'noScan' } })
}

/** The volumes of one folder, and what looks like a scan in it. Names are sorted. */
export interface FolderContent {
  readonly volumes: readonly string[]
  readonly folders: readonly string[]
  readonly others: readonly string[]
  readonly leftOut: readonly LeftOut[]
}

/**
 * Read the names of a folder; hidden files are ignored.
 * @throws DataError for a folder that cannot be read
 */
export async function readFolder(folder: string): Promise<FolderContent> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw noScan(cannotBeRead(folder, error.code, 'folder'), 'correct the path')
  })
  const names = entries.filter(({ name }) => !isHidden(name)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const isFolder = async (entry: (typeof names)[number]) =>
    entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(join(folder, entry.name))))
  const kinds = await Promise.all(names.map(isFolder))
  const folders = names.filter((_, at) => kinds[at]).map(({ name }) => name)
  const files = names.filter((_, at) => !kinds[at]).map(({ name }) => name)
  const volumes = files.filter(isVolume)
  const others = files.filter((name) => !isVolume(name))
  return { volumes, folders, others, leftOut: leftOutOf(folder, others, volumes) }
}

/** Return the scans of other formats among the files of a folder. A copy of a volume is none. */
function leftOutOf(folder: string, others: readonly string[], volumes: readonly string[]): LeftOut[] {
  const taken = new Set(volumes.map((name) => stemOf(name).toLowerCase()))
  const groups = new Map<ForeignFormat, string[]>()
  for (const name of others) {
    const format = formatByName(name)
    if (format === undefined || taken.has(name.slice(0, -extname(name).length).toLowerCase())) continue
    groups.set(format, [...(groups.get(format) ?? []), name])
  }
  return [...groups].map(([{ name: reason, remedy }, names]) => ({
    count: names.length,
    example: join(folder, names[0]!),
    reason,
    remedy,
  }))
}

/** Return why a file is no scan that can be read: its format by name or by its first bytes; null if unknown. */
export async function foreignFormat(file: string): Promise<Pick<LeftOut, 'reason' | 'remedy'> | null> {
  // many DICOM series have no ending
  const format = formatByName(basename(file)) ?? formatByContent(await startOf(file))
  return format === undefined ? null : { reason: format.name, remedy: format.remedy }
}

/** Return the first bytes of a file; none if it cannot be read. */
async function startOf(file: string): Promise<Uint8Array> {
  const handle = await open(file).catch(() => null)
  if (handle === null) return new Uint8Array()
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FORMAT_BYTES), 0, FORMAT_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } catch {
    return new Uint8Array()
  } finally {
    await handle.close()
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (state) => state.isDirectory(),
    () => false,
  )
}

/** Return the name of the data set of a folder, list or scan. */
export function datasetNameOf(source: string): string {
  const name = basename(source)
  if (isVolume(source)) return basename(dirname(source))
  return name === 'dataset.json' ? basename(dirname(source)) : basename(name, '.json')
}
