import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { parseForeignJson, readForeignText } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'

/** Mask and label of one case. */
export interface MaskFiles {
  readonly id: string
  readonly prediction: string
  readonly label: string
}

/** Masks with their labels, and the ids of labels without a mask. */
export interface PairedMasks {
  readonly pairs: readonly MaskFiles[]
  readonly unpredicted: readonly string[]
}

/**
 * Pair masks and labels by name, without `_0000`, in the order of their ids.
 * @param partial labels without a mask are no error
 * @throws UsageError for a folder that cannot be read or holds no volume
 * @throws DataError if a mask has no label, or the reverse
 */
export async function pairMasks(predictions: string, labels: string, partial = false): Promise<PairedMasks> {
  const [made, truth] = await Promise.all([volumesIn(predictions), volumesIn(labels)])
  const unmatched = [...made.keys()].filter((id) => !truth.has(id))
  const missing = [...truth.keys()].filter((id) => !made.has(id)).sort()
  if (made.size === 0)
    throw new UsageError(`${predictions}: holds no .nii or .nii.gz file`, {
      hint: 'name the folder of the masks',
    })
  if (unmatched.length > 0 || (missing.length > 0 && !partial))
    throw new DataError(
      `masks and labels do not pair: ${unmatched.length} masks without a label (first ${unmatched[0] ?? 'none'}), ${missing.length} labels without a mask (first ${missing[0] ?? 'none'})`,
      {
        hint:
          unmatched.length === 0
            ? 'predict the other scans, or score a part with --partial'
            : 'give each pair equal names; move other files out of the folders',
      },
    )
  const pairs = [...made].sort().map(([id, prediction]) => ({ id, prediction, label: truth.get(id)! }))
  return { pairs, unpredicted: missing }
}

/**
 * Return the volumes of a folder by case id: the name without `_0000` and ending.
 * @throws UsageError for a folder that cannot be read
 * @throws DataError for two files of one case
 */
export async function volumesIn(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(cannotBeRead(folder, error.code, 'folder'), { hint: 'correct the path' })
  })
  const files = new Map<string, string>()
  for (const name of names.filter((name) => /\.nii(\.gz)?$/.test(name)).sort()) {
    const id = stem(name)
    const twin = files.get(id)
    if (twin !== undefined)
      throw new DataError(`${folder}: ${twin} and ${name} are both case ${id}`, {
        hint: 'move one of them elsewhere',
      })
    files.set(id, resolve(join(folder, name)))
  }
  return files
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
    throw new DataError(`${file}: lists no patient for ${unknown.length} cases (first ${unknown[0]})`, {
      hint: 'give every case a line `case,patient`',
    })
  return new Map(ids.map((id) => [id, named.get(id)!]))
}

function patientsOfManifest(file: string, text: string): Map<string, string> {
  try {
    const { cases } = parseForeignJson(text, file) as {
      cases: { id: string; patient: string; label: string | null }[]
    }
    return new Map(
      cases.flatMap(({ id, patient, label }) => {
        const own = id.slice(id.lastIndexOf('/') + 1)
        const byLabel = label === null ? own : stem(label.slice(label.lastIndexOf('/') + 1))
        return [own, byLabel].map((name) => [name, patient] as const)
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

function stem(name: string): string {
  return name.replace(/(_0000)?\.nii(\.gz)?$/, '')
}
