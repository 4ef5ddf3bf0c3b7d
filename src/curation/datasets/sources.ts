import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { readForeignText } from '../../foreign-text.js'
import { counted } from '../../plain-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { readCaseFolder } from './case-folders.js'
import {
  caseNames,
  foreignFormat,
  isLabelName,
  isMaskFolder,
  isVolume,
  type LeftOut,
  labelsBeside,
  noScan,
  readFolder,
  stemOf,
  VOLUME_ENDINGS,
  volumesLeftOut,
} from './file-names.js'
import { foundInstead, imageFolders, readImageFolders } from './image-folders.js'
import { type CaseList, isList, type ListedCase, type ReadListOptions, readList } from './lists.js'
import { boundsOf, outsideError } from './outside.js'
import type { Layout } from './registry.js'

/** A data set at a path, and how its cases are arranged. */
export interface Source {
  readonly path: string
  readonly kind: 'list' | 'folders' | 'case folders' | 'case folder' | 'scans' | 'paths'
}

export interface ReadOptions extends Omit<ReadListOptions, 'imageEnding'> {
  /** Registered layout of the data set. Default: what is found. */
  readonly layout?: Layout | undefined
}

/**
 * Recognise the data sets at a path: a decathlon list, a dataset.json, a folder with imagesTr and labelsTr, a
 * folder per case (KiTS, TotalSegmentator, AbdomenAtlas), a whole nnUNet_raw, a folder of lists, a text file
 * of paths, a folder of scans, or one scan.
 * @throws DataError for a path without a scan; it names other formats
 */
export async function sourcesAt(path: string): Promise<Source[]> {
  const at = resolve(path)
  const state = await stat(at).catch((error: NodeJS.ErrnoException) => {
    const kind = isVolume(path) ? 'scan' : 'list or data set'
    throw noScan(cannotBeRead(path, error.code, kind), 'correct the path')
  })
  return state.isDirectory() ? await sourcesIn(at) : [{ path: at, kind: await fileKind(at) }]
}

/**
 * Read the cases of a source. Every command that takes scans finds them here.
 * @throws DataError that names the list or the folder
 */
export async function readSource({ path, kind }: Source, options: ReadOptions = {}): Promise<CaseList> {
  if (kind === 'list') return await readListed(path, options)
  const { layout } = options
  if (layout !== undefined && kind !== 'scans' && kind !== 'paths') return await readLaidOut(path, layout)
  if (kind === 'folders') return await readLaidOut(path, imageFolders((await readFolder(path)).folders)!)
  if (kind === 'case folders' || kind === 'case folder') return await readCaseFolders(path, kind)
  if (kind === 'paths') return await readPaths(path, options)
  // a registered folder of pairs looks like scans
  if (layout !== undefined && (await isFolder(path))) return await readLaidOut(path, layout)
  return await readScans(path)
}

/**
 * Read the one data set at a path.
 * @throws DataError as `readSource`, and for a path with several data sets
 */
export async function readDataset(path: string, options: ReadOptions = {}): Promise<CaseList> {
  const sources = await sourcesAt(path)
  if (sources.length !== 1)
    throw new DataError(`${path}: several data sets (expected one, found ${sources.length})`, {
      hint: 'list each of them with its own path',
    })
  return await readSource(sources[0]!, options)
}

async function fileKind(path: string): Promise<Source['kind']> {
  if (isVolume(path)) return 'scans'
  if (path.endsWith('.json')) return 'list'
  if (path.endsWith('.txt')) return 'paths'
  const format = await foreignFormat(path)
  const problem = format
    ? `wrong format (expected ${VOLUME_ENDINGS}; found ${format.reason})`
    : 'not a scan and not a list'
  const hint = format?.remedy ?? `pass a folder, a scan (${VOLUME_ENDINGS}), or a list (.json, .txt)`
  throw noScan(`${path}: ${problem}`, hint)
}

