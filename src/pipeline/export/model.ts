import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { publishedPreparation } from '../../config/preparation.js'
import { asRecord } from '../../foreign-text.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { writeWholeFolder } from '../../whole-file.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import { licencesOf, recordCommand } from '../checkpoint/licence.js'
import type { StageContext } from '../context.js'
import type { MergingOrder, WeightsLicence } from '../ports/checkpoint.js'
import type { ExportedFiles, ExportPreparation, ModelFormat } from '../ports/export.js'
import { refuseUnusable } from './folder.js'

export const MODEL_FORMATS: readonly ModelFormat[] = [
  'nnunet',
  'safetensors',
  'onnx',
  'monai-bundle',
  'torchscript',
]

export interface ExportModelOptions {
  readonly to: ModelFormat
  /** Folder to write; new or empty. */
  readonly out: string
  /** Patch-merging order of a file that does not state it. */
  readonly merging?: MergingOrder | undefined
  /** Set of weights of a file that holds several: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
  /** Region whose intensity window, spacing, patch and label names a file has that does not state them. */
  readonly region?: Region | undefined
}

export interface ModelExport extends Pick<ExportedFiles, 'kind' | 'tensors' | 'deviation'> {
  readonly to: ModelFormat
  readonly out: string
  /** The exported file, and its hash. */
  readonly checkpoint: string
  readonly sha256: string
  /** Licences of weights of other projects that it holds or builds on. */
  readonly licences: readonly WeightsLicence[]
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[]
}

/**
 * Write the weights of a run or file in another format, into a folder that is complete or missing.
 * @throws CheckpointError for a network that the format cannot hold; UsageError if the folder has content
 */
export async function exportModelOf(
  path: string,
  { to, out, merging, weights, region }: ExportModelOptions,
  { runtime, signal, note }: Pick<StageContext, 'runtime' | 'signal' | 'note'>,
): Promise<ModelExport> {
  const checkpoint = await checkpointFile(path)
  const target = resolve(out)
  await refuseUnusable(target)
  const facts = await runtime.inspect(checkpoint, { signal, weights })
  const { sha256 } = facts
  const licences = await licencesOf('segmentor', facts)
  for (const { file, licence } of licences)
    if (licence === null)
      note(`${file}: its licence is not stated; record it: ${recordCommand(file, [checkpoint])}`, 'warning')
  const stated = asRecord(facts.metadata)?.region ?? region ?? null
  const about = { writer: 'freetumor', checkpointSha256: sha256, region: stated, licences }
  const preparation = region === undefined ? null : preparationOfRegion(region)
  return await writeWholeFolder(target, async (folder) => {
    const spec = { checkpoint, to, out: folder, about, merging: merging ?? null, preparation }
    const { kind, tensors, deviation, files } = await runtime.exportWeights(spec, { signal, weights })
    const listed = Object.entries(files).map(async ([name, hash]) => {
      return { name, bytes: (await stat(join(folder, name))).size, sha256: hash }
    })
    if (to === 'onnx' && deviation === null)
      note('the ONNX network is not compared: onnxruntime is not installed', 'warning')
    const written = await Promise.all(listed)
    return { to, out: target, checkpoint, sha256, kind, tensors, deviation, licences, files: written }
  })
}

function preparationOfRegion(region: Region): ExportPreparation {
  return { ...publishedPreparation(region), region, labelNames: LABEL_SCHEMES[region].names }
}
