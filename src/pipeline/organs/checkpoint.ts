import { join } from 'node:path'
import { publishedPreparation } from '../../config/preparation.js'
import { mapByNames } from '../../curation/datasets/label-names.js'
import { UsageError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makeFolder, temporaryName } from '../../whole-file.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import type { StageContext } from '../context.js'
import type { PredictSpec } from '../ports/cases.js'
import type { ScanCase } from '../predict/cases.js'
import { type PredictInputs, predictSettingsOf } from '../predict/settings.js'
import { predictSpec } from '../predict/spec.js'
import { type PredictWeights, predictWeights } from '../predict/weights.js'
import type { OrganLabeller, RawOutcome } from './labeller.js'
import { idsOfMap, type LabelOrgansOptions, ownIds, type ToolIds } from './settings.js'

/**
 * Return a segmentor of our own kind, or of nnU-Net, that labels organs by the settings of `predict`.
 * @throws CheckpointError for a file without a complete segmentor, UsageError if the meaning of its outputs is not known
 */
export async function checkpointLabeller(
  file: string,
  options: LabelOrgansOptions,
  region: Region,
  context: StageContext,
): Promise<OrganLabeller> {
  const checkpoint = await checkpointFile(file)
  const inputs: PredictInputs = {
    images: options.images,
    out: options.out,
    checkpoint,
    device: options.device,
    processes: options.workers,
    patchMerging: options.patchMerging,
    weights: options.weights,
  }
  const weights = await predictWeights(
    [checkpoint],
    inputs,
    options.region === undefined ? {} : publishedPreparation(options.region),
    context,
  )
  const settings = predictSettingsOf(inputs, weights.windows)
  const sha256 = weights.members[0]!.sha256
  const { overlap, blend, mirrorAxes } = settings
  return {
    name: 'checkpoint',
    version: sha256,
    ids: options.map === undefined ? idsOfOutputs(weights, region) : idsOfMap(options.map, region),
    settings: { overlap, blend, mirrorAxes, patchMerging: weights.members[0]!.patchMerging },
    label: (scans, work) =>
      predictEach(predictSpec(inputs, settings, weights, work, scans), scans, work, context),
  }
}

/** Return the meaning of the outputs: by their names, else by their number as the published weights have it. */
function idsOfOutputs({ labelNames, outputs }: PredictWeights, region: Region): ToolIds {
  if (labelNames !== null) {
    const named = mapByNames(
      Object.fromEntries(labelNames.map((name, output) => [String(output), name])),
      region,
    )
    if (named !== null) return { map: named.map, kidneySides: named.kidneySides }
  }
  if (labelNames === null && outputs === LABEL_SCHEMES[region].names.length) return ownIds(region)
  throw new UsageError(
    `--with checkpoint: no organ of the ${region} among its ${outputs} outputs (${labelNames?.join(', ') ?? 'without names'})`,
    { hint: 'pass the meaning of its outputs with --map output:id,..., or another --region' },
  )
}

async function* predictEach(
  spec: PredictSpec,
  scans: readonly ScanCase[],
  work: string,
  { runtime, signal, logDirectory, note }: StageContext,
): AsyncIterable<RawOutcome> {
  const folder = temporaryName(join(work, 'masks'))
  await makeFolder(folder)
  const cases = scans.map(({ id, image }, at) => ({
    id,
    image,
    organMask: null,
    label: null,
    name: String(at),
  }))
  for await (const outcome of runtime.predict(
    { ...spec, directory: folder, cases },
    { signal, logDirectory, note },
  )) {
    if ('error' in outcome) {
      yield outcome
      continue
    }
    const { caseId, result } = outcome
    const { read, segment, write } = result.seconds
    yield {
      caseId,
      file: join(folder, Object.keys(result.files)[0]!),
      folder: join(folder, Object.keys(result.files)[0]!),
      seconds: { copy: 0, tool: read + segment + write },
      report: null,
    }
  }
}