async function sourcesIn(folder: string): Promise<Source[]> {
  const { volumes, folders, others } = await readFolder(folder)
  if (others.includes('dataset.json')) return [{ path: join(folder, 'dataset.json'), kind: 'list' }]
  if (imageFolders(folders)) return [{ path: folder, kind: 'folders' }]
  const own = volumes.length > 0 ? await readCaseFolder(folder) : null
  const hasCase = own !== null && volumes.includes(basename(own.image)) && own.split === 'training'
  if (hasCase) return [{ path: folder, kind: 'case folder' }]
  const lists = volumes.length > 0 ? [] : await listsOf(folder, others)
  if (lists.length > 0) return lists.map((path) => ({ path, kind: 'list' }))
  const children = await Promise.all(
    folders.map(async (name) => ({ path: join(folder, name), ...(await readFolder(join(folder, name))) })),
  )
  const cases = await Promise.all(children.map(({ path }) => readCaseFolder(path)))
  const isDataset = await Promise.all(
    children.map(
      async (child) =>
        child.others.includes('dataset.json') ||
        imageFolders(child.folders) !== undefined ||
        (cases.every((one) => one === null) && (await hasLabelledCases(child.path, child.folders))),
    ),
  )
  const datasets = children.filter((_, at) => isDataset[at])
  if (datasets.length > 0) {
    if (volumes.length > 0)
      throw new DataError(
        `${join(folder, volumes[0]!)}: a volume next to data sets (found ${basename(datasets[0]!.path)})`,
        { hint: 'move it elsewhere, or pass one data set' },
      )
    const found = await Promise.all(
      children.map(async (child) => ((await hasVolumes(child.path)) ? await sourcesIn(child.path) : [])),
    )
    return found.flat()
  }
  // next to scans, only a folder with image and label is a case
  const isCase = (one: ListedCase | null) =>
    one !== null && (volumes.length === 0 || one.split === 'training')
  return [{ path: folder, kind: cases.some(isCase) ? 'case folders' : 'scans' }]
}

/** Return true for a folder that holds labelled case folders, such as `dataset` of the KiTS23 repository. */
async function hasLabelledCases(path: string, folders: readonly string[]): Promise<boolean> {
  const cases = await Promise.all(folders.map((name) => readCaseFolder(join(path, name))))
  return cases.some((one) => one?.split === 'training')
}

async function listsOf(folder: string, others: readonly string[]): Promise<string[]> {
  const paths = others.filter((name) => name.endsWith('.json')).map((name) => join(folder, name))
  const found = await Promise.all(paths.map(isList))
  return paths.filter((_, at) => found[at])
}

async function hasVolumes(folder: string): Promise<boolean> {
  return (await readdir(folder, { recursive: true })).some(isVolume)
}

async function readListed(file: string, options: ReadOptions): Promise<CaseList> {
  const { layout, searchIn = [] } = options
  const isOwn = basename(file) === 'dataset.json'
  const list = await readList(file, {
    ...options,
    searchIn: isOwn ? [dirname(file), ...searchIn] : searchIn,
    imageEnding: layout?.kind === 'flat' ? layout.imageEnding : undefined,
  })
  const { cases, ...named } = list
  const found = { source: file, ...named, notes: [] }
  const folder = dirname(file)
  if (cases !== null) {
    const leftOut = isOwn ? await unlisted(folder, cases) : []
    return { ...found, layout: 'decathlon list', cases, leftOut }
  }
  const folders = layout ?? imageFolders((await readFolder(folder)).folders) ?? NNUNET
  return { ...found, layout: 'nnU-Net', ...(await readImageFolders(folder, folders, true)) }
}

/** Return the images next to a dataset.json that it omits. */
async function unlisted(folder: string, cases: readonly ListedCase[]): Promise<LeftOut[]> {
  const used = new Set(cases.flatMap(({ image, label }) => [image, label]))
  const { folders } = await readFolder(folder)
  const places = new Set([
    ...folders.filter((name) => /^images/i.test(name)).map((name) => join(folder, name)),
    ...cases.map(({ image }) => dirname(image)).filter((place) => place.startsWith(folder)),
  ])
  const found = await Promise.all(
    [...places].map(async (place) => {
      const content = await readFolder(place).catch(() => null)
      const files = content?.volumes.map((name) => join(place, name)).filter((name) => !used.has(name)) ?? []
      return { files, leftOut: content?.leftOut ?? [] }
    }),
  )
  const remedy = 'add it to the list, or move it out of the data set'
  return [
    ...found.flatMap(({ leftOut }) => leftOut),
    ...volumesLeftOut(
      found.flatMap(({ files }) => files),
      'a volume that the list omits',
      remedy,
    ),
  ]
}

