import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { RunConfig } from '../../config/schema.js'
import { caseFileNames } from '../../curation/case-file-names.js'
import { curate } from '../../curation/datasets/curate.js'
import { ConfigError, DataError, UsageError } from '../../errors.js'
import { asRecord, parseForeignJson } from '../../foreign-text.js'
import { openJsonLog } from '../../jsonl.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { MEASURES, wantsAlreadySeen } from '../../quality/policy.js'
import type { WeightedOrgan } from '../../sampling/sampling-plan.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { makeFolder, sweepUnfinished, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import type { SynthesizeSpec } from '../ports/synthesis.js'
import { type CaseToPrepare, prepareListed } from '../prepare/run.js'
import { startTraining } from '../train/run.js'
import { earlierWeights } from '../train/weights.js'
import { concludeSynthesis, type Synthesis, variantKey, wholeVariants, writtenLabels } from './dataset.js'
import { openVariantFeed } from './feed.js'

export interface SynthesizeOptions {
  /** `data` names the hosts, `synthesize`, `simulation` and `quality` say what is made of them. */
  readonly config: RunConfig
  readonly out: string
  /** Hosts instead of those of `config.data`. */
  readonly hosts?: readonly CaseToPrepare[] | undefined
  /** Null: what the generator's file says. */
  readonly channel?: 'organ' | 'shared' | null | undefined
  readonly onProgress?: ((progress: SynthesisProgress) => void) | undefined
}

export interface SynthesisProgress {
  /** Variants done, of this start and of earlier ones. */
  readonly done: number
  /** Of this start alone. */
  readonly doneHere: number
  readonly total: number
  readonly caseId: string
  readonly variant: number
  readonly kept: number
  readonly tried: number
  /** Of this variant: `read`, `plan`, `render`, `judge`, `write`. */
  readonly seconds: Readonly<Record<string, number>>
  /** Of the process that made it, in MB: with its networks loaded, and at most so far. */
  readonly memoryMb?: { readonly loaded: number; readonly peak: number } | undefined
  /** Wall time that a variant takes all processes together; null before the second. What is made once is left out. */
  readonly secondsPerVariant: number | null
}

/**
 * Writes a synthetic data set: each host with tumors painted in, as often as there are variants, on its own grid. Goes on
 * where an earlier start of the same settings was stopped.
 * @throws ConfigError, DataError, UsageError for what cannot be started; a case that fails is in the result
 */
export async function synthesizeCases(options: SynthesizeOptions, context: StageContext): Promise<Synthesis> {
  const config = forSpecialist(options.config)
  const out = resolve(options.out)
  const weights = await earlierWeights(asPainting(config), context, startTraining)
  const hashes = {
    generator: await hashOf(weights.generator, context),
    baseline: await hashOf(weights.baseline, context),
  }
  await makeFolder(out)
  await using _lock = await context.runtime.lock(out, WRITING)
  await refuseOtherSettings(out, config, options.channel, hashes)
  for (const folder of ['imagesTr', 'labelsTr', 'changeTr']) await makeFolder(join(out, folder))
  for (const folder of ['', 'imagesTr', 'labelsTr', 'changeTr', 'pictures'])
    await sweepUnfinished(join(out, folder))
  const hosts = options.hosts ?? (await hostsOf(config, context))
  const names = caseFileNames(hosts.map(({ id }) => id))
  const prepared = await prepareListed(config, hosts, context)
  const failed = [...prepared.failed]
  const textureDirectory = join(resolve(config.prepare.cache), 'textures')
  await makeFolder(textureDirectory)
  const spec = synthesizeSpec(
    { ...options, config },
    {
      out,
      hosts,
      prepared: prepared.cases,
      names,
      weights,
      textureDirectory,
    },
  )

  const pace = openPace()
  const ledger = join(out, 'ledger.jsonl')
  const done = await wholeVariants(ledger, out)
  const counts = {
    done: done.size,
    doneHere: 0,
    total: prepared.cases.length * config.synthesize.variants,
    kept: 0,
    tried: 0,
  }
  {
    await using log = await openJsonLog<SynthesisLine>(ledger, { keep: (line) => done.has(variantKey(line)) })
    const feed = openVariantFeed({
      config,
      hosts: prepared.cases.map(({ id, path }) => ({ id, prepared: path })),
      organs: wantedOrgans(config),
      hasBaseline: weights.baseline !== null,
      checkpoints: hashes,
      isDone: (caseId, variant) => done.has(variantKey({ case: caseId, variant })),
      onVariant: (lines, result) => {
        for (const line of lines) log.write(line)
        counts.done++
        counts.doneHere++
        counts.kept += lines.filter(({ verdict }) => verdict === 'accepted').length
        counts.tried += lines.filter(({ verdict }) => verdict !== 'noRoom').length
        const { case: caseId, variant } = lines[0]!
        const { seconds, memoryMb } = result
        const secondsPerVariant = pace(counts.doneHere)
        options.onProgress?.({ ...counts, caseId, variant, seconds, memoryMb, secondsPerVariant })
      },
      onFailure: (caseId, error) => failed.push({ caseId, error }),
    })
    const { signal, logDirectory, note } = context
    if (counts.done < counts.total)
      await context.runtime.synthesize(spec, feed, { signal, logDirectory, note })
  }
  return await concludeSynthesis(out, config, hosts, failed)
}

