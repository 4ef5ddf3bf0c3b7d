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
import { headersOfVoxels } from '../../volume/nifti-pair.js'

/** Endings of volumes, in any letter case. A `.hdr` stands for the pair with its `.img`. */
const VOLUME = /\.(nii|hdr)(\.gz)?$/i
/** Those endings in words, for messages. */
export const VOLUME_ENDINGS = '.nii, .nii.gz or .hdr'
const CHANNEL = /_\d{4}$/
const FIRST_CHANNEL = /_0000$/

/** Folders whose volumes are label maps or masks. */
const MASK_FOLDER =
  /^(labels?(tr|ts|va|val)?|masks?|segs?|segmentations?|annotations?|instances|gt|ground[-_ ]?truths?|change(tr)?|probabilities)$/i
const LABEL_WORD = '(?:segs?|segmentations?|labels?|masks?|annotations?|gt|ground[-_ ]?truths?)'
/** Names of label maps: `seg`, `a_seg`, and LiTS's `segmentation-0`. */
const LABEL_NAME = new RegExp(`^${LABEL_WORD}([-_ .]?\\d+)?$|[-_ .]${LABEL_WORD}$|^${LABEL_WORD}[-_ .]`, 'i')
/** Ends of label names next to their scan: `a_seg` of `a` or `a_ct`. */
const LABEL_ENDING = new RegExp(`[-_ .](${LABEL_WORD}|tumou?rs?|lesions?|roi)$`, 'i')
const IMAGE_ENDING = /[-_ .](ct|image|img|scan|0000)$/i
/** Starts of names next to each other: `segmentation-0` of `volume-0`, `label0001` of `img0001`. */
const LABEL_START = new RegExp(`^${LABEL_WORD}(?=[-_ .]|\\d)`, 'i')
const IMAGE_START = /^(volume|ct|image|img|scan)(?=[-_ .]|\d)/i

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

/** Return true for the name of a volume: `.nii`, `.nii.gz`, `.hdr` or `.hdr.gz` in any letter case, not hidden. */
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

/** Return true for a volume that is a label map or a mask, by its name. */
export function isLabelName(file: string): boolean {
  return LABEL_NAME.test(stemOf(file))
}

/** Return the name of a volume without folder and ending. */
export function stemOf(file: string): string {
  return basename(file).replace(VOLUME, '')
}

/**
 * Return the volumes of one folder by their names without ending.
 * @throws DataError for two volumes of one name, such as `a.nii` and the pair `a.hdr`
 */
export function volumesByStem(folder: string, volumes: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of volumes) {
    const stem = stemOf(name)
    const twin = found.get(stem)
    if (twin !== undefined)
      throw new DataError(`${folder}: ${twin} and ${name} have equal case names (found ${stem} for both)`, {
        hint: 'move one of them elsewhere',
      })
    found.set(stem, name)
  }
  return found
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
 * Return the label of each scan in one folder of both: `a_seg` belongs to `a`, `a_ct` or `a_image`, and
 * `segmentation-0` to `volume-0`. The first of several labels counts.
 * @param names of volumes
 */
export function labelsBeside(names: readonly string[]): Map<string, string> {
  const plain = new Map(names.map((name) => [stemOf(name), name]))
  for (const name of names) {
    for (const part of [IMAGE_ENDING, IMAGE_START]) {
      const short = stemOf(name).replace(part, '')
      if (!plain.has(short)) plain.set(short, name)
    }
  }
  const found = new Map<string, string>()
  for (const name of names) {
    const stem = stemOf(name)
    const part = LABEL_ENDING.test(stem) ? LABEL_ENDING : LABEL_START
    const image = part.test(stem) ? plain.get(stem.replace(part, '')) : undefined
    if (image !== undefined && image !== name && !found.has(image)) found.set(image, name)
  }
  return found
}

/** Return the name of a case without the word for an image or a label: `-0` for `volume-0` and `segmentation-0`. */
export function plainName(name: string): string {
  for (const part of [LABEL_ENDING, LABEL_START, IMAGE_ENDING, IMAGE_START]) {
    const short = name.replace(part, '')
    if (short !== name) return short
  }
  return name
}

/** Return the error of a path without a scan. */
export function noScan(message: string, hint: string): DataError {
  return new DataError(message, { hint, facts: { reason: 'noScan' } })
}

/** Return the report of volumes that are not taken; none without volumes. */
export function volumesLeftOut(files: readonly string[], reason: string, remedy: string): LeftOut[] {
  return files.length === 0 ? [] : [{ count: files.length, example: files[0]!, reason, remedy }]
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
    const headers = headersOfVoxels(name)
    if (headers.some((header) => volumes.includes(header))) continue
    const isCopy = headers.length === 0 && taken.has(name.slice(0, -extname(name).length).toLowerCase())
    if (format === undefined || isCopy) continue
    groups.set(format, [...(groups.get(format) ?? []), name])
  }
  return [...groups].map(([{ name: reason, remedy }, names]) => ({
    count: names.length,
    example: join(folder, names[0]!),
    reason,
    remedy,
  }))
}

/** Names without an ending, as files of a DICOM series often have: `IM0001`, or an identifier with dots. */
const WITHOUT_ENDING = /^[^.]+$|\.\d+$/

/** Return the files of other formats that only their first bytes show, among the files of a folder. */
export async function unnamedScans(folder: string, others: readonly string[]): Promise<LeftOut[]> {
  const files = others.filter((name) => WITHOUT_ENDING.test(name)).map((name) => join(folder, name))
  const groups = new Map<string, LeftOut>()
  for (const example of files) {
    const format = await foreignFormat(example)
    if (format === null) continue
    const found = groups.get(format.reason) ?? { ...format, count: 0, example }
    groups.set(format.reason, { ...found, count: found.count + 1 })
  }
  return [...groups.values()]
}

/** Return why a file is no scan that can be read: its format by name or by its first bytes; null if unknown. */
export async function foreignFormat(file: string): Promise<Pick<LeftOut, 'reason' | 'remedy'> | null> {
  for (const header of headersOfVoxels(file))
    if (await stat(header).catch(() => null))
      return { reason: 'the voxels of a pair', remedy: `pass its header: ${header}` }
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