const NNUNET: Layout = { kind: 'folders', images: 'imagesTr', labels: 'labelsTr' }

async function readLaidOut(folder: string, layout: Layout): Promise<CaseList> {
  const words = layout.kind === 'flat' ? layout.folder : `${layout.images} and ${layout.labels}`
  return { ...bare(folder, words), ...(await readImageFolders(folder, layout, false)) }
}

async function readCaseFolders(path: string, kind: 'case folders' | 'case folder'): Promise<CaseList> {
  const { folders, volumes, leftOut } = await readFolder(path)
  const paths = kind === 'case folder' ? [path] : folders.map((name) => join(path, name))
  const found = await Promise.all(paths.map(readCaseFolder))
  const cases = found.filter((one) => one !== null)
  const used = new Set(cases.flatMap(({ image, label }) => [image, label]))
  const walked = await Promise.all(
    paths.filter((folder) => !isMaskFolder(basename(folder))).map((folder) => walk(folder)),
  )
  const beside = kind === 'case folders' ? volumes.map((name) => join(path, name)) : []
  const unused = [...beside, ...walked.flatMap((part) => part.volumes)].filter((file) => !used.has(file))
  return {
    ...bare(path, 'folder per case'),
    cases,
    leftOut: [
      ...(kind === 'case folders' ? leftOut : []),
      ...walked.flatMap((part) => part.leftOut),
      ...unknownVolumes(unused.filter((file) => !isSegmentation(file))),
    ],
    notes: countedByName(unused.filter(isSegmentation)),
  }
}

/** Return true for a label file that masks of organs replace, or a further segmentation. */
function isSegmentation(file: string): boolean {
  return /seg|label|mask|annotation/i.test(stemOf(file))
}

function countedByName(files: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const file of files) counts.set(basename(file), (counts.get(basename(file)) ?? 0) + 1)
  return [...counts].map(([name, count]) => `${name} is not used (${counted(count, 'file')})`)
}

function unknownVolumes(files: readonly string[]): LeftOut[] {
  const remedy = 'give it a folder of its own, or move it out of the data set'
  return volumesLeftOut(files, 'a volume that is neither image nor label of a case', remedy)
}

/** Read the scans of a folder and its folders; a name has the folders below the source. */
async function readScans(path: string): Promise<CaseList> {
  if (!(await isFolder(path))) {
    const { volumes } = await readFolder(dirname(path))
    const names = caseNames(
      volumes.length > 0 ? volumes : [basename(path)],
      await labelsNextTo(dirname(path)),
    )
    const name = names[volumes.indexOf(basename(path))] ?? stemOf(path)
    return { ...bare(path, 'one scan'), cases: [scan(name, path, null)], leftOut: [] }
  }
  const { cases, unusedMasks, ...walked } = await walk(path)
  const leftOut = [...walked.leftOut, ...labelsAlone(walked.alone)]
  if (cases.length === 0) throw await emptyFolder(path, leftOut)
  const notes = unusedMasks.map((folder) => `${folder}: a folder of label maps or masks, which is not used`)
  return { ...bare(path, 'folder of scans'), cases, leftOut, notes }
}

interface Walked {
  readonly cases: readonly ListedCase[]
  readonly volumes: readonly string[]
  readonly leftOut: readonly LeftOut[]
  /** Volumes that are label maps by their name, without an image. */
  readonly alone: readonly string[]
  /** Folders of masks that belong to no case. */
  readonly unusedMasks: readonly string[]
}

