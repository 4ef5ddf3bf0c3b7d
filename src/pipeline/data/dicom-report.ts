import type { ScannedSeries } from '../../curation/dicom/series.js'
import { knownKernel, knownModality, knownWords, phaseOf } from '../../curation/dicom/words.js'
import { csvField } from '../../plain-text.js'
import type { Vec3 } from '../../volume/volume.js'

/** A series of a DICOM folder and what became of it. Without texts of the files: `description` holds known words only. */
export interface DicomSeries {
  /** Place in the list, from 1; `--series` takes it. */
  readonly number: number
  readonly uid: string
  /** Pseudonym of the patient. */
  readonly patient: string
  readonly modality: string
  readonly description: string
  /** Phase of the contrast agent by the description; null if none is named. */
  readonly phase: string | null
  /** Kernel, if its name is a known one; else empty. */
  readonly kernel: string
  readonly files: number
  readonly slices: number | null
  readonly spacingMm: Vec3 | null
  /** True if it can be converted. */
  readonly ok: boolean
  /** `listed`: with `list`. `reused`: converted by an earlier start. `notChosen`: usable, and another series was chosen. */
  readonly outcome: 'listed' | 'converted' | 'reused' | 'notChosen' | 'refused'
  /** Word of the reason, such as `gap`; null without one. */
  readonly code: string | null
  readonly reason: string | null
  /** Id of the case of a converted series. */
  readonly case: string | null
  /** Paths of the files that hold it. */
  readonly image: string | null
  readonly label: string | null
  /** ROIs or segments of a label object; label: null if it is mapped to none. */
  readonly segments: readonly DicomSegment[]
  readonly notes: readonly string[]
}

export interface DicomSegment {
  readonly number: number
  /** `SCHEME:VALUE` of a known scheme; null for others. */
  readonly code: string | null
  /** Name of the label that it becomes; null if it is left out. */
  readonly label: string | null
  /** Voxels before overlaps; null if it was not painted by this start. */
  readonly voxels: number | null
}

/**
 * Return a series as it may be printed.
 * @param labels names of the labels of its segments, by their numbers
 */
export function listedSeries(
  series: ScannedSeries,
  number: number,
  patient: string,
  labels: ReadonlyMap<number, string>,
): DicomSeries {
  const { volume, refusal } = series
  return {
    number,
    uid: series.uid,
    patient,
    modality: knownModality(series.modality),
    description: knownWords(series.description),
    phase: phaseOf(series.description) ?? null,
    kernel: knownKernel(series.kernel),
    files: series.files,
    slices: volume?.shape[2] ?? null,
    spacingMm: volume?.spacingMm ?? null,
    ok: refusal === null,
    outcome: refusal === null ? 'listed' : 'refused',
    code: refusal?.code ?? null,
    reason: refusal?.reason ?? null,
    case: null,
    image: null,
    label: null,
    segments: (series.labels?.segments ?? []).map(({ number, code }) => ({
      number,
      code: code || null,
      label: labels.get(number) ?? null,
      voxels: null,
    })),
    notes: [
      ...(series.lossy ? ['its images are compressed with loss'] : []),
      ...((volume?.repeated ?? 0) > 0 ? [`${volume!.repeated} files repeat a slice`] : []),
    ],
  }
}

/** Return `report.csv`. UIDs identify a study, so it has the pseudonyms alone. */
export function reportTable(series: readonly DicomSeries[], pseudonym: (uid: string) => string): string {
  const head =
    'number,series,patient,modality,description,phase,kernel,files,slices,spacing_mm,outcome,code,reason,case,image,label,segments,notes'
  const rows = series.map((one) => [
    one.number,
    pseudonym(one.uid),
    one.patient,
    one.modality,
    one.description,
    one.phase ?? '',
    one.kernel,
    one.files,
    one.slices ?? '',
    one.spacingMm?.join(' ') ?? '',
    one.outcome,
    one.code ?? '',
    one.reason ?? '',
    one.case ?? '',
    one.image ?? '',
    one.label ?? '',
    one.segments.map((segment) => segmentText(segment)).join('; '),
    one.notes.join('; '),
  ])
  return [head, ...rows.map((row) => row.map(csvField).join(','))].map((line) => `${line}\n`).join('')
}

/** Return a segment in words, without its name: `#3 SCT:10200004 liver`. */
export function segmentText({ number, code, label }: DicomSegment): string {
  return [`#${number}`, code, label ?? 'left out'].filter((part) => part !== null).join(' ')
}
