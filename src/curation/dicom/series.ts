import type { Vec3 } from '../../volume/volume.js'
import type { ScannedSegment } from './segments.js'
import { isSharpKernel, type Phase, phaseOf } from './words.js'

/** A DICOM series as its headers state it. Texts of the files are for decisions only; `words.ts` makes them fit to print. */
export interface ScannedSeries {
  readonly uid: string
  readonly study: string
  /** UID of the frame of reference; empty if missing. */
  readonly frame: string
  /** PatientID; empty if missing. */
  readonly patient: string
  readonly modality: string
  readonly kind: 'image' | 'seg' | 'rtstruct'
  readonly seriesNumber: number | null
  readonly imageType: readonly string[]
  /** SeriesDescription and ProtocolName: free text. */
  readonly description: string
  readonly kernel: string
  /** A contrast agent is stated. */
  readonly contrast: boolean
  /** The images are compressed with loss. */
  readonly lossy: boolean
  readonly files: number
  /** UID, bytes and time of each file; another state is converted again. */
  readonly state: readonly (readonly [string, number, number])[]
  /** The volume of a usable CT series. */
  readonly volume: ScannedVolume | null
  /** Series and segments of a usable RTSTRUCT or SEG. */
  readonly labels: ScannedLabels | null
  readonly refusal: DicomRefusal | null
}

export interface ScannedVolume {
  /** Files in the order of the slices. */
  readonly paths: readonly string[]
  /** Columns, rows, slices. */
  readonly shape: Vec3
  readonly spacingMm: Vec3
  /** Voxel (column, row, slice) to DICOM's own axes in mm, row by row. */
  readonly lps: readonly (readonly number[])[]
  /** Slope and intercept that lead to HU. */
  readonly rescale: readonly [number, number]
  /** Place of each slice in one multi-frame file, from 0; null if each slice is a file. */
  readonly frames: readonly number[] | null
  /** Files that repeat a slice to the byte, and are left out. */
  readonly repeated: number
}

export interface ScannedLabels {
  readonly path: string
  /** UID of the labelled series; empty if the object names none or several. */
  readonly series: string
  /** UID of its frame of reference. */
  readonly frame: string
  readonly segments: readonly ScannedSegment[]
}

/** Why a series cannot be converted: a word for programs, a sentence without any text of the files. */
export interface DicomRefusal {
  readonly code: string
  readonly reason: string
}

/** Order of the phases for one CT of a study: public tumor data sets are portal venous. */
const PHASES: readonly (Phase | '')[] = [
  'portal venous',
  'venous',
  '',
  'late arterial',
  'arterial',
  'delayed',
  'native',
]

/**
 * Return the CT series of each study that is converted by default: axial, original, no sharp kernel, with contrast agent,
 * portal venous, longest, thinnest, lowest number. The first rule that distinguishes two series decides.
 */
export function chooseByRule(series: readonly ScannedSeries[]): ScannedSeries[] {
  const studies = new Map<string, ScannedSeries[]>()
  for (const one of series)
    if (one.volume !== null) studies.set(one.study, [...(studies.get(one.study) ?? []), one])
  return [...studies.values()].map((some) => some.reduce((best, one) => (isBetter(one, best) ? one : best)))
}

/** Return true if the first of two usable series comes before the second by the rule. */
function isBetter(one: ScannedSeries, other: ScannedSeries): boolean {
  const [a, b] = [ranksOf(one), ranksOf(other)]
  const at = a.findIndex((rank, place) => rank !== b[place])
  return at >= 0 ? a[at]! < b[at]! : one.uid < other.uid
}

function ranksOf({
  volume,
  imageType,
  kernel,
  contrast,
  description,
  seriesNumber,
}: ScannedSeries): number[] {
  const { shape, spacingMm, lps } = volume!
  const tilt = Math.abs(lps[2]![2]!) / spacingMm[2]
  return [
    tilt > Math.cos(Math.PI / 6) ? 0 : 1,
    imageType[0] === 'DERIVED' ? 1 : 0,
    isSharpKernel(kernel) ? 1 : 0,
    contrast ? 0 : 1,
    PHASES.indexOf(phaseOf(description) ?? ''),
    // in centimetres: series of one scan differ by a slice
    -Math.round((shape[2] * spacingMm[2]) / 10),
    spacingMm[2],
    seriesNumber ?? Number.MAX_SAFE_INTEGER,
  ]
}

/** Return the label objects of a CT series: those that name it, else those of its frame of reference that name none. */
export function labelObjectsOf(ct: ScannedSeries, series: readonly ScannedSeries[]): ScannedSeries[] {
  const objects = series.filter(({ labels, patient }) => labels !== null && patient === ct.patient)
  const naming = objects.filter(({ labels }) => labels!.series === ct.uid)
  if (naming.length > 0 || ct.frame === '') return naming
  const known = new Set(series.filter(({ volume }) => volume !== null).map(({ uid }) => uid))
  const sharing = series.filter(({ volume, frame }) => volume !== null && frame === ct.frame)
  return objects.filter(
    ({ labels }) => sharing.length === 1 && labels!.frame === ct.frame && !known.has(labels!.series),
  )
}
