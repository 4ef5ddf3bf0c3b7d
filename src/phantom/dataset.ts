import { access, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { EnvironmentError, UsageError } from '../errors.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../volume/labels.js'
import { writeNifti } from '../volume/nifti-write.js'
import { refuseUnwritableFolder, writeWholeFolder } from '../whole-file.js'
import type { Difficulty } from './difficulty.js'
import { makePhantom } from './make.js'

export interface PhantomDatasetOptions {
  /** Folder of the data set; it must not contain one yet. */
  readonly out: string
  readonly cases: number
  readonly region: Region
  readonly sizeVoxels: number
  readonly seed: number
  /** `hard`: smaller tumors in uneven organs with confounders everywhere. Default: standard. */
  readonly difficulty?: Difficulty
  /** Organs that contain tumors in every case with tumors. Default: some organs, drawn per case. */
  readonly tumorOrgans?: readonly OrganName[]
  /** Number of cases at the end without a tumor. Default: 0. */
  readonly hosts?: number
  /** Number of cases at the end that form the validation part of the list. Default: 0. */
  readonly validation?: number
  /** Number of the first case. Data sets of one seed with other numbers share no case. Default: 0. */
  readonly firstIndex?: number
}

/**
 * Write phantoms in the published layout: `imagesTr`, `labelsTr` and a decathlon list `dataset.json`. The
 * folder is written under a temporary name and renamed, so an existing folder is complete.
 */
export async function writePhantomDataset(options: PhantomDatasetOptions): Promise<void> {
  const out = resolve(options.out)
  if (await exists(join(out, 'dataset.json'))) throw alreadyThere(out)
  await refuseUnwritableFolder(dirname(out), out)
  await writeWholeFolder(out, (folder) => writeInto(folder, options)).catch(async (error: unknown) => {
    throw (await exists(join(out, 'dataset.json'))) ? alreadyThere(out) : error
  })
}

function alreadyThere(out: string): UsageError {
  return new UsageError(`${out}: the folder already contains a data set`, {
    hint: 'remove the folder, or choose another one',
  })
}

async function writeInto(folder: string, options: PhantomDatasetOptions): Promise<void> {
  for (const part of ['imagesTr', 'labelsTr']) await mkdir(join(folder, part))
  const entries = []
  for (let at = 0; at < options.cases; at++) entries.push(await writeCase(folder, options, at))
  const validation = options.validation ?? 0
  const list = {
    name: 'phantoms',
    description: `phantoms, seed ${options.seed}; no patient`,
    modality: { '0': 'CT' },
    labels: Object.fromEntries(LABEL_SCHEMES[options.region].names.map((name, id) => [String(id), name])),
    numTraining: entries.length - validation,
    training: entries.slice(0, entries.length - validation),
    validation: entries.slice(entries.length - validation),
    test: [],
  }
  await writeFile(join(folder, 'dataset.json'), `${JSON.stringify(list, null, 2)}\n`)
}

/** Sizes of the phantom data sets that a training needs. */
export interface PhantomSets {
  readonly labelledCases: number
  readonly validationCases: number
  readonly hostCases: number
  readonly testCases: number
  readonly sizeVoxels: number
  readonly seed: number
  /** Default: standard. */
  readonly difficulty?: Difficulty
}

/**
 * Write the data sets that `data.phantoms` of a configuration describes, below `root`: `phantom_labelled`
 * (with its validation part), `phantom_hosts` and `phantom_test`. Return false if all exist already.
 */
export async function ensurePhantoms(root: string, region: Region, phantoms: PhantomSets): Promise<boolean> {
  const {
    labelledCases,
    validationCases,
    hostCases,
    testCases,
    sizeVoxels,
    seed,
    difficulty = 'standard',
  } = phantoms
  const sets = [
    { name: 'phantom_labelled', cases: labelledCases + validationCases, validation: validationCases },
    { name: 'phantom_hosts', cases: hostCases, hosts: hostCases },
    { name: 'phantom_test', cases: testCases },
  ]
  let made = false
  let firstIndex = 0
  for (const { name, ...set } of sets) {
    const out = join(root, name)
    const isThere = (): Promise<boolean> => exists(join(out, 'dataset.json'))
    if (set.cases > 0 && !(await isThere())) {
      const wanted = { out, region, sizeVoxels, seed, difficulty, firstIndex, ...set }
      await writePhantomDataset(wanted).catch(async (error: unknown) => {
        // another run may have written it meanwhile
        if (await isThere()) return
        const { cause } = error as { cause?: NodeJS.ErrnoException }
        if (cause?.syscall === undefined) throw error
        throw new EnvironmentError(`${out}: phantoms cannot be written (${cause.code})`, {
          hint: 'set data.root to a writable folder',
          cause,
        })
      })
      made = true
    }
    firstIndex += set.cases
  }
  return made
}

async function writeCase(
  folder: string,
  options: PhantomDatasetOptions,
  at: number,
): Promise<{ image: string; label: string }> {
  const index = (options.firstIndex ?? 0) + at
  const phantom = makePhantom({
    region: options.region,
    index,
    seed: options.seed,
    difficulty: options.difficulty ?? 'standard',
    sizeVoxels: options.sizeVoxels,
    tumorOrgans: options.tumorOrgans,
    tumors: at < options.cases - (options.hosts ?? 0),
  })
  const name = `phantom_${String(index).padStart(3, '0')}.nii.gz`
  await writeNifti(join(folder, 'imagesTr', name), phantom.image)
  await writeNifti(join(folder, 'labelsTr', name), phantom.label)
  return { image: `imagesTr/${name}`, label: `labelsTr/${name}` }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
