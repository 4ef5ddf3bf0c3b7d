import { Argument, Option } from 'commander'
import { type Preparation, preparationOf, publishedPreparation } from '../../config/preparation.js'
import { REGIONS } from '../../config/schema.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { checkpointHints } from '../../pipeline/checkpoint/hints.js'
import type { CheckpointFacts, NetworkFacts } from '../../pipeline/ports/checkpoint.js'
import {
  type CheckpointFormat,
  convertFile,
  inspectFile,
  type MergingOrder,
  type ProbeResult,
  probeMerging,
} from '../../runtime/checkpoint.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface InspectOptions {
  readonly config?: string
  readonly set?: string[]
  readonly region?: (typeof REGIONS)[number]
  readonly probe?: string[]
  readonly windows: number
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly sha256?: string
  readonly output: OutputFormat
}

interface ConvertOptions {
  readonly to: CheckpointFormat
  readonly out: string
  readonly merging?: MergingOrder
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
    .description('Print kind, networks, keys, patch-merging order, channel mode and hash')
    .addArgument(new Argument('<file>', 'a .pt, .pth or .safetensors file'))
    .option('--config <file>', 'Compare the file with a run configuration')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .addOption(
      new Option(
        '--probe <image and labels...>',
        'Run the segmentor on this case to find its patch-merging order',
      ),
    )
    .addOption(
      new Option(
        '--region <region>',
        'Set intensity window, spacing and patch of the probe if the file states none',
      ).choices(REGIONS),
    )
    .option(
      '--windows <count>',
      'Set the windows of the probe; those with most labels come first',
      wholeNumber(1),
      4,
    )
    .addOption(
      new Option('--device <device>', 'Set the device of the probe')
        .choices(['auto', 'cpu', 'cuda'])
        .default('auto'),
    )
    .option('--sha256 <hash>', 'Refuse a file with another hash')
    .addOption(outputOption())
    .action(async (file: string, options: InspectOptions) => {
      const probed = probedCase(options)
      const config = options.config ? await readConfig(io, options.config, options.set) : null
      const facts = await inspectFile(file, { python: config?.runtime.python, signal: io.signal })
      refuseOtherHash(facts, options.sha256)
      const { region, device } = options
      const preparation = region ? publishedPreparation(region) : config && preparationOf(config)
      const probe = probed && (await runProbe(io, file, probed, preparation, device, config?.runtime.python))
      const hints = [...checkpointHints(facts, config), ...probeHints(probe)]
      printResult(
        io,
        'checkpoint inspect',
        options.output,
        { ...facts, hints, ...(probe ? { probe } : {}) },
        () => describe(facts, hints, probe),
      )
    })

  withExample(
    checkpoint.command('convert'),
    'freetumor checkpoint convert TGAN.pt --to safetensors --out TGAN.safetensors',
  )
    .description('Convert a checkpoint to another format, with its metadata')
    .addArgument(new Argument('<file>', 'a .pt, .pth or .safetensors file'))
    .addOption(
      new Option('--to <format>', 'Set the format to write')
        .choices(['safetensors', 'pt'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <file>', 'Set the file to write; .safetensors is recognised by its name')
    .addOption(
      new Option(
        '--merging <order>',
        'State the patch-merging order of a file that does not state it',
      ).choices(['legacy', 'corrected', 'v2']),
    )
    .addOption(outputOption())
    .action(async (file: string, options: ConvertOptions) => {
      const { to, out, merging = null, output } = options
      const converted = await convertFile(file, to, out, merging, { signal: io.signal })
      printResult(io, 'checkpoint convert', output, converted, () => [
        `${converted.path}: ${converted.tensors} tensors`,
        `sha256 ${converted.sha256}`,
      ])
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
    throw new UsageError(`--probe takes an image and its labels, got ${probe.length} files`, {
      hint: 'FILE goes in front of the options: checkpoint inspect FILE --probe IMAGE LABELS',
    })
  return { image, labels, windows }
}

function refuseOtherHash(facts: CheckpointFacts, wanted: string | undefined): void {
  if (wanted !== undefined && wanted.toLowerCase() !== facts.sha256)
    throw new CheckpointError(`${facts.path}: its sha256 is ${facts.sha256}, ${wanted} was expected`, {
      hint: 'the file is damaged or another one: get it again',
    })
}

async function runProbe(
  io: CliIo,
  file: string,
  { image, labels, windows }: ProbedCase,
  preparation: Preparation | null,
  device: InspectOptions['device'],
  python: string | null | undefined,
): Promise<ProbeResult> {
  io.note('probing: three networks, one for each patch-merging order')
  const { windowHu = null, spacingMm = null, patchVoxels = null } = preparation ?? {}
  return await probeMerging(
    file,
    image,
    labels,
    { windowHu, spacingMm, patchVoxels, windows, device },
    { python, signal: io.signal },
  )
}

function describe(facts: CheckpointFacts, hints: readonly string[], probe: ProbeResult | null): string[] {
  const { patchMerging, channelMode, tensors } = facts
  const rows: [string, string][] = [
    ['kind', facts.kind],
    ...facts.networks.map((network): [string, string] => [network.name, describeNetwork(network)]),
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
    ...(facts.prefixes.length > 0 || facts.wrapper
      ? [
          ['wrapping', [facts.wrapper, ...facts.prefixes].filter(Boolean).join(' ')] satisfies [
            string,
            string,
          ],
        ]
      : []),
    ...(facts.epoch === null ? [] : [['epoch', String(facts.epoch)] satisfies [string, string]]),
    ['sha256', facts.sha256],
    ...(probe ? describeProbe(probe) : []),
    ...hints.map((hint): [string, string] => ['hint', hint]),
  ]
  return [facts.path, ...rows.map(([key, value]) => `  ${key.padEnd(14)} ${value}`)]
}

function describeNetwork(network: NetworkFacts): string {
  const { architecture, width, outputs, tumorOutputs, matched, missing, unexpected } = network
  const what =
    architecture === null ? 'unknown' : `${architecture}, width ${width}, ${outputs ?? 'no'} outputs`
  const tumors = tumorOutputs ? ` (tumors ${tumorOutputs.join(', ')})` : ''
  return `${what}${tumors}; ${matched} keys matched, ${missing} missing, ${unexpected} unexpected`
}

function describeProbe(probe: ProbeResult): [string, string][] {
  const orders = probe.orders.map(({ order, mean, dice }): [string, string] => {
    const classes = Object.entries(dice).map(([id, value]) => `${id}: ${value.toFixed(3)}`)
    return [`order ${order}`, `mean Dice ${mean.toFixed(4)} (${classes.join(', ')})`]
  })
  const verdict = probe.best
    ? `${probe.best} fits best`
    : 'no order is ahead: try a case that the network knows'
  return [...orders, ['probe', `${verdict}, in ${probe.windows} windows`]]
}

function probeHints(probe: ProbeResult | null): string[] {
  if (!probe?.best) return []
  return [
    `give --merging ${probe.best} with this file, or write the order down: checkpoint convert FILE --merging ${probe.best} --to pt --out NEW`,
  ]
}

function marked(value: string, assumed: boolean): string {
  return assumed ? `${value} (assumed)` : value
}
