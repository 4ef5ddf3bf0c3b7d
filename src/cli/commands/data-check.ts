import { Option } from 'commander'
import type { Finding } from '../../curation/check/finding.js'
import type { CheckReport } from '../../curation/check/run.js'
import { toSarif } from '../../curation/check/sarif.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT } from '../../errors.js'
import { checkDataAt, defaultWorkers } from '../../pipeline/data/check.js'
import { counted, oneLine } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { type CliIo, paint, versioned } from '../output.js'
import { type AddCommand, packageVersion, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { shardOf, shardOption } from '../shard-option.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'

interface Options extends SourceFlags {
  readonly workers: number
  readonly maxMb?: number
  readonly out?: string
  readonly shard?: Shard
  readonly output: 'text' | 'json' | 'sarif'
}

/** `freetumor data check` */
export const addDataCheck: AddCommand = (data, io) => {
  const added = withExample(
    data.command('check'),
    'freetumor data check data/BTCV',
    'freetumor data check my-config.yaml --output sarif > findings.sarif',
    'freetumor data check debug-baseline',
    'freetumor data check my-folder --map TotalSegmentator',
    'freetumor data check scan.nii.gz --labels organs.nii.gz',
  )
    .description('Check every voxel of every case and list the faults; exit 3 on errors')
    .argument(
      '<path...>',
      'data sets of any layout, lists, manifests (.json), configurations or scans (.nii, .nii.gz, .hdr)',
    )
  addSourceOptions(added)
    .option('--labels <path>', 'Set the label of the scan, or the folder of labels; they have equal names')
    .option(
      '--workers <n>',
      'Read N cases at a time, each in a thread with one volume in memory',
      wholeNumber(1),
      defaultWorkers(),
    )
    .option('--max-mb <n>', 'Refuse files whose decoded size is above N MB (default: 2147)', positiveNumber)
    .option('--out <dir>', 'Write findings.json here')
    .addOption(shardOption())
    .addOption(
      new Option('--output <format>', 'Set the format of the result')
        .choices(['text', 'json', 'sarif'])
        .default('text'),
    )
    .action(async (paths: string[], options: Options, command) => {
      const checked = {
        ...sourceOptions(io, options),
        maxBytes: options.maxMb === undefined ? undefined : options.maxMb * 1e6,
        workers: options.workers,
        signal: io.signal,
        onCase: caseProgress(io),
        out: options.out,
        ...shardOf(options.shard, command),
      }
      const report = await checkDataAt(paths, checked, { runtime: torchRuntime(), note: io.note })
      io.print(printed(report, options.output, io))
      if (!report.ok) io.exitWith(EXIT.data)
    })
}

function printed(report: CheckReport, output: Options['output'], io: CliIo): string {
  if (output === 'text') return checkText(report, io)
  return JSON.stringify(output === 'json' ? versioned(report) : toSarif(report, packageVersion()), null, 2)
}

export function checkText({ findings, numCases }: CheckReport, io: CliIo): string {
  const of = (severity: Finding['severity']) =>
    findings.filter((finding) => finding.severity === severity).length
  return [
    ...findings.map((finding) => line(finding, io)),
    `${counted(numCases, 'case')}: ${counted(of('error'), 'error')}, ${counted(of('warning'), 'warning')}, ${counted(of('info'), 'note')}`,
  ].join('\n')
}

function line({ severity, rule, case: id, file, message, fix }: Finding, io: CliIo): string {
  const colours = { error: 'red', warning: 'yellow', info: 'dim' } as const
  const word = paint(io, colours[severity], severity.padEnd(7))
  const [about, what, remedy, place] = [id, message, fix, file].map(oneLine)
  return `${word} ${rule.padEnd(22)} ${about}: ${what}\n        ${remedy}\n        ${place}`
}
