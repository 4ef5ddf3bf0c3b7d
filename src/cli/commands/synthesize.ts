import { join, resolve } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { withOverrides } from '../../config/load.js'
import { resolveConfig } from '../../config/resolve.js'
import { ORGAN_NAMES, REGIONS, type RunConfig } from '../../config/schema.js'
import { pairCases } from '../../curation/datasets/pairs.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { parseMap } from '../../curation/datasets/remap.js'
import { EXIT, UsageError } from '../../errors.js'
import type { CheckpointFacts } from '../../pipeline/ports/checkpoint.js'
import type { Synthesis } from '../../pipeline/synthesize/dataset.js'
import { type SynthesisProgress, synthesizeCases } from '../../pipeline/synthesize/run.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly config?: string
  readonly set?: string[]
  readonly generator?: string
  readonly baseline?: string
  readonly images?: string
  readonly labels?: string
  readonly labelMap?: string
  readonly out: string
  readonly region?: Region | 'specialist'
  readonly organs?: readonly OrganName[]
  readonly variants?: number
  readonly tumors?: number
  readonly seed?: number
  readonly channel?: 'organ' | 'shared'
  readonly merging?: 'legacy' | 'corrected' | 'v2'
  readonly layout?: 'plain' | 'nnunet'
  readonly processes?: number
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor synthesize`: a synthetic data set on disk. */
export const addSynthesizeCommand: AddCommand = (program, io) => {
  withExample(
    program.command('synthesize'),
    'freetumor synthesize --generator model.pt --baseline baseline.pt --images scans --labels organs --out synthetic --variants 5',
    'freetumor synthesize --config abdomen-segmentation.yaml --out synthetic',
  )
    .description(
      'paints tumors into whole scans and writes those that pass: images, labels, change masks, ledger',
    )
    .requiredOption('--out <dir>', 'folder of the synthetic data set; one that was stopped is gone on with')
    .option('--config <file>', 'run configuration: hosts, networks, sizes, quality')
    .option('--set <key=value...>', 'lay values over the file, or over the published settings')
    .option('--generator <file>', 'weights of a tumor generator; without it the difference is hand-crafted')
    .option(
      '--baseline <file>',
      'weights of the segmentor that judges; without it every tumor that fits is kept',
    )
    .option('--images <dir>', 'folder of scans, instead of the data of a configuration')
    .option('--labels <dir>', 'folder of their organ labels, under the same names')
    .option('--label-map <map>', 'ids of those labels: a preset of `freetumor data remap`, or from:to,...')
    .addOption(
      new Option(
        '--region <region>',
        'where the files do not say it; specialist: the one organ of --organs, ids 0 background, 1 organ, 2 tumor',
      ).choices([...REGIONS, 'specialist']),
    )
    .option(
      '--organs <names>',
      'organs that get tumors, separated by commas (default: all of the region)',
      organList,
    )
    .option('--variants <n>', 'synthetic scans of each host', wholeNumber(1))
    .option('--tumors <n>', 'tumors of each synthetic scan', wholeNumber(1))
    .option('--seed <n>', 'another seed, other tumors', wholeNumber(0))
    .addOption(
      new Option('--channel <mode>', "the generator's output for an organ").choices(['organ', 'shared']),
    )
    .addOption(
      new Option(
        '--merging <order>',
        'patch-merging order of the baseline where its file does not say it',
      ).choices(['legacy', 'corrected', 'v2']),
    )
    .addOption(new Option('--layout <layout>', 'nnunet adds _0000 to images').choices(['plain', 'nnunet']))
    .option('--processes <n>', 'processes (or GPUs) that share the cases', wholeNumber(1))
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options) => {
      const result = await withLogFolder(io, torchRuntime(), async (context) => {
        const inspect = (path: string): Promise<CheckpointFacts> =>
          context.runtime.inspect(path, { signal: io.signal })
        const config = await configOf(options, io, inspect)
        const { images, labels, labelMap } = options
        const map = labelMap === undefined ? specialistMap(config) : parseMap(labelMap, config.region)
        const hosts =
          images === undefined
            ? undefined
            : await pairCases(resolve(io.cwd, images), resolve(io.cwd, labels!), config.region, map)
        return await synthesizeCases(
          {
            config,
            out: resolve(io.cwd, options.out),
            hosts,
            channel: options.channel ?? (options.config === undefined ? null : undefined),
            onProgress: (progress) => {
              if (options.output === 'ndjson') io.print(JSON.stringify(progress))
              else tell(io, progress)
            },
          },
          context,
        )
      })
      for (const { caseId, error } of result.failed) io.note(`failed ${caseId}: ${error.message}`)
      if (options.output !== 'ndjson') printResult(io, options.output, result, () => inWords(result))
      if (result.failed.length > 0) io.exitWith(EXIT.data)
    })
}

type Inspect = (path: string) => Promise<CheckpointFacts>

/** The file with the flags over it; or a configuration made of the flags and of what the weights say of themselves. */
async function configOf(options: Options, io: CliIo, inspect: Inspect): Promise<RunConfig> {
  if ((options.images === undefined) !== (options.labels === undefined))
    throw new UsageError('--images and --labels go together')
  if (options.config === undefined && options.images === undefined)
    throw new UsageError('synthesize needs --config FILE, or --images DIR and --labels DIR')
  const base =
    options.config === undefined
      ? await configOfWeights(options, io, inspect)
      : await readConfig(io, options.config, options.set)
  return resolveConfig(withFlags(base, options, io))
}

/** What an untold checkpoint needs to be told, see `freetumor predict`, too. */
const PREPARATION = ['windowHu', 'spacingMm', 'patchVoxels'] as const

async function configOfWeights(options: Options, io: CliIo, inspect: Inspect): Promise<RunConfig> {
  const files = [options.generator, options.baseline].filter((file) => file !== undefined)
  const facts = await Promise.all(files.map((file) => inspect(resolve(io.cwd, file))))
  const told = facts.map(({ metadata }) => metadata)
  const channel =
    options.generator === undefined ? null : (options.channel ?? facts[0]!.channelMode.mode ?? 'shared')
  const region =
    bodyRegion(options) ?? (told.find((metadata) => metadata?.region)?.region as Region | undefined)
  if (region === undefined)
    throw new UsageError(
      files.length === 0
        ? 'without weights nothing says what region this is'
        : `${files.join(' and ')} do not say their region, window, spacing and patch`,
      { hint: 'give --region abdomen or --region chest, or --config FILE' },
    )
  const [windowHu, spacingMm, patchVoxels] = PREPARATION.map((key) => told.find((one) => one?.[key])?.[key])
  const input = {
    job: 'segmentation',
    name: 'synthesis',
    region,
    data: { datasets: [{ name: 'hosts', role: 'host' }] },
    prepare: {
      cache: join(resolve(io.cwd, options.out), '.cache'),
      ...(windowHu ? { windowHu: windowHu as [number, number] } : {}),
      ...(spacingMm ? { spacingMm: spacingMm as [number, number, number] } : {}),
    },
    // as published, see `simulation.texture.count`
    ...(region === 'abdomen' && channel === 'shared' ? { simulation: { texture: { count: 1 } } } : {}),
    ...(patchVoxels ? { sampling: { patchVoxels: patchVoxels as [number, number, number] } } : {}),
    // no segmentor is trained: a kind that any patch suits
    networks: { segmentor: { kind: 'small', levels: 1 }, baseline: null, generator: null },
    training: { target: 'all' },
  }
  return resolveConfig(withOverrides(input, options.set ?? []))
}

/** Of the organ, where it is a specialist's; none is refused by `withFlags`. */
function bodyRegion({ region, organs }: Options): Region | undefined {
  if (region !== 'specialist') return region
  return organs?.[0] === 'lung' ? 'chest' : 'abdomen'
}

/** A specialist's labels have its own ids, unless a map is declared. */
function specialistMap({ region, synthesize }: RunConfig): LabelIdMap | undefined {
  const organ = LABEL_SCHEMES[region].organs.find(({ name }) => name === synthesize.specialist)
  return organ && { '0': 0, '1': organ.label, '2': organ.tumorLabel }
}

function withFlags(config: RunConfig, options: Options, io: CliIo): RunConfig {
  const organs = options.organs ?? []
  const named = (file: string | undefined) => (file === undefined ? undefined : resolve(io.cwd, file))
  if (options.region === 'specialist' && organs.length !== 1)
    throw new UsageError('--region specialist needs the one organ that it is of', {
      hint: 'give --organs NAME',
    })
  const { generator, baseline } = config.networks
  const [generatorFile, baselineFile] = [named(options.generator), named(options.baseline)]
  const known = LABEL_SCHEMES[config.region].organs.map(({ name }) => name)
  const strange = organs.filter((name) => !known.includes(name))
  if (strange.length > 0)
    throw new UsageError(`--organs: ${strange.join(', ')} is not of the ${config.region}`, {
      hint: `organs of the ${config.region}: ${known.join(', ')}`,
    })
  const { weights, synthesize, runtime } = {
    weights: Object.fromEntries(organs.map((name) => [name, config.simulation.organWeights[name] || 1])),
    synthesize: {
      ...config.synthesize,
      ...(options.variants === undefined ? {} : { variants: options.variants }),
      ...(options.tumors === undefined ? {} : { tumorsPerVariant: options.tumors }),
      ...(options.layout === undefined ? {} : { layout: options.layout }),
      ...(options.region === 'specialist' ? { specialist: organs[0]! } : {}),
    },
    runtime: {
      ...config.runtime,
      ...(options.processes === undefined ? {} : { processesPerNode: options.processes }),
    },
  }
  return {
    ...config,
    seed: options.seed ?? config.seed,
    synthesize,
    runtime,
    // offline synthesis has no steps: the number only has to fit the processes
    sampling: {
      ...config.sampling,
      itemsPerStep: runtime.nodes * runtime.processesPerNode * config.training.accumulation,
    },
    simulation: {
      ...config.simulation,
      organWeights: organs.length === 0 ? config.simulation.organWeights : weights,
    },
    networks: {
      ...config.networks,
      generator:
        generatorFile === undefined
          ? generator && { ...generator, channel: options.channel ?? generator.channel }
          : {
              baseChannels: generator?.baseChannels ?? 32,
              checkpoint: generatorFile,
              trainFrom: null,
              activationCheckpointing: false,
              channel: options.channel ?? generator?.channel ?? 'shared',
            },
      baseline:
        baselineFile === undefined
          ? baseline && { ...baseline, patchMerging: options.merging ?? baseline.patchMerging }
          : { checkpoint: baselineFile, trainFrom: null, patchMerging: options.merging ?? null },
    },
  }
}

function tell(io: CliIo, progress: SynthesisProgress): void {
  const { done, total, caseId, variant, kept, tried, secondsPerVariant } = progress
  const pace =
    secondsPerVariant === null
      ? ''
      : `  ${secondsPerVariant.toFixed(1)} s a variant, ${Math.round(secondsPerVariant * (total - done))} s left`
  io.note(`${done}/${total}  ${caseId} variant ${variant}  kept ${kept} of ${tried} tumors${pace}`)
}

function inWords({ directory, hosts, scans, tumors, failed }: Synthesis): string[] {
  return [
    `${scans} synthetic scans of ${hosts} hosts in ${directory}: ${tumors.kept} tumors kept of ${tumors.tried}, ${tumors.noRoom} without room`,
    ...(failed.length > 0 ? [`${failed.length} hosts failed`] : []),
    `ledger.jsonl tells of every tumor, report.html shows them`,
  ]
}

function organList(text: string): OrganName[] {
  const names = text.split(',').map((name) => name.trim())
  const unknown = names.filter((name) => !(ORGAN_NAMES as readonly string[]).includes(name))
  if (unknown.length > 0)
    throw new InvalidArgumentError(`${unknown.join(', ')} is no organ; ${ORGAN_NAMES.join(', ')} are.`)
  return names as OrganName[]
}
