import { UsageError } from '../../errors.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'
import { mapByNames } from '../datasets/label-names.js'

/** An ROI of an RTSTRUCT, or a segment of a SEG. */
export interface ScannedSegment {
  readonly number: number
  /** Free text. */
  readonly name: string
  /** `SCHEME:VALUE` of a known scheme; else empty. */
  readonly code: string
  /** Code of the anatomic region, in the same form. */
  readonly anatomy: string
}

/** A rule of the user: segments with this name, number (`#3`) or code (`SCT:10200004`) become this label. */
export interface SegmentRule {
  readonly segment: string
  /** Label id of the region. */
  readonly id: number
}

/** Codes of organs in SNOMED CT and its predecessor. The organ is the same on both sides. */
const ORGAN_CODES: Readonly<Record<string, OrganName>> = {
  'SCT:10200004': 'liver',
  'SRT:T-62000': 'liver',
  'SCT:15776009': 'pancreas',
  'SRT:T-65000': 'pancreas',
  'SCT:64033007': 'kidney',
  'SCT:18639004': 'kidney',
  'SCT:9846003': 'kidney',
  'SRT:T-71000': 'kidney',
  'SRT:T-71010': 'kidney',
  'SRT:T-71020': 'kidney',
  'SCT:39607008': 'lung',
  'SCT:44029006': 'lung',
  'SCT:3341006': 'lung',
  'SRT:T-28000': 'lung',
  'SRT:T-28100': 'lung',
  'SRT:T-28500': 'lung',
}
/** Mass, neoplasm, malignant neoplasm, lesion, metastasis. */
const TUMOR_CODES: readonly string[] = [
  'SCT:4147007',
  'SCT:108369006',
  'SCT:367651003',
  'SCT:86049000',
  'SCT:1240414004',
  'SCT:52988006',
  'SCT:14799000',
  'SCT:79282002',
  'SRT:M-03000',
  'SRT:M-80003',
  'SRT:M-01000',
]

/**
 * Return the label id of each segment that has one: by the rules of the user, else by its code, else by its name as in a list.
 * @param rules null: those of the user are for another object
 */
export function labelsOfSegments(
  segments: readonly ScannedSegment[],
  region: Region,
  rules: readonly SegmentRule[],
): ReadonlyMap<number, number> {
  const names = Object.fromEntries(segments.map(({ number, name }) => [String(number), name]))
  const named = mapByNames(names, region)?.map ?? {}
  const last = LABEL_SCHEMES[region].names.length - 1
  const pairs = segments.flatMap((segment): [number, number][] => {
    const rule = rules.find((one) => isMeant(one, segment))
    const id = rule?.id ?? idOfCode(segment, region) ?? named[String(segment.number)] ?? 0
    return id > 0 && id <= last ? [[segment.number, id]] : []
  })
  return new Map(pairs)
}

function isMeant({ segment: wanted }: SegmentRule, { number, name, code }: ScannedSegment): boolean {
  if (wanted === `#${number}`) return true
  const plain = (text: string): string => text.trim().toLowerCase()
  return plain(wanted) === plain(name) || (code !== '' && plain(wanted) === plain(code))
}

function idOfCode({ code, anatomy }: ScannedSegment, region: Region): number | undefined {
  const organOf = (one: string) => LABEL_SCHEMES[region].organs.find(({ name }) => name === ORGAN_CODES[one])
  return TUMOR_CODES.includes(code) ? organOf(anatomy)?.tumorLabel : organOf(code)?.label
}

/** @throws UsageError for a rule that fits no segment of any object: a typing error would lose a label */
export function refuseUnmet(rules: readonly SegmentRule[], segments: readonly ScannedSegment[]): void {
  const unmet = rules.find((rule) => !segments.some((segment) => isMeant(rule, segment)))
  if (unmet === undefined) return
  throw new UsageError(`--map: no ROI or segment has this name, number or code (found ${unmet.segment})`, {
    hint: 'correct the name; `freetumor data convert DIR --list` prints numbers and codes',
  })
}

/**
 * Return the region whose organs the segments name.
 * @returns null if they name no organ
 * @throws UsageError if they name organs of two regions
 */
export function regionOfSegments(objects: readonly (readonly ScannedSegment[])[]): Region | null {
  const found = (['abdomen', 'chest'] as const).filter((region) =>
    objects.some((segments) => labelsOfSegments(segments, region, []).size > 0),
  )
  if (found.length < 2) return found[0] ?? null
  throw new UsageError('data convert: the label objects name organs of the abdomen and of the chest', {
    hint: 'pass --region abdomen or --region chest',
  })
}

/** Return the ids of a region in painting order: a tumor wins over an organ. */
export function paintingOrder(region: Region): number[] {
  const { organs } = LABEL_SCHEMES[region]
  return [...organs.map(({ label }) => label), ...organs.map(({ tumorLabel }) => tumorLabel)]
}
