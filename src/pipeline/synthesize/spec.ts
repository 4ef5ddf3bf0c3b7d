import { MEASURES, wantsAlreadySeen } from '../../quality/policy.js'
import { threadsOf } from '../../usable-processors.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { pluginSpec } from '../checkpoint/plugin.js'
import type { SynthesizeSpec } from '../ports/synthesis.js'
import type { CaseToPrepare } from '../prepare/run.js'
import { writtenLabels } from './dataset.js'
import type { SynthesisSettings } from './settings.js'

interface SpecParts {
  readonly out: string
  readonly hosts: readonly CaseToPrepare[]
  readonly prepared: readonly { readonly id: string; readonly path: string; readonly content: string }[]
  /** File name of each case, without its ending. */
  readonly names: ReadonlyMap<string, string>
  readonly weights: { readonly baseline: string | null; readonly generator: string | null }
  readonly textureDirectory: string
  /** Ids of the hosts with pictures. */
  readonly pictured: ReadonlySet<string>
  readonly mark: SynthesizeSpec['mark']
}

/** Return the complete settings of an offline synthesis, as Python receives them. */
export function synthesizeSpec(settings: SynthesisSettings, parts: SpecParts): SynthesizeSpec {
  const { region, quality, synthesize, simulation, evaluation, runtime, report } = settings
  const scheme = LABEL_SCHEMES[region]
  const byId = new Map(parts.hosts.map((host) => [host.id, host]))
  const { generator, baseline } = parts.weights
  const plugins = {
    generator: pluginSpec(settings.generator?.plugin),
    baseline: pluginSpec(settings.baseline?.plugin),
  }
  const written = writtenLabels(settings)
  return {
    job: 'synthesize',
    directory: parts.out,
    layout: synthesize.layout,
    region,
    numIds: scheme.names.length,
    labelIds: written.map,
    ignoredId: written.ignoredId,
    organs: scheme.organs,
    windowHu: settings.prepare.windowHu,
    spacingMm: settings.prepare.spacingMm,
    patchVoxels: settings.patchVoxels,
    generator:
      generator === null && plugins.generator === null
        ? null
        : {
            checkpoint: generator,
            channel: settings.generatorChannel,
            weights: settings.generator?.weights ?? null,
            plugin: plugins.generator,
          },
    generatorWindows: { overlap: synthesize.overlap, windowBatch: synthesize.windowBatch },
    tumorsPerCase: synthesize.variants * synthesize.tumorsPerVariant,
    baseline:
      baseline === null && plugins.baseline === null
        ? null
        : {
            checkpoint: baseline,
            patchMerging: settings.baselineMerging,
            weights: settings.baseline?.weights ?? null,
            plugin: plugins.baseline,
          },
    judgeOverlap: evaluation.overlap,
    judgeWindowBatch: evaluation.windowBatch,
    measureAlreadySeen: wantsAlreadySeen(quality),
    // all measures, for every policy: a sweep can then apply other rules to the ledger
    measures: MEASURES,
    textureSizeVoxels: simulation.texture.sizeVoxels,
    textureDirectory: parts.textureDirectory,
    textureSeed: settings.seed,
    pictures: report.pictures,
    device: runtime.device,
    processesPerNode: runtime.processesPerNode,
    threadsPerProcess: threadsOf(runtime).threads,
    mark: parts.mark,
    cases: parts.prepared.map(({ id, path, content }) => {
      const { image, label, labelMap } = byId.get(id)!
      return {
        id,
        name: parts.names.get(id)!,
        image,
        label: label!,
        labelMap,
        prepared: path,
        contentSha256: content,
        pictured: parts.pictured.has(id),
      }
    }),
  }
}
