import { mapByNames } from '../../curation/datasets/label-names.js'
import { UsageError } from '../../errors.js'
import { oneLine } from '../../plain-text.js'
import { LABEL_SCHEMES, plainLabelName, type Region } from '../../volume/labels.js'
import type { SegSegment } from '../ports/dicom-seg.js'

/** Meaning of an id, without the id itself. */
export type Meaning = Pick<SegSegment, 'name' | 'kind' | 'organ'>

const REGIONS: readonly Region[] = ['abdomen', 'chest']

/** Return the meaning of every name of the regions: `liver`, `liver tumor`, `lesion`. */
function meaningsOf(region: Region): ReadonlyMap<number, Meaning> {
  const { names, organs } = LABEL_SCHEMES[region]
  return new Map(
    organs.flatMap(({ name, label, tumorLabel }): (readonly [number, Meaning])[] => [
      [label, { name: names[label]!, kind: 'organ', organ: name }],
      [tumorLabel, { name: names[tumorLabel]!, kind: region === 'chest' ? 'lesion' : 'tumor', organ: name }],
    ]),
  )
}

/**
 * Return the meaning of the ids of a label map by the names of its labels, in the region with the most of them. Ids whose
 * names mean no organ or tumor of a region are absent.
 */
export function meaningsByNames(names: Readonly<Record<string, string>>): ReadonlyMap<number, Meaning> {
  let best: ReadonlyMap<number, Meaning> = new Map()
  for (const region of REGIONS) {
    const map = mapByNames(names, region)?.map ?? {}
    const meanings = meaningsOf(region)
    const found = new Map(
      Object.entries(map).flatMap(([id, target]) => {
        const meaning = meanings.get(target)
        return meaning === undefined ? [] : [[Number(id), meaning] as const]
      }),
    )
    if (found.size > best.size) best = found
  }
  return best
}

/**
 * Return the meaning of ids that a user states: `1:liver,2:liver-tumor`.
 * @throws UsageError for another form, or a name of no organ or tumor
 */
export function statedMeanings(text: string): ReadonlyMap<number, Meaning> {
  const known = REGIONS.flatMap((region) => [...meaningsOf(region).values()])
  const pairs = text.split(',').map((pair) => {
    const [, id, name] = /^\s*(\d{1,3}):([\w -]+?)\s*$/.exec(pair) ?? []
    const meaning = known.find((one) => name !== undefined && one.name === plainLabelName(name))
    if (id === undefined || Number(id) < 1 || Number(id) > 255 || meaning === undefined)
      throw new UsageError(
        `--dicom-seg-labels: invalid pair "${oneLine(pair)}" (expected an id from 1 to 255, and a name)`,
        {
          hint: `write pairs such as 1:liver,2:liver-tumor; names: ${known.map(({ name }) => name).join(', ')}`,
        },
      )
    return [Number(id), meaning] as const
  })
  return new Map(pairs)
}

/** Return one meaning for several outputs of one id: a tumor of no stated organ, if they are tumors of several. */
export function joinedMeaning(meanings: readonly Meaning[]): Meaning | undefined {
  const [first, ...others] = meanings
  if (first === undefined || others.every(({ name }) => name === first.name)) return first
  if (meanings.some(({ kind }) => kind === 'organ')) return undefined
  return { name: 'tumor', kind: 'tumor', organ: null }
}
