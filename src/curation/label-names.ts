import { LABEL_SCHEMES, type Region } from '../volume/labels.js'
import type { LabelIdMap } from './registry.js'

/** A map read off the names that a list gives its ids. */
export interface NamedMap {
  readonly region: Region
  readonly map: LabelIdMap
  /** Names that mean nothing to the region and so became background. */
  readonly background: readonly string[]
}

const TUMOR = /^(tumou?rs?|cancers?|lesions?|carcinomas?|masses|mass|neoplasms?|pdac)$/
const SIDES = /^(left|right|l|r|both|upper|middle|lower|lobes?|the|parenchyma|cysts?|organ)$/

/**
 * What label names mean in a region: `liver`, `kidney_left`, `Pancreas`, `liver tumour`, `lung_upper_lobe_left`, and a
 * tumor without an organ where only one organ is named. Null when no organ of the region is among them.
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
  return { region, map: Object.fromEntries(pairs), background }
}

function meaningOf(name: string, region: Region): { organ: string | undefined; tumor: boolean } {
  const words = name
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '' && !SIDES.test(word))
  const tumor = words.some((word) => TUMOR.test(word))
  const rest = words.filter((word) => !TUMOR.test(word)).map((word) => word.replace(/s$/, ''))
  // A word beside the organ means another thing: `hepatic vessel`, `liver segment`, `adrenal gland`.
  const organ = LABEL_SCHEMES[region].organs.find((one) => rest.length === 1 && matches(rest[0]!, one.name))
  return { organ: organ?.name, tumor }
}

function matches(word: string, organ: string): boolean {
  // `pancreas` loses its s with the plurals.
  return word === organ.replace(/s$/, '')
}
