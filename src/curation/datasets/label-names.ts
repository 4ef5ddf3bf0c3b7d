import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import type { KidneySides, LabelIdMap } from './registry.js'

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
const SIDES = /^(left|right|l|r|both|upper|middle|lower|lobes?|the|parenchyma|cysts?|organ)$/

/**
 * Read the meaning of label names in a region: `liver`, `kidney_left`, `Pancreas`, `liver tumour`,
 * `lung_upper_lobe_left`, and a tumor without an organ if only one organ is named. Null if no organ of the
 * region is among them.
 */
export function mapByNames(names: Readonly<Record<string, string>>, region: Region): NamedMap | null {
  const scheme = LABEL_SCHEMES[region]
  const meanings = Object.entries(names).map(([id, name]) => ({ id, name, ...meaningOf(name, region) }))
  const organs = new Set(meanings.flatMap(({ organ }) => (organ ? [organ] : [])))
  if (organs.size === 0) return null
  const onlyOrgan = organs.size === 1 ? [...organs][0] : undefined
  const background: string[] = []
  const pairs = meanings.map(({ id, name, organ, tumor }) => {
    const found = scheme.organs.find((one) => one.name === (organ ?? (tumor ? onlyOrgan : undefined)))
    if (!found && !/^background$/i.test(name)) background.push(name)
    return [id, found ? (tumor ? found.tumorLabel : found.label) : 0] as const
  })
  return { region, map: Object.fromEntries(pairs), background, kidneySides: sidesOf(meanings) }
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

function meaningOf(name: string, region: Region): { organ: string | undefined; tumor: boolean } {
  const words = name
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '' && !SIDES.test(word))
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