async function walk(root: string, folder = root): Promise<Walked> {
  const { volumes, folders, leftOut } = await readFolder(folder)
  const own = folder === root ? null : await readCaseFolder(folder)
  const asCase = own?.split === 'training' && volumes.includes(basename(own.image)) ? own : null
  const labels = labelsBeside(volumes)
  if (asCase?.label) labels.set(basename(asCase.image), basename(asCase.label))
  const isLabel = new Set(labels.values())
  const alone = volumes.filter((name) => !isLabel.has(name) && !labels.has(name) && isLabelName(name))
  const images = volumes.filter((name) => !isLabel.has(name) && !alone.includes(name))
  const names = caseNames(images, await labelsNextTo(folder))
  const below = relative(root, folder)
  const cases = images.map((image, at) => {
    const path = join(folder, image)
    if (asCase?.image === path) return { ...asCase, name: below }
    const label = labels.get(image)
    const name = below === '' ? names[at]! : `${below}/${names[at]}`
    return scan(name, path, label === undefined ? null : join(folder, label))
  })
  const masks = folders.filter(isMaskFolder).map((name) => join(folder, name))
  // masks of a prediction lie next to its record
  const inner = await Promise.all(
    folders
      .filter((name) => !isMaskFolder(name))
      .map((name) => join(folder, name))
      .map(async (path) => ((await isPrediction(path)) ? null : await walk(root, path))),
  )
  const parts = inner.filter((part) => part !== null)
  return {
    cases: [...cases, ...parts.flatMap((part) => part.cases)],
    volumes: [...volumes.map((name) => join(folder, name)), ...parts.flatMap((part) => part.volumes)],
    leftOut: [...leftOut, ...parts.flatMap((part) => part.leftOut)],
    alone: [...alone.map((name) => join(folder, name)), ...parts.flatMap((part) => part.alone)],
    unusedMasks: [...(asCase?.masks ? [] : masks), ...parts.flatMap((part) => part.unusedMasks)],
  }
}

function labelsAlone(files: readonly string[]): LeftOut[] {
  const remedy = 'give it the name of its image with the end _seg, or move it'
  return volumesLeftOut(files, 'a label map or mask by its name, without its image', remedy)
}

function scan(name: string, image: string, label: string | null): ListedCase {
  return { name, image, label, fold: null, split: label === null ? 'test' : 'training' }
}

/** Return the stems of the labels of an images folder (`imagesTs` has `labelsTs`), to judge its channels. */
async function labelsNextTo(folder: string): Promise<ReadonlySet<string>> {
  const name = basename(folder)
  const labels = join(dirname(folder), name.replace(/^images/, 'labels'))
  if (!name.startsWith('images')) return new Set()
  const found = await readFolder(labels).catch(() => null)
  return new Set(found?.volumes.map(stemOf))
}

async function isPrediction(folder: string): Promise<boolean> {
  return (await readFolder(folder)).others.includes('prediction.json')
}

/** Return the error of a folder without a scan; it names other formats, by name or by their first bytes. */
async function emptyFolder(path: string, leftOut: readonly LeftOut[]): Promise<DataError> {
  if (leftOut.length > 0) return noScan(`${path}: no scan found${foundInstead(leftOut)}`, leftOut[0]!.remedy)
  const files = (await readdir(path, { recursive: true })).map((name) => join(path, name)).sort()
  const formats = await Promise.all(files.slice(0, 50).map(foreignFormat))
  const at = formats.findIndex((format) => format !== null)
  const { reason, remedy } = formats[at] ?? {}
  const found = reason ? ` (expected ${VOLUME_ENDINGS}; found ${reason}, first ${files[at]})` : ''
  const hint = remedy ?? `pass a data set, or a folder of scans that end in ${VOLUME_ENDINGS}`
  return noScan(`${path}: no scan found${found}`, hint)
}

/** Read a text file with one path per line, relative to the file. */
async function readPaths(list: string, { allowOutside = false }: ReadOptions): Promise<CaseList> {
  const isAllowed = await boundsOf([dirname(list)])
  const lines = (await readForeignText(list)).split('\n').map((line) => line.trim())
  const files = lines.flatMap((line, at) => {
    if (line === '') return []
    const file = resolve(dirname(list), line)
    if (!allowOutside && !isAllowed(file)) throw outsideError(`${list}: line ${at + 1}`, line, dirname(list))
    return [file]
  })
  const names = caseNames(files)
  return {
    ...bare(list, 'list of paths'),
    cases: files.map((file, at) => scan(names[at]!, file, null)),
    leftOut: [],
  }
}

function bare(source: string, layout: string) {
  return { source, layout, labelNames: null, statedCount: null, notes: [] as readonly string[] }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory()
}
