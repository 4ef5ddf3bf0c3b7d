import { resolve } from 'node:path'
import { UsageError } from '../errors.js'
import type { DicomSegmentations, DicomSegOptions } from '../pipeline/flows/dicom-seg.js'
import { counted } from '../plain-text.js'
import type { CliIo } from './output.js'

/**
 * Return the options of the SEG files of a command; null without `--dicom-seg`.
 * @throws UsageError for labels without it
 */
export function segOptions(
  series: string | undefined,
  labels: string | undefined,
  io: CliIo,
): DicomSegOptions | null {
  if (series !== undefined) return { series: resolve(io.cwd, series), labels }
  if (labels === undefined) return null
  throw new UsageError('--dicom-seg-labels: there is no --dicom-seg', {
    hint: 'pass the folder of the CT series with --dicom-seg, too',
  })
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
