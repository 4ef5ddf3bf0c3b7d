import { basename, dirname, join, resolve } from 'node:path'
import {
  type LeftOut,
  readFolder,
  stemOf,
  unnamedScans,
  VOLUME_ENDINGS,
  volumesByStem,
} from '../../curation/datasets/file-names.js'
import { labelFiles } from '../../curation/datasets/label-files.js'
import { matchNames } from '../../curation/datasets/own-labels.js'
import { asUsage } from '../../curation/datasets/scans.js'
import { DataError, UsageError } from '../../errors.js'
import { parseForeignJson, readForeignText } from '../../foreign-text.js'
import { counted } from '../../plain-text.js'
import { cannotBeRead } from '../../system-errors.js'
import type { Region } from '../../volume/labels.js'

/** Mask and label of one case. */
export interface MaskFiles {
  readonly id: string
  readonly prediction: string
  readonly label: string
}

/** Masks with their labels, and the ids of labels without a mask. */
export interface PairedMasks {
  /** In the order of their ids. */
  readonly pairs: readonly MaskFiles[]
  readonly unpredicted: readonly string[]
  /** Files that look like scans and are not taken. */
  readonly leftOut: readonly LeftOut[]
  readonly notes: readonly string[]
}

/**
 * Pair the masks of a folder with labels of equal names.
 * @param partial labels without a mask are no error
 * @param labels a folder of label maps, or a data set of any layout; its masks of organs are merged
 * @throws UsageError for a path that cannot be read, DataError when a mask has no label, or the reverse
 */
export async function pairMasks(
  predictions: string,
  labels: string,
  {
    region,
    partial = false,
  }: { readonly region?: Region | undefined; readonly partial?: boolean | undefined } = {},
): Promise<PairedMasks> {
  const made = await masksIn(predictions)
  const truth = await labelFiles(labels, undefined, region)
  const caseOf = matchNames([...made.files.keys()], [...truth.files.keys()])
  const unmatched = [...made.files.keys()].filter((name) => !caseOf.has(name))
  const matched = new Set(caseOf.values())
  const missing = [...truth.files.keys()].filter((name) => !matched.has(name)).sort()
  if (unmatched.length > 0 || (missing.length > 0 && !partial))
    throw new DataError(
      `${predictions}: its masks do not pair with the labels (${unpaired(unmatched, 'mask', 'label')}; ${unpaired(missing, 'label', 'mask')})`,
      {
        hint:
          unmatched.length === 0
            ? 'predict the other scans, or score a part with --partial'
            : 'give each pair equal names; move other files out of the folders',
      },
    )
  const pairs = [...caseOf].map(([name, id]) => ({
    id,
    prediction: made.files.get(name)!,
    label: truth.files.get(id)!,
  }))
  return {
    pairs: pairs.sort((a, b) => (a.id < b.id ? -1 : 1)),
    unpredicted: missing,
    leftOut: [...made.leftOut, ...truth.leftOut],
    notes: truth.notes,
  }
}

/**
 * Return the masks of a folder by their names without ending.
 * @throws UsageError for a folder that cannot be read, or without a mask
 */
export async function masksIn(folder: string): ReturnType<typeof volumesIn> {
  const made = await volumesIn(folder)
  if (made.files.size > 0) return made
  throw new UsageError(`${folder}: no mask found (expected ${VOLUME_ENDINGS})`, {
    hint: 'pass the folder that `freetumor predict` wrote',
  })
}

function unpaired(names: readonly string[], kind: string, other: string): string {
  const first = names[0] === undefined ? '' : `, first ${names[0]}`
  return `${counted(names.length, kind)} without a ${other}${first}`
}

/**
 * Return the volumes of a folder by their names without ending.
 * @throws UsageError for a folder that cannot be read, DataError for two volumes of one name
 */
export async function volumesIn(
  folder: string,
): Promise<{ files: ReadonlyMap<string, string>; leftOut: readonly LeftOut[] }> {
  const { volumes, others, leftOut } = await asUsage(() => readFolder(folder))
  const [found] = volumes.length > 0 ? [] : [...leftOut, ...(await unnamedScans(folder, others))]
  if (found !== undefined)
    throw new UsageError(`${folder}: no mask found (expected ${VOLUME_ENDINGS}; found ${found.reason})`, {
      hint: found.remedy,
    })
  const byStem = volumesByStem(folder, volumes)
  const files = new Map([...byStem].map(([id, name]) => [id, resolve(join(folder, name))]))
  return { files, leftOut }
}

/** Return the files of a folder or data set by case: for scores, organ masks and scans of the same names. */
export function filesOfCases(
  files: ReadonlyMap<string, string>,
  ids: readonly string[],
): Map<string, string> {
  const caseOf = matchNames([...files.keys()], ids)
  return new Map([...caseOf].map(([name, id]) => [id, files.get(name)!]))
}

/**
 * Return the patient of each case.
 * @param file a manifest, or lines `case,patient`; null: every case is a patient of its own
 * @throws UsageError if the file is neither
 * @throws DataError if the file does not list a case
 */
export async function patientsOfCases(
  file: string | null,
  ids: readonly string[],
): Promise<Map<string, string>> {
  if (file === null) return new Map(ids.map((id) => [id, id]))
  const text = await readForeignText(file, {
    unreadable: (code, cause) =>
      new UsageError(cannotBeRead(file, code), { hint: 'correct the path after --patients', cause }),
  })
  const named = text.trimStart().startsWith('{')
    ? patientsOfManifest(file, text)
    : patientsOfTable(file, text)
  const unknown = ids.filter((id) => !named.has(id))
  if (unknown.length > 0)
    throw new DataError(
      `${file}: lists no patient for ${counted(unknown.length, 'case')} (first ${unknown[0]})`,
      {
        hint: 'give every case a line `case,patient`',
      },
    )
  return new Map(ids.map((id) => [id, named.get(id)!]))
}

function patientsOfManifest(file: string, text: string): Map<string, string> {
  try {
    const { cases } = parseForeignJson(text, file) as {
      cases: { id: string; dataset: string; patient: string; label: string | null }[]
    }
    return new Map(
      cases.flatMap(({ id, dataset, patient, label }) => {
        const own = id.slice(id.lastIndexOf('/') + 1)
        const byLabel = label === null ? own : stemOf(label)
        // several data sets at once have names with their data set
        return [own, byLabel, `${dataset}__${own}`].map((name) => [name, patient] as const)
      }),
    )
  } catch {
    throw new UsageError(`${file}: is no manifest`, { hint: 'write one with `freetumor data import`' })
  }
}

function patientsOfTable(file: string, text: string): Map<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  return new Map(
    lines.map((line, at) => {
      const [id, patient, ...rest] = line.split(',').map((part) => part.trim())
      if (!id || !patient || rest.length > 0)
        throw new UsageError(`${file}: line ${at + 1} is not \`case,patient\``, {
          hint: 'write one case per line',
        })
      return [id, patient]
    }),
  )
}

/** Return short names of two folders: their last parts, or the last two if those are equal. */
export function distinctNames(first: string, second: string): readonly [string, string] {
  const [a, b] = [basename(first), basename(second)]
  if (a !== b) return [a, b]
  return [join(basename(dirname(first)), a), join(basename(dirname(second)), b)]
}