/** Seconds each from the first variant on: before it come networks and textures. */
function openPace(): (done: number) => number | null {
  let first: number | null = null
  return (done) => {
    first ??= performance.now()
    return done < 2 ? null : (performance.now() - first) / 1000 / (done - 1)
  }
}

interface SpecParts {
  readonly out: string
  readonly hosts: readonly CaseToPrepare[]
  readonly prepared: readonly { readonly id: string; readonly path: string }[]
  readonly names: ReadonlyMap<string, string>
  readonly weights: { readonly baseline: string | null; readonly generator: string | null }
  readonly textureDirectory: string
}

function synthesizeSpec({ config, channel }: SynthesizeOptions, parts: SpecParts): SynthesizeSpec {
  const { quality, synthesize, simulation, networks, evaluation, runtime, report } = config
  const scheme = LABEL_SCHEMES[config.region]
  const byId = new Map(parts.hosts.map((host) => [host.id, host]))
  const { generator, baseline } = parts.weights
  return {
    job: 'synthesize',
    directory: parts.out,
    layout: synthesize.layout,
    region: config.region,
    numIds: scheme.names.length,
    labelIds: writtenLabels(config).map,
    organs: scheme.organs,
    windowHu: config.prepare.windowHu,
    spacingMm: config.prepare.spacingMm,
    patchVoxels: config.sampling.patchVoxels,
    generator:
      generator === null
        ? null
        : { checkpoint: generator, channel: channel === undefined ? networks.generator!.channel : channel },
    generatorWindows: { overlap: synthesize.overlap, windowBatch: synthesize.windowBatch },
    baseline:
      baseline === null
        ? null
        : { checkpoint: baseline, patchMerging: networks.baseline?.patchMerging ?? null },
    judgeOverlap: evaluation.overlap,
    judgeWindowBatch: evaluation.windowBatch,
    measureAlreadySeen: wantsAlreadySeen(quality),
    // each of them, whatever the rules: then other rules can be tried on the ledger
    measures: MEASURES,
    textureSizeVoxels: simulation.texture.sizeVoxels,
    textureDirectory: parts.textureDirectory,
    textureSeed: config.seed,
    pictures: report.pictures,
    device: runtime.device,
    processesPerNode: runtime.processesPerNode,
    threadsPerProcess: runtime.threadsPerProcess,
    cases: parts.prepared.map(({ id, path }, at) => {
      const { image, label, labelMap } = byId.get(id)!
      const name = parts.names.get(id)!
      return {
        id,
        name,
        image,
        label: label!,
        labelMap,
        prepared: path,
        pictured: at < report.pictures,
      }
    }),
  }
}

