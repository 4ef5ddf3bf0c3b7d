import { resolve } from 'node:path'
import type { Region } from '../../volume/labels.js'
import type { LeftOut } from './file-names.js'
import type { ListedCase } from './lists.js'
import { mergedLabels } from './merged-labels.js'
import { regionOfMasks } from './organ-masks.js'
import { labelsAt, matchNames } from './own-labels.js'

/** Label maps by the name of the case. */
export interface LabelFiles {
  readonly files: ReadonlyMap<string, string>
  readonly leftOut: readonly LeftOut[]
  readonly notes: readonly string[]
}

/**
 * Return the label map of each case at a path of any layout; masks of organs are merged.
 * @param names of the cases; undefined: those of the labels
 * @throws DataError for masks that cannot be merged
 */
export async function labelFiles(
  path: string | undefined,
  names: readonly string[] | undefined,
  region: Region | undefined,
): Promise<LabelFiles> {
  if (path === undefined) return { files: new Map(), leftOut: [], notes: [] }
  const { labels, leftOut } = await labelsAt(resolve(path))
  const pairs =
    names === undefined
      ? [...labels.keys()].map((name) => [name, name] as const)
      : matchNames([...labels.keys()], names)
  const cases = [...pairs].map(([name, id]): ListedCase => ({ ...bare(id), ...labels.get(name)! }))
  const shown = region ?? regionOfMasks(cases.flatMap(({ masks = [] }) => masks)) ?? 'abdomen'
  const merged = await mergedLabels(resolve(path), cases, ({ name }) => name, shown)
  const [refused] = merged.refused
  if (refused) throw refused.error
  return {
    files: new Map(merged.cases.map(({ name, label }) => [name, label!])),
    leftOut,
    notes: merged.notes,
  }
}

function bare(name: string): ListedCase {
  return { name, image: '', label: null, fold: null, split: 'test' }
}
