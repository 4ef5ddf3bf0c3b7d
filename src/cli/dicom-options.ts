import { resolve } from 'node:path'
import { UsageError } from '../errors.js'
import type { DicomSource } from '../pipeline/flows/dicom-chain.js'
import type { DicomSegmentations, DicomSegOptions } from '../pipeline/flows/dicom-seg.js'
import { counted } from '../plain-text.js'
import type { Region } from '../volume/labels.js'
import type { CliIo } from './output.js'
import { caseProgress } from './progress.js'

/** The options of commands that read DICOM series, or write SEG for them. */
export interface DicomOptions {
  readonly dicom?: string
  /** True for the folder of `dicom`. */
  readonly dicomSeg?: string | true
  readonly dicomSegLabels?: string
}

/**
 * Return the options of the SEG files of a command; null without `--dicom-seg`.
 * @throws UsageError for labels without it, or if no option names the series
 */
export function segOptions(
  { dicom, dicomSeg, dicomSegLabels: labels }: DicomOptions,
  io: CliIo,
): DicomSegOptions | null {
  const series = dicomSeg === true ? dicom : dicomSeg
  if (series !== undefined) return { series: resolve(io.cwd, series), labels }
  if (dicomSeg === undefined && labels === undefined) return null
  throw new UsageError(`--dicom-seg: no CT series (expected a folder after it, or --dicom)`, {
    hint: 'pass the folder of the CT series: --dicom-seg DIR',
  })
}

/** Return the DICOM series that a command starts from; null without `--dicom`. */
export function dicomSource(
  { dicom, out }: DicomOptions & { readonly out: string },
  io: CliIo,
  region?: Region,
): DicomSource | null {
  if (dicom === undefined) return null
  return { dicom: resolve(io.cwd, dicom), out: resolve(io.cwd, out), region, onConverted: caseProgress(io) }
}

/** Return the line that sums up SEG files. */
export function segText(segmentations: DicomSegmentations | undefined): string[] {
  if (segmentations === undefined) return []
  const { directory, cases, failed } = segmentations
  const files = cases.filter(({ file }) => file !== null).length
  return [
    `${counted(files, 'DICOM SEG file')} with the identity of the patients in ${directory}, ${failed.length} failed`,
  ]
}
