import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import {
  type LeftOut,
  labelsBeside,
  noScan,
  plainName,
  readFolder,
  stemOf,
  withoutChannel,
} from './file-names.js'
import type { CaseList, ListedCase } from './lists.js'
import { asUsage, scansAt } from './scans.js'
import { sourcesAt } from './sources.js'

/**
 * Give the cases of a list the labels of another path: a folder of labels or a data set, paired by the names
 * of the cases, or the label of one scan.
 * @throws DataError if a label has no scan, or the path cannot be read
 */
export async function withLabels(list: CaseList, labels: string): Promise<CaseList> {
  const path = resolve(labels)
  const state = await stat(path).catch(() => null)
  if (state === null)
    throw new DataError(cannotBeRead(labels, 'ENOENT', 'label'), { hint: 'correct the path after --labels' })
  const { cases } = list
  if (!state.isDirectory() && cases.length > 1)
    throw new DataError(`${labels}: one label (expected a folder for ${cases.length} scans)`, {
      hint: 'pass a folder of labels, or one scan',
    })
  if (!state.isDirectory()) return { ...list, cases: cases.map((item) => labelled(item, { label: path })) }
  const { labels: found, leftOut } = await labelsAt(path)
  const named = matchNames(
    [...found.keys()],
    cases.map(({ name }) => name),
  )
  const alone = [...found.keys()].find((name) => !named.has(name))
  if (alone !== undefined)
    throw new DataError(`${found.get(alone)!.label ?? join(path, alone)}: no scan of this name`, {
      hint: 'give label and scan equal names, except for _0000',
    })
  const byCase = new Map([...named].map(([label, name]) => [name, found.get(label)!]))
  return {
    ...list,
    leftOut: [...list.leftOut, ...leftOut],
    cases: cases.map((item) => labelled(item, byCase.get(item.name) ?? { label: null })),
  }
}

function labelled({ masks: _, ...item }: ListedCase, label: Pick<ListedCase, 'label' | 'masks'>): ListedCase {
  const hasLabel = label.label !== null || label.masks !== undefined
  return { ...item, ...label, split: hasLabel ? 'training' : 'test' }
}

/** The label of a case: a file, or masks to merge. */
export type CaseLabel = Pick<ListedCase, 'label' | 'masks'>

export interface Labels {
  /** By the name of the case. */
  readonly labels: ReadonlyMap<string, CaseLabel>
  readonly leftOut: readonly LeftOut[]
}

/**
 * Return the labels at a path by the names of their cases: those of a data set, or the volumes of a folder.
 * @throws UsageError for a path without a label, DataError for two labels of one name
 */
export function labelsAt(path: string): Promise<Labels> {
  return asUsage(() => readLabels(path))
}

async function readLabels(path: string): Promise<Labels> {
  const sources = await sourcesAt(path)
  const isFolder = sources.length === 1 && sources[0]!.kind === 'scans' && (await stat(path)).isDirectory()
  const own = isFolder ? await readFolder(path) : null
  // scans next to their labels are no labels
  if (own && own.volumes.length > 0 && labelsBeside(own.volumes).size === 0) {
    const files = own.volumes.map((name) => [stemOf(name), { label: join(path, name) }] as const)
    return { labels: uniquely(files), leftOut: own.leftOut }
  }
  const { scans, leftOut } = await scansAt(path, { split: 'all' })
  const hasLabels = scans.some(({ label, masks }) => label !== null || masks !== undefined)
  const labels = scans.flatMap(({ name, image, label, masks }): (readonly [string, CaseLabel])[] => {
    // a folder of folders of label maps has no images
    if (isFolder && !hasLabels) return [[name, { label: image }]]
    return label === null && !masks ? [] : [[name, { label, ...(masks && { masks }) }]]
  })
  if (labels.length === 0) throw noScan(`${path}: no label found`, 'pass a folder of label maps')
  return { labels: uniquely(labels), leftOut }
}

function uniquely(pairs: readonly (readonly [string, CaseLabel])[]): Map<string, CaseLabel> {
  const found = new Map<string, CaseLabel>()
  for (const [name, label] of pairs) {
    const earlier = found.get(name)
    if (earlier !== undefined && (earlier.label === null || earlier.label !== label.label))
      throw new DataError(`${earlier.label} and ${label.label}: equal case names (found ${name} for both)`, {
        hint: 'move one of them elsewhere',
      })
    found.set(name, label)
  }
  return found
}

/**
 * Pair names of files with names of cases: equal names, else without `_0000` if all names of one side have it, else
 * without the words for images and labels where only one pair fits (`segmentation-0` and `volume-0`).
 * Return the name of the case of each file that has one.
 */
export function matchNames(files: readonly string[], cases: readonly string[]): Map<string, string> {
  const wanted = new Set(cases)
  const plain = withoutChannel(files, wanted)
  const short = new Map(withoutChannel(cases, new Set(files)).map((name, at) => [name, cases[at]!]))
  const found = new Map(
    files.flatMap((file, at) => {
      const name = wanted.has(file) ? file : wanted.has(plain[at]!) ? plain[at] : short.get(plain[at]!)
      return name === undefined ? [] : [[file, name] as const]
    }),
  )
  const taken = new Set(found.values())
  const left = byPlainName(cases.filter((name) => !taken.has(name)))
  for (const [own, [file, ...twins]] of byPlainName(files.filter((name) => !found.has(name)))) {
    const [name, ...others] = left.get(own) ?? []
    if (name !== undefined && twins.length + others.length === 0) found.set(file!, name)
  }
  return found
}

function byPlainName(names: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const name of names) groups.set(plainName(name), [...(groups.get(plainName(name)) ?? []), name])
  return groups
}
