import { resolve } from 'node:path'
import { Argument, type Command, Option } from 'commander'
import { type Preparation, preparationOf, publishedPreparation } from '../../config/preparation.js'
import { REGIONS } from '../../config/schema.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { checkpointFile } from '../../pipeline/checkpoint/checkpoint-file.js'
import { differences } from '../../pipeline/checkpoint/differences.js'
import { checkpointHints } from '../../pipeline/checkpoint/hints.js'
import { licencesOf, recordLicence } from '../../pipeline/checkpoint/licence.js'
import type {
  CheckpointFacts,
  MergingOrder,
  NetworkFacts,
  WeightsLicence,
} from '../../pipeline/ports/checkpoint.js'
import { counted } from '../../plain-text.js'
import {
  type CheckpointCallOptions,
  type CheckpointFormat,
  convertFile,
  inspectFile,
  type ProbeResult,
  probeMerging,
} from '../../runtime/checkpoint.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { type AddCommand, outputOption, weightsOption, withExample } from '../program.js'

interface InspectOptions {
  readonly config?: string
  readonly set?: string[]
  readonly region?: (typeof REGIONS)[number]
  readonly probe?: string[]
  readonly windows: number
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly sha256?: string
  readonly weights?: string
  readonly output: OutputFormat
}

interface ConvertOptions {
  readonly to: CheckpointFormat
  readonly out: string
  readonly merging?: MergingOrder
  readonly weights?: string
  readonly output: OutputFormat
}

