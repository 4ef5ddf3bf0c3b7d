import { nearestWord } from '../suggestion.js'

export type Region = 'abdomen' | 'chest'
export type OrganName = 'liver' | 'pancreas' | 'kidney' | 'lung'

/** An organ of a region: its id, the id of its tumor, and its channel of the generator. */
export interface Organ {
  readonly name: OrganName
  readonly label: number
  readonly tumorLabel: number
  readonly channel: number
}

export interface LabelScheme {
  readonly region: Region
  readonly organs: readonly Organ[]
  /** Name of every id, in order; id 0 is background. */
  readonly names: readonly string[]
}

/**
 * The id of voxels without an annotation, in label maps with the ids of a region and in the prepared cache: they take
 * part in no loss, crop centre, tumor, verdict or figure (docs/data.md#ignored-voxels).
 */
export const IGNORED_LABEL = 255

/** Names of such voxels: those of nnU-Net and of other lists. */
const IGNORED_NAMES: readonly string[] = ['ignore', 'ignored', 'unlabeled', 'unlabelled', 'void']

/** Return true if a name of a label id means that its voxels are ignored. */
export function isIgnoredName(name: string): boolean {
  return IGNORED_NAMES.includes(name.trim().toLowerCase())
}

/** The label ids of the method (docs/method.md#2-labels-and-roles). */
export const LABEL_SCHEMES: Readonly<Record<Region, LabelScheme>> = {
  abdomen: {
    region: 'abdomen',
    organs: [
      { name: 'liver', label: 1, tumorLabel: 2, channel: 0 },
      { name: 'pancreas', label: 3, tumorLabel: 4, channel: 1 },
      { name: 'kidney', label: 5, tumorLabel: 6, channel: 2 },
    ],
    names: ['background', 'liver', 'liver tumor', 'pancreas', 'pancreas tumor', 'kidney', 'kidney tumor'],
  },
  chest: {
    region: 'chest',
    organs: [{ name: 'lung', label: 1, tumorLabel: 2, channel: 0 }],
    names: ['background', 'lung', 'lesion'],
  },
}

/** Return a label name as `names` has it: `Liver-tumor` and `liver_tumor` are `liver tumor`. */
export function plainLabelName(name: string): string {
  return name.trim().toLowerCase().replace(/[-_]/g, ' ')
}

/**
 * Return the id of a label name, such as `liver`, `liver tumor`, `liver-tumor` or `ignore`; undefined for other names.
 * @param region null: the names of all regions, which are distinct
 */
export function labelIdOf(name: string, region: Region | null): number | undefined {
  if (isIgnoredName(name)) return IGNORED_LABEL
  const wanted = plainLabelName(name)
  const ids = schemesOf(region).map(({ names }) => names.indexOf(wanted))
  return ids.find((id) => id >= 0)
}

/**
 * Return a hint about an unknown label name: the nearest name, else all names.
 * @param region null: the names of all regions
 * @param others further names that are accepted
 */
export function labelNameHint(name: string, region: Region | null, others: readonly string[] = []): string {
  const labels = schemesOf(region).flatMap((scheme) => scheme.names.slice(1).map(hyphenated))
  const names = [...labels, ...others]
  const near = nearestWord(hyphenated(plainLabelName(name)), names)
  return near === undefined ? `write an id, or one of ${names.join(', ')}` : `did you mean ${near}?`
}

function schemesOf(region: Region | null): readonly LabelScheme[] {
  return region === null ? Object.values(LABEL_SCHEMES) : [LABEL_SCHEMES[region]]
}

/** Return a name as a command line has it. */
function hyphenated(name: string): string {
  return name.replaceAll(' ', '-')
}

/** Return the name of an id of a region, such as `liver` or `ignore`; empty for other ids. */
export function labelNameOf(id: number, region: Region): string {
  return id === IGNORED_LABEL ? 'ignore' : (LABEL_SCHEMES[region].names[id] ?? '')
}

/** Return the allowed ids of a label map of a region, as text for errors. */
export function allowedIds(region: Region): string {
  const ids = LABEL_SCHEMES[region].names.map((name, id) => `${id} ${name}`)
  return [...ids, `${IGNORED_LABEL} ignore`].join(', ')
}
