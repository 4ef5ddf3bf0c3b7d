import { createReadStream, createWriteStream } from 'node:fs'
import { constants, copyFile, mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { remapLabels } from '../../curation/datasets/remap.js'
import { DataError, UsageError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { IGNORED_LABEL, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { readNifti, readNiftiHeader } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import {
  makeTemporaryFolder,
  refuseUnwritableFolder,
  writeWhole,
  writeWholeFolder,
} from '../../whole-file.js'
import type { SourceOptions, WorkOptions } from '../data/collect.js'
import { splitData } from '../data/split.js'
import { refuseUnusable } from './folder.js'

export const DATASET_FORMATS = ['nnunet', 'decathlon'] as const
export type DatasetFormat = (typeof DATASET_FORMATS)[number]

export interface ExportDatasetOptions extends SourceOptions, Omit<WorkOptions, 'workers'> {
  readonly to: DatasetFormat
  /** Folder that receives the data set, such as `nnUNet_raw`. */
  readonly out: string
  /** Name of the data set. Default: that of the first case. */
  readonly name?: string | undefined
  /** Number of the data set in `nnUNet_raw`, 1 to 999. Default: 501. */
  readonly number?: number | undefined
  /** Number of folds. Default: 5. */
  readonly folds?: number | undefined
  /** Seed of the folds of patients without one. Default: 0. */
  readonly seed?: number | undefined
}

export interface DatasetExport {
  readonly to: DatasetFormat
  /** Folder of the data set. */
  readonly out: string
  readonly training: number
  readonly test: number
  /** Synthetic cases among those for training. */
  readonly synthetic: number
  readonly labels: Readonly<Record<string, number>>
  /** Held-out cases of each fold. */
  readonly folds: readonly number[]
  /** Cases that were left out, because they have no label. */
  readonly unlabelled: readonly string[]
}

/** A case under its name in the exported data set. */
interface NamedCase {
  readonly name: string
  readonly item: ManifestCase
}

/**
 * Write data sets as one data set of nnU-Net (`imagesTr`, `labelsTr`, `dataset.json`, `splits_final.json`) or as decathlon
 * lists of each fold. A patient, with all synthetic cases made of its scans, is in one fold.
 * @throws DataError for a path without a labelled scan, several regions, a fold without a case, or a label id without a
 * meaning
 */
export async function exportDatasetOf(
  paths: readonly string[],
  options: ExportDatasetOptions,
): Promise<DatasetExport> {
  const { to, cwd = process.cwd(), folds = 5, seed = 0, number = 501, onNote, signal } = options
  if (!Number.isInteger(number) || number < 1 || number > 999)
    throw new UsageError(`--number: wrong number (expected 1 to 999, found ${number})`, {
      hint: 'pass a number that nnUNet_raw does not hold yet',
    })
  await refuseUnwritableFolder(resolve(cwd, options.out), options.out)
  // masks of organs are merged into label files below it
  const scratch = await makeTemporaryFolder('freetumor-export-')
  try {
    const { root, as, region, map, labels, allowOutside } = options
    const sources = { cwd, root, as, region, map, labels, allowOutside, onNote }
    const { manifest } = await splitData(paths, {
      ...sources,
      ...{ folds, seed, signal, even: true },
      out: join(scratch, 'manifest.json'),
    })
    const labelled = manifest.cases.filter(({ label, split }) => label !== null || split === 'test')
    const unlabelled = manifest.cases.filter((item) => !labelled.includes(item)).map(({ id }) => id)
    const [first] = labelled
    if (first === undefined)
      throw new DataError(`${paths[0]}: no labelled case (expected at least 1, found 0)`, {
        hint: 'name the labels with --labels',
      })
    const scheme = schemeOf(labelled)
    refuseEmptyFolds(labelled, folds)
    noteGaps(labelled, unlabelled, scheme, onNote)
    const name = (options.name ?? first.dataset).replace(/[^A-Za-z0-9-]+/g, '_')
    const folder = to === 'nnunet' ? `Dataset${String(number).padStart(3, '0')}_${name}` : name
    const out = join(resolve(cwd, options.out), folder)
    const cases = named(labelled)
    await refuseUnusable(out)
    await writeWholeFolder(out, (aside) => writeDataset(aside, { to, name, cases, scheme, folds, options }))
    const training = cases.filter(({ item }) => item.split !== 'test')
    return {
      to,
      out,
      training: training.length,
      test: cases.length - training.length,
      synthetic: training.filter(({ item }) => item.parent !== undefined).length,
      labels: scheme.ids,
      folds: Array.from({ length: folds }, (_, fold) => heldOut(training, fold).length),
      unlabelled,
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** nnU-Net validates every fold, and fails on one without cases. */
function refuseEmptyFolds(cases: readonly ManifestCase[], folds: number): void {
  const filled = new Set(cases.flatMap(({ fold }) => fold ?? []))
  const empty = Array.from({ length: folds }, (_, fold) => fold).filter((fold) => !filled.has(fold))
  if (empty.length > 0)
    throw new DataError(
      `--folds: no case in fold ${empty[0]} (expected patients in each of ${folds} folds, found them in ${filled.size})`,
      { hint: filled.size > 1 ? `pass --folds ${filled.size}` : 'name scans of more patients' },
    )
}

interface Writing {
  readonly to: DatasetFormat
  readonly name: string
  readonly cases: readonly NamedCase[]
  readonly scheme: ExportedLabels
  readonly folds: number
  readonly options: ExportDatasetOptions
}

async function writeDataset(
  folder: string,
  { to, name, cases, scheme, folds, options }: Writing,
): Promise<void> {
  const ending = to === 'nnunet' ? '_0000.nii.gz' : '.nii.gz'
  for (const part of ['imagesTr', 'labelsTr', 'imagesTs', 'labelsTs'])
    if (cases.some(({ item }) => partsOf(item).includes(part))) await mkdir(join(folder, part))
  for (const [at, { name: caseName, item }] of cases.entries()) {
    options.signal?.throwIfAborted()
    const [images, labels] = partsOf(item)
    await writeImage(item.image, join(folder, images!, `${caseName}${ending}`))
    if (labels !== undefined)
      await writeLabel(item, scheme, join(folder, labels, `${caseName}.nii.gz`), scheme.region)
    options.onCase?.(at + 1, cases.length, item.id)
  }
  const training = cases.filter(({ item }) => item.split !== 'test')
  const json = (file: string, content: unknown): Promise<void> =>
    writeWhole(join(folder, file), `${JSON.stringify(content, null, 2)}\n`)
  await json('cases.json', cases.map(describe))
  if (to === 'nnunet') {
    await json('dataset.json', {
      name,
      channel_names: { '0': 'CT' },
      labels: scheme.ids,
      numTraining: training.length,
      file_ending: '.nii.gz',
    })
    const splits = Array.from({ length: folds }, (_, fold) => {
      const val = heldOut(training, fold)
      return { train: namesOf(training.filter((one) => !val.includes(one))), val: namesOf(val) }
    })
    return await json('splits_final.json', splits)
  }
  const list = (chosen: readonly NamedCase[], part: 'Tr' | 'Ts') =>
    chosen.map(({ name: one, item }) => ({
      image: `./images${part}/${one}.nii.gz`,
      ...(item.label === null ? {} : { label: `./labels${part}/${one}.nii.gz` }),
      ...(item.fold === null ? {} : { fold: item.fold }),
    }))
  const test = list(
    cases.filter(({ item }) => item.split === 'test'),
    'Ts',
  )
  const names = Object.fromEntries(Object.entries(scheme.ids).map(([label, id]) => [String(id), label]))
  const about = { name, modality: { '0': 'CT' }, labels: names }
  await json('dataset.json', {
    ...about,
    numTraining: training.length,
    training: list(training, 'Tr'),
    validation: [],
    test,
  })
  for (let fold = 0; fold < folds; fold++) {
    const val = heldOut(training, fold)
    const train = training.filter((one) => !val.includes(one))
    const [seen, held] = [list(train, 'Tr'), list(val, 'Tr')]
    await json(`dataset_${fold}.json`, {
      ...about,
      numTraining: seen.length,
      training: seen,
      validation: held,
      test,
    })
  }
}

/** Return the folders of image and label of a case. */
function partsOf({ split, label }: ManifestCase): readonly string[] {
  const part = split === 'test' ? 'Ts' : 'Tr'
  return label === null ? [`images${part}`] : [`images${part}`, `labels${part}`]
}

function describe({ name, item }: NamedCase) {
  const { id, patient, dataset, fold, parent = null } = item
  return { name, case: id, dataset, patient, fold, parent }
}

function heldOut(cases: readonly NamedCase[], fold: number): readonly NamedCase[] {
  return cases.filter(({ item }) => item.fold === fold)
}

function namesOf(cases: readonly NamedCase[]): readonly string[] {
  return cases.map(({ name }) => name)
}

/** Name cases by their ids: letters, digits, dashes and underscores, each name once. */
function named(cases: readonly ManifestCase[]): NamedCase[] {
  const used = new Set<string>()
  return cases.map((item) => {
    const plain = item.id.replace(/[^A-Za-z0-9-]+/g, '_')
    let name = plain
    for (let again = 2; used.has(name); again++) name = `${plain}_${again}`
    used.add(name)
    return { name, item }
  })
}

interface ExportedLabels {
  readonly region: Region
  /** Name of a label -> id in the exported files, without gaps. */
  readonly ids: Readonly<Record<string, number>>
  /** Id of the region, or `IGNORED_LABEL` -> id in the exported files. */
  readonly byRegionId: ReadonlyMap<number, number>
}

/** Return the labels that the maps of the cases reach, under ids without gaps, as nnU-Net requires. */
function schemeOf(cases: readonly ManifestCase[]): ExportedLabels {
  const region = cases[0]!.region
  const other = cases.find((item) => item.region !== region)
  if (other !== undefined)
    throw new DataError(`case ${other.id}: another region (expected ${region}, found ${other.region})`, {
      hint: 'export each region by itself',
    })
  const unmapped = cases.find(({ label, labelMap }) => label !== null && labelMap === null)
  if (unmapped !== undefined)
    throw new DataError(`case ${unmapped.id}: the label ids have no stated meaning`, {
      hint: 'pass --map, such as --map 1:liver,2:liver-tumor',
    })
  const reached = new Set([0, ...cases.flatMap(({ labelMap }) => Object.values(labelMap ?? {}))])
  const { names } = LABEL_SCHEMES[region]
  const kept = names.map((_, id) => id).filter((id) => reached.has(id))
  const ids: [string, number][] = kept.map((id, at) => [names[id]!, at])
  const byRegionId = new Map(kept.map((id, at) => [id, at]))
  if (reached.has(IGNORED_LABEL)) {
    // nnU-Net knows ignored voxels by this name, and wants the largest id
    ids.push(['ignore', kept.length])
    byRegionId.set(IGNORED_LABEL, kept.length)
  }
  return { region, ids: Object.fromEntries(ids), byRegionId }
}

function noteGaps(
  cases: readonly ManifestCase[],
  unlabelled: readonly string[],
  { ids }: ExportedLabels,
  onNote: SourceOptions['onNote'] = () => {},
): void {
  if (unlabelled.length > 0)
    onNote(
      `${counted(unlabelled.length, 'case')} without a label left out, first ${unlabelled[0]}`,
      'warning',
    )
  const reach = (item: ManifestCase): number => new Set([0, ...Object.values(item.labelMap ?? {})]).size
  const partial = cases.filter((item) => item.label !== null && reach(item) < Object.keys(ids).length)
  if (partial.length > 0)
    onNote(
      `${counted(partial.length, 'case')} without labels of all organs, first ${partial[0]!.id}: their other organs count as background`,
      'warning',
    )
}

/** Copy a compressed scan; compress others. Voxels, header and geometry stay. */
async function writeImage(from: string, to: string): Promise<void> {
  if (from.toLowerCase().endsWith('.nii.gz')) return await copyFile(from, to, constants.COPYFILE_FICLONE)
  const { isPair } = await readNiftiHeader(from)
  if (isPair) return await writeNifti(to, await readNifti(from))
  await pipeline(createReadStream(from), createGzip({ level: 3 }), createWriteStream(to))
}

async function writeLabel(
  item: ManifestCase,
  scheme: ExportedLabels,
  to: string,
  region: Region,
): Promise<void> {
  const file = item.label!
  const { label } = remapLabels(await readNifti(file), item.labelMap!, file, region)
  const { byRegionId } = scheme
  for (let n = 0; n < label.data.length; n++) label.data[n] = byRegionId.get(label.data[n]!)!
  await writeNifti(to, label, { dataType: 'uint8' })
}