/** `freetumor checkpoint inspect|convert FILE` */
export const addCheckpointCommand: AddCommand = (program, io) => {
  const checkpoint = program
    .command('checkpoint')
    .description('Inspect checkpoint files without running their code, and convert them')

  withExample(
    checkpoint.command('inspect'),
    'freetumor checkpoint inspect TGAN.pt',
    'freetumor checkpoint inspect mine.pt --probe case.nii.gz case_labels.nii.gz --region abdomen',
  )
    .description('Print kind, networks, weights, patch-merging order, channel mode and hash')
    .addArgument(new Argument('<file>', 'checkpoint (.pt, .pth or .safetensors), a run, or an nnU-Net model'))
    .option('--config <file>', 'Compare the checkpoint with this run configuration')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .addOption(
      new Option(
        '--probe <image and labels...>',
        'Segment this case with each patch-merging order, and print the best',
      ),
    )
    .addOption(
      new Option(
        '--region <region>',
        'Set intensity window, spacing and patch of a checkpoint that does not state them',
      ).choices(REGIONS),
    )
    .option(
      '--windows <count>',
      'Set the number of sliding windows of the probe, those with most labels first',
      wholeNumber(1),
      4,
    )
    .addOption(
      new Option('--device <device>', 'Set the device of the probe')
        .choices(['auto', 'cpu', 'cuda'])
        .default('auto'),
    )
    .option('--sha256 <hash>', 'Refuse a checkpoint with another SHA-256')
    .addOption(weightsOption())
    .addOption(outputOption())
    .action(async (path: string, options: InspectOptions) => {
      const file = await checkpointFile(resolve(io.cwd, path))
      const probed = probedCase(options)
      const config = options.config ? await readConfig(io, options.config, options.set) : null
      const call = { python: config?.runtime.python, signal: io.signal, weights: options.weights }
      const facts = await inspectFile(file, call)
      refuseOtherHash(facts, options.sha256)
      const licences = await licencesOf('segmentor', facts)
      const { region, device } = options
      const preparation = region ? publishedPreparation(region) : config && preparationOf(config)
      const probe = probed && (await runProbe(io, file, probed, preparation, device, call))
      const hints = [...checkpointHints(facts, config), ...probeHints(probe)]
      printResult(
        io,
        'checkpoint inspect',
        options.output,
        { ...facts, licences, hints, ...(probe ? { probe } : {}) },
        () => describe({ ...facts, licences }, hints, probe),
      )
    })

  withExample(
    checkpoint.command('convert'),
    'freetumor checkpoint convert TGAN.pt --to safetensors --out TGAN.safetensors',
  )
    .description('Convert a checkpoint to another format, with its metadata')
    .addArgument(new Argument('<file>', 'checkpoint (.pt, .pth or .safetensors), a run, or an nnU-Net model'))
    .addOption(
      new Option('--to <format>', 'Set the format to write')
        .choices(['safetensors', 'pt'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <file>', 'Set the file to write')
    .addOption(
      new Option(
        '--merging <order>',
        'Set the patch-merging order of a checkpoint that does not state it',
      ).choices(['legacy', 'corrected', 'v2']),
    )
    .addOption(weightsOption())
    .addOption(outputOption())
    .action(async (path: string, options: ConvertOptions) => {
      const { to, out, merging = null, weights, output } = options
      const file = await checkpointFile(resolve(io.cwd, path))
      const converted = await convertFile(file, to, out, merging, { signal: io.signal, weights })
      printResult(io, 'checkpoint convert', output, converted, () => [
        `${converted.path}: ${counted(converted.tensors, 'tensor')}`,
        `sha256 ${converted.sha256}`,
      ])
    })

  addLicence(checkpoint, io)
}

/** `freetumor checkpoint licence FILE NAME` */
function addLicence(checkpoint: Command, io: CliIo): void {
  withExample(checkpoint.command('licence'), 'freetumor checkpoint licence TGAN.pt CC-BY-NC-4.0')
    .description('Write the licence of weights of another project, once for all commands')
    .argument('<file>', 'checkpoint (.pt, .pth or .safetensors), a run, or an nnU-Net model')
    .argument('<name>', 'name of the licence, such as CC-BY-NC-4.0')
    .addOption(outputOption())
    .action(async (path: string, name: string, { output }: { readonly output: OutputFormat }) => {
      const file = await checkpointFile(resolve(io.cwd, path))
      const recorded = await recordLicence(await inspectFile(file, { signal: io.signal }), name)
      printResult(io, 'checkpoint licence', output, recorded, () => [`recorded in ${recorded.file}`])
    })
}

interface ProbedCase {
  readonly image: string
  readonly labels: string
  readonly windows: number
}

function probedCase({ probe, windows }: InspectOptions): ProbedCase | null {
  if (!probe) return null
  const [image, labels] = probe
  if (image === undefined || labels === undefined || probe.length > 2)
    throw new UsageError(`--probe: wrong number of files (expected 2, found ${probe.length})`, {
      hint: 'write checkpoint inspect FILE --probe IMAGE LABELS',
    })
  return { image, labels, windows }
}

function refuseOtherHash(facts: CheckpointFacts, wanted: string | undefined): void {
  if (wanted !== undefined && wanted.toLowerCase() !== facts.sha256)
    throw new CheckpointError(`${facts.path}: wrong SHA-256 (expected ${wanted}, found ${facts.sha256})`, {
      hint: 'download the file again, or correct --sha256',
    })
}

async function runProbe(
  io: CliIo,
  file: string,
  { image, labels, windows }: ProbedCase,
  preparation: Preparation | null,
  device: InspectOptions['device'],
  call: CheckpointCallOptions,
): Promise<ProbeResult> {
  io.note('probing: three networks, one for each patch-merging order')
  const { windowHu = null, spacingMm = null, patchVoxels = null } = preparation ?? {}
  return await probeMerging(file, image, labels, { windowHu, spacingMm, patchVoxels, windows, device }, call)
}

function describe(
  facts: CheckpointFacts & { readonly licences: readonly WeightsLicence[] },
  hints: readonly string[],
  probe: ProbeResult | null,
): string[] {
  const { patchMerging, channelMode, tensors } = facts
  const rows: [string, string][] = [
    ['kind', facts.kind],
    ...facts.networks.flatMap(describeNetwork),
    [
      'tensors',
      `${tensors.count}, ${(tensors.bytes / 1e6).toFixed(1)} MB, ${Object.keys(tensors.dtypes).join(', ')}`,
    ],
    [
      'patch merging',
      patchMerging.order
        ? marked(patchMerging.order, patchMerging.assumed)
        : patchMerging.needed
          ? 'not stated'
          : 'none',
    ],
    ...(channelMode.mode
      ? [['channel', marked(channelMode.mode, channelMode.assumed)] satisfies [string, string]]
      : []),
    ...describeModel(facts),
    ...describeReading(facts),
    ...(facts.epoch === null ? [] : [['epoch', String(facts.epoch)] satisfies [string, string]]),
    ...facts.licences.map(({ file, licence }): [string, string] => [
      'licence',
      `${licence ?? 'not stated'} (${file})`,
    ]),
    ['sha256', facts.sha256],
    ...(probe ? describeProbe(probe) : []),
    ...hints.map((hint): [string, string] => ['hint', hint]),
  ]
  return [facts.path, ...rows.map(([key, value]) => `  ${key.padEnd(14)} ${value}`)]
}

/** Return rows for the plans of an nnU-Net model; none for a file. */
function describeModel({ format, metadata, training }: CheckpointFacts): [string, string][] {
  if (format !== 'nnunet' || metadata === null) return []
  const along = (key: string): string => (metadata[key] as readonly number[]).join(' x ')
  return [
    ['model', `${training.configuration} of ${training.trainer}, ${metadata.normalization}`],
    ['labels', (metadata.labelNames as readonly string[]).join(', ')],
    ['grid', `${along('spacingMm')} mm, patch ${along('patchVoxels')} voxels along the axes of a scan`],
  ]
}

/** Return rows for the keys, prefixes and entries around the tensors. */
function describeReading({ wrapper, prefixes, renamed, skipped }: CheckpointFacts): [string, string][] {
  const names = Object.entries(renamed).map(([old, name]) => `${old} as ${name}`)
  const rows: [string, readonly string[]][] = [
    ['weights under', wrapper === null ? [] : [wrapper]],
    ['dropped prefix', prefixes],
    ['read', names],
    ['skipped', skipped],
  ]
  return rows.flatMap(([name, values]) => (values.length === 0 ? [] : [[name, values.join(', ')]]))
}

function describeNetwork(network: NetworkFacts): [string, string][] {
  const { architecture, family, width, outputs, tumorOutputs } = network
  const { matched, missing, unexpected, otherShapes } = network
  const what =
    architecture === null
      ? (family ?? 'unknown')
      : `${architecture}, width ${width}, ${outputs ?? 'no'} outputs`
  const tumors = tumorOutputs ? ` (tumors ${tumorOutputs.join(', ')})` : ''
  const shapes = otherShapes.length > 0 ? `, ${otherShapes.length} of another shape` : ''
  const counts = `${counted(matched, 'key')} matched, ${missing} missing, ${unexpected} unexpected${shapes}`
  const lists = architecture === null ? [] : differences(network).slice(network.causes.length)
  return [[network.name, `${what}${tumors}; ${counts}`], ...lists.map((list): [string, string] => ['', list])]
}

function describeProbe(probe: ProbeResult): [string, string][] {
  const orders = probe.orders.map(({ order, mean, dice }): [string, string] => {
    const classes = Object.entries(dice).map(([id, value]) => `${id}: ${value.toFixed(3)}`)
    return [`order ${order}`, `mean Dice ${mean.toFixed(4)} (${classes.join(', ')})`]
  })
  const verdict = probe.best
    ? `${probe.best} is best`
    : 'no order is best: probe with a case that the network was trained for'
  return [...orders, ['probe', `${verdict}, in ${counted(probe.windows, 'window')}`]]
}

function probeHints(probe: ProbeResult | null): string[] {
  if (!probe?.best) return []
  return [
    `pass --merging ${probe.best} with this checkpoint, or record it: checkpoint convert FILE --merging ${probe.best} --to pt --out NEW`,
  ]
}

function marked(value: string, assumed: boolean): string {
  return assumed ? `${value} (assumed)` : value
}
