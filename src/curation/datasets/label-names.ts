import { IGNORED_LABEL, isIgnoredName, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import type { KidneySides, LabelIdMap } from './registry.js'

/**
 * Names of ids in a list. An id in nested regions has several: that of the smallest region first, then those of the
 * regions around it.
 */
export type LabelNames = Readonly<Record<string, string | readonly string[]>>

/** A map read from the names of ids in a list. */
export interface NamedMap {
  readonly region: Region
  readonly map: LabelIdMap
  /** Names that are not in the region, and so became background. */
  readonly background: readonly string[]
  /** Ids of the two kidneys, if their names are distinct. */
  readonly kidneySides?: KidneySides | undefined
}

const TUMOR = /^(tumou?rs?|cancers?|lesions?|carcinomas?|masses|mass|neoplasms?|pdac)$/
const SIDES = /^(left|right|l|r|both|upper|middle|lower|lobes?|the|whole|parenchyma|cysts?|organ)$/

/**
 * Read the meaning of label names in a region: `liver`, `kidney_left`, `Pancreas`, `liver tumour`,
 * `lung_upper_lobe_left`, and a tumor without an organ if only one organ is named. `ignore`, `unlabeled` and `void`
 * are ignored voxels, except for id 0, which is background. Null if no organ of the region is among them.
 */
export function mapByNames(names: LabelNames, region: Region): NamedMap | null {
  const scheme = LABEL_SCHEMES[region]
  const meanings = Object.entries(names).map(([id, named]) => meaningOfNames(id, [named].flat(), region))
  const organs = new Set(meanings.flatMap(({ organ }) => (organ ? [organ] : [])))
  if (organs.size === 0) return null
  const onlyOrgan = organs.size === 1 ? [...organs][0] : undefined
  const background: string[] = []
  const pairs = meanings.map(({ id, name, organ, tumor }) => {
    if (isIgnored(id, name)) return [id, IGNORED_LABEL] as const
    const found = scheme.organs.find((one) => one.name === (organ ?? (tumor ? onlyOrgan : undefined)))
    if (!found && !/^background$/i.test(name)) background.push(name)
    return [id, found ? (tumor ? found.tumorLabel : found.label) : 0] as const
  })
  return { region, map: Object.fromEntries(pairs), background, kidneySides: sidesOf(meanings) }
}

/** Return the ids whose voxels are ignored, by their names. */
export function ignoredIdsOf(names: LabelNames): string[] {
  return Object.keys(names).filter((id) => [names[id]!].flat().some((name) => isIgnored(id, name)))
}

/** Id 0 is background in every format, also if it is called `unlabeled`; only a map of the user can ignore it. */
function isIgnored(id: string, name: string): boolean {
  return Number(id) !== 0 && isIgnoredName(name)
}

function sidesOf(meanings: readonly Meaning[]): KidneySides | undefined {
  const kidneys = meanings.filter(({ organ, tumor }) => organ === 'kidney' && !tumor)
  const [left, right] = [/(^|[^a-z])(left|l)([^a-z]|$)/i, /(^|[^a-z])(right|r)([^a-z]|$)/i].map((side) =>
    kidneys.filter(({ name }) => side.test(name) && !/cyst/i.test(name)),
  )
  // KiTS calls its cyst "right kidney" and has no left one
  if (left?.length !== 1 || right?.length !== 1) return undefined
  return { left: Number(left[0]!.id), right: Number(right[0]!.id) }
}

/** Adjectives that name an organ next to a tumor: `pancreatic_pdac`, `renal tumor`. */
const ADJECTIVES = { liver: 'hepatic', pancreas: 'pancreatic', kidney: 'renal', lung: 'pulmonary' } as const

interface Meaning {
  readonly id: string
  readonly name: string
  readonly organ: string | undefined
  readonly tumor: boolean
}

/** Return the meaning of an id by the smallest region around it that has one: a necrosis in a tumor is tumor. */
function meaningOfNames(id: string, names: readonly string[], region: Region): Meaning {
  const each = names.map((name) => ({ id, name, ...meaningOf(name, region) }))
  const found = each.find(({ organ, tumor }) => organ !== undefined || tumor) ?? each[0]!
  const around = each.find(({ organ }) => organ !== undefined)
  return { ...found, organ: found.organ ?? around?.organ }
}

/**
 * Return the names of each id in the regions of nnU-Net, where a region has one or more ids. Regions must be nested,
 * as in `{ "liver": [1, 2], "tumor": 2 }`: then the smallest region of an id is its meaning.
 * @returns `unclear`: why the ids cannot be named
 */
export function namesByRegions(
  regions: readonly { readonly name: string; readonly ids: readonly string[] }[],
): { readonly names: LabelNames } | { readonly unclear: string } {
  const names: Record<string, readonly string[]> = {}
  for (const id of new Set(regions.flatMap(({ ids }) => ids))) {
    const around = regions.filter(({ ids }) => ids.includes(id)).sort((a, b) => a.ids.length - b.ids.length)
    const apart = around.findIndex(({ ids }, at) => at > 0 && !holds(ids, around[at - 1]!.ids))
    if (apart > 0)
      return {
        unclear: `id ${id} is in ${around[apart - 1]!.name} and ${around[apart]!.name}, which are not nested`,
      }
    const [smallest] = around
    const inner = regions.find(({ name, ids }) => namesTumor(name) && holds(smallest!.ids, ids))
    if (inner && namesTumor(smallest!.name))
      return { unclear: `id ${id} is in ${smallest!.name}, but not in ${inner.name}` }
    names[id] = around.map(({ name }) => name)
  }
  return { names }
}

/** Return true if the outer region has all ids of the inner one, and more. */
function holds(outer: readonly string[], inner: readonly string[]): boolean {
  return outer.length > inner.length && inner.every((id) => outer.includes(id))
}

function namesTumor(name: string): boolean {
  return wordsOf(name).some((word) => TUMOR.test(word))
}

function wordsOf(name: string): string[] {
  return name
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '' && !SIDES.test(word))
}

function meaningOf(name: string, region: Region): { organ: string | undefined; tumor: boolean } {
  const words = wordsOf(name)
  const tumor = words.some((word) => TUMOR.test(word))
  const rest = words.filter((word) => !TUMOR.test(word)).map((word) => word.replace(/s$/, ''))
  // another word next to the organ has another meaning: `hepatic vessel`, `liver segment`, `adrenal gland`
  const organ = LABEL_SCHEMES[region].organs.find(
    ({ name }) => rest.length === 1 && (matches(rest[0]!, name) || (tumor && rest[0] === ADJECTIVES[name])),
  )
  return { organ: organ?.name, tumor }
}

function matches(word: string, organ: string): boolean {
  // `pancreas` loses its s together with the plurals
  return word === organ.replace(/s$/, '')
}