/** Everything that is listed but tests, if it has a label. */
async function hostsOf(config: RunConfig, context: StageContext): Promise<readonly CaseToPrepare[]> {
  const { cases, missing } = await curate(config.data, config.region)
  for (const { dataset, count, example } of missing)
    context.note(`${dataset}: ${count} listed files do not exist, first ${example}`, 'warning')
  const hosts = cases.filter(({ split, label }) => split !== 'test' && label !== null)
  if (hosts.length === 0)
    throw new DataError('no host: no data set lists a case with a label outside its test part', {
      hint: 'offline synthesis needs organ labels; `freetumor data list` and `freetumor data check` tell more',
    })
  return hosts
}

/** Tumors in the specialist's organ alone. */
function forSpecialist(config: RunConfig): RunConfig {
  const { specialist } = config.synthesize
  if (specialist === null) return config
  const known = LABEL_SCHEMES[config.region].organs.map(({ name }) => name)
  if (!known.includes(specialist))
    throw new ConfigError(`synthesize.specialist: ${specialist} is not of the ${config.region}`, {
      hint: `organs of the ${config.region}: ${known.join(', ')}`,
    })
  const organWeights = { [specialist]: config.simulation.organWeights[specialist] || 1 }
  return { ...config, simulation: { ...config.simulation, organWeights } }
}

/** The networks are those of segmentation training with online synthesis, whatever job the file is of. */
function asPainting(config: RunConfig): RunConfig {
  return { ...config, job: 'segmentation', training: { ...config.training, target: 'all', task: 'freesyn' } }
}

async function hashOf(checkpoint: string | null, context: StageContext): Promise<string | null> {
  if (checkpoint === null) return null
  return (await context.runtime.inspect(checkpoint, { signal: context.signal })).sha256
}

function wantedOrgans(config: RunConfig): WeightedOrgan[] {
  const wanted = LABEL_SCHEMES[config.region].organs.flatMap((organ) => {
    const weight = config.simulation.organWeights[organ.name] ?? 0
    return weight > 0 ? [{ ...organ, weight }] : []
  })
  if (wanted.length === 0)
    throw new ConfigError('simulation.organWeights: no organ of the region has a weight above 0', {
      hint: `give one of ${LABEL_SCHEMES[config.region].organs.map(({ name }) => name).join(', ')} a weight`,
    })
  return wanted
}

/** A folder holds the results of one set of settings; more variants of the same may be added. */
async function refuseOtherSettings(
  out: string,
  config: RunConfig,
  channel: SynthesizeOptions['channel'],
  checkpoints: SynthesisLine['checkpoints'],
): Promise<void> {
  const { seed, region, prepare, simulation, quality, synthesize, sampling, evaluation } = config
  const settings = {
    seed,
    region,
    spacingMm: prepare.spacingMm,
    windowHu: prepare.windowHu,
    patchVoxels: sampling.patchVoxels,
    simulation,
    quality,
    synthesize: { ...synthesize, variants: undefined },
    judgeOverlap: evaluation.overlap,
    channel: channel === undefined ? (config.networks.generator?.channel ?? null) : channel,
    checkpoints,
  }
  const path = join(out, 'synthesis.json')
  const text = `${JSON.stringify(settings, null, 2)}\n`
  const before = await readFile(path, 'utf8').catch(() => null)
  if (before === null) await writeWhole(path, text)
  else if (before !== text)
    throw new UsageError(`${out} holds a synthesis with other settings: ${differences(before, text)}`, {
      hint: 'choose another --out, or remove the folder',
    })
}

function differences(before: string, after: string): string {
  const [old, now] = [before, after].map(settingsIn)
  if (old === null || now === null) return 'its synthesis.json is damaged'
  return Object.keys(now!)
    .filter((key) => JSON.stringify(old![key]) !== JSON.stringify(now![key]))
    .join(', ')
}

function settingsIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return asRecord(parseForeignJson(text, 'synthesis.json')) ?? null
  } catch {
    return null
  }
}
