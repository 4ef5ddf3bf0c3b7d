import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { paintingOrder } from '../../curation/dicom/segments.js'
import { UsageError } from '../../errors.js'
import { readJsonLog } from '../../jsonl.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makeWritableFolder, sweepUnfinished, writeWhole } from '../../whole-file.js'
import type { DicomJob } from '../ports/dicom.js'
import type { DicomTask } from './dicom-tasks.js'

/** A line of `conversions.jsonl`: a case whose files are complete, and what they were made of. */
export interface ConversionLine {
  readonly case: string
  /** Digest of the slices. */
  readonly image: string
  /** Digest of the label object and its map; null without a label map. */
  readonly label: string | null
  readonly region: Region | null
  /** Voxels of each segment, by its number. */
  readonly voxels: Readonly<Record<string, number>>
  readonly notes: readonly string[]
}

export const CONVERSIONS = 'conversions.jsonl'

export function imageOf(id: string): string {
  return `imagesTr/${id}.nii.gz`
}

export function labelOf(id: string): string {
  return `labelsTr/${id}.nii.gz`
}

/** Remove the temporary files of an interrupted conversion. */
export async function sweepConversion(out: string): Promise<void> {
  await sweepUnfinished(out, ['work.', 'probe.', 'report.csv.', 'dataset.json.'])
  for (const folder of ['imagesTr', 'labelsTr']) await sweepUnfinished(join(out, folder))
}

/**
 * Return the cases of the output folder, by id: the last line of each whose image exists.
 * @throws UsageError if it holds label maps of another region
 */
export async function conversionsIn(
  out: string,
  region: Region | null,
): Promise<ReadonlyMap<string, ConversionLine>> {
  const cases = new Map<string, ConversionLine>()
  const log = join(out, CONVERSIONS)
  if (await exists(log))
    for await (const line of readJsonLog<ConversionLine>(log))
      if (await exists(join(out, imageOf(line.case)))) cases.set(line.case, line)
  const other = [...cases.values()].find(
    (line) => line.label !== null && region !== null && line.region !== region,
  )
  if (other === undefined) return cases
  throw new UsageError(`${out}: holds label maps of the ${other.region} (expected ${region})`, {
    hint: 'choose another --out, or pass the same --region',
  })
}

/** Return the work that a task still needs: files that the folder has are null. */
export async function jobOf(
  task: DicomTask,
  job: number,
  out: string,
  region: Region | null,
  line: ConversionLine | undefined,
): Promise<DicomJob> {
  const { id, object, ids, digests } = task
  const { paths, shape, lps, rescale, frames } = task.ct.volume!
  const hasImage = line?.image === digests.image
  const hasLabel = hasImage && line.label === digests.label && (await exists(join(out, labelOf(id))))
  return {
    job,
    paths,
    shape,
    lps,
    rescale,
    frames,
    image: hasImage ? null : join(out, imageOf(id)),
    labels:
      digests.label === null || hasLabel
        ? null
        : {
            path: object!.labels!.path,
            target: join(out, labelOf(id)),
            ids: Object.fromEntries(ids),
            order: paintingOrder(region!),
          },
  }
}

/** Create the folders of the cases, and remove label maps that no longer belong to their case. */
export async function makeCaseFolders(out: string, tasks: readonly DicomTask[]): Promise<void> {
  await makeWritableFolder(join(out, 'imagesTr'))
  if (tasks.some(({ digests }) => digests.label !== null)) await makeWritableFolder(join(out, 'labelsTr'))
  for (const { id, digests } of tasks)
    if (digests.label === null) await rm(join(out, labelOf(id)), { force: true })
}

/**
 * Write `dataset.json`: labelled cases are for training, the others have an image only. It states the patient of each case.
 * @returns number of cases in the folder
 */
export async function writeDatasetList(out: string, region: Region | null): Promise<number> {
  const cases = [...(await conversionsIn(out, region)).values()]
  const labelled = cases.filter(({ label }) => label !== null)
  const labels = labelled[0]?.region ?? region
  const entry = ({ case: id, label }: ConversionLine) => ({
    image: imageOf(id),
    ...(label !== null && { label: labelOf(id) }),
    patient: id.split('_')[0],
  })
  const list = {
    name: 'dicom',
    modality: { 0: 'CT' },
    ...(labels !== null && { labels: Object.fromEntries(LABEL_SCHEMES[labels].names.entries()) }),
    numTraining: labelled.length,
    training: labelled.map(entry),
    test: cases.filter(({ label }) => label === null).map(entry),
  }
  await writeWhole(join(out, 'dataset.json'), `${JSON.stringify(list, null, 2)}\n`)
  return cases.length
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
