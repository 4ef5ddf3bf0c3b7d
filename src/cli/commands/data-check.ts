import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { Option } from 'commander'
import type { Finding } from '../../curation/check/finding.js'
import { type CheckReport, checkCases } from '../../curation/check/run.js'
import { toSarif } from '../../curation/check/sarif.js'
import { curate } from '../../curation/datasets/curate.js'
import { collectCases } from '../../curation/datasets/import.js'
import { isLoose, looseCases } from '../../curation/datasets/loose-files.js'
import { isManifest, readManifest } from '../../curation/datasets/manifest.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import { EXIT } from '../../errors.js'
import { oneLine } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import { configNamed, readConfig } from '../config-file.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { type CliIo, paint, versioned } from '../output.js'
import { type AddCommand, mapDescription, packageVersion, regionOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'

interface Options {
  readonly root: string
  readonly region?: Region
  readonly map?: string
  readonly labels?: string
  readonly allowOutside?: boolean
  readonly workers: number
  readonly maxMb?: number
  readonly output: 'text' | 'json' | 'sarif'
}

/** `freetumor data check` */
export const addDataCheck: AddCommand = (data, io) => {
  withExample(
    data.command('check'),
    'freetumor data check data/BTCV',
    'freetumor data check my-config.yaml --output sarif > findings.sarif',
    'freetumor data check debug-baseline',
    'freetumor data check my-folder --map TotalSegmentator',
    'freetumor data check scan.nii.gz --labels organs.nii.gz',
  )
    .description('Check every voxel of every case and list the faults; exit 3 on errors')
    .argument(
      '<path>',
      'data-set folder, list or manifest (.json), configuration, scan (.nii, .nii.gz), or folder of scans',
    )
    .option('--labels <path>', 'Set the label of the scan, or the folder of labels; they have equal names')
    .option(
      '--root <dir>',
      'Search listed files below this folder in addition to the folder of the list',
      '.',
    )
    .option('--allow-outside', 'Accept lists that name files outside --root and their own folder')
    .addOption(regionOption())
    .option('--map <map>', mapDescription())
    .option(
      '--workers <n>',
      'Read N cases at a time, each in a thread with one volume in memory',
      wholeNumber(1),
      Math.min(8, availableParallelism()),
    )
    .option('--max-mb <n>', 'Refuse files whose decoded size is above N MB (default: 2147)', positiveNumber)
    .addOption(
      new Option('--output <format>', 'Set the format of the result')
        .choices(['text', 'json', 'sarif'])
        .default('text'),
    )
    .action(async (path: string, options: Options) => {
      const { cases, missing, notes, prepared } = await whatToCheck(io, path, options)
      for (const note of notes) io.note(`note: ${note}`)
      const report = await checkCases(cases, missing, {
        prepared,
        maxBytes: options.maxMb === undefined ? null : options.maxMb * 1e6,
        workers: options.workers,
        signal: io.signal,
        onCase: caseProgress(io),
      })
      io.print(printed(report, options.output, io))
      if (!report.ok) io.exitWith(EXIT.data)
    })
}

async function whatToCheck(
  io: CliIo,
  argument: string,
  { root, region, map, labels, allowOutside }: Options,
) {
  const configuration = configNamed(io, argument)
  if (configuration !== null) {
    const config = await readConfig(io, configuration)
    const data = { ...config.data, allowOutside: allowOutside ?? config.data.allowOutside }
    const { cases, missing } = await curate(data, config.region)
    const prepared = { spacingMm: config.prepare.spacingMm, patchVoxels: config.sampling.patchVoxels }
    return { cases, missing, notes: [], prepared }
  }
  const path = resolve(io.cwd, argument)
  if (await isManifest(path)) {
    const { cases } = await readManifest(path)
    return { cases, missing: [], notes: [], prepared: null }
  }
  const declared = labelMapOption(map, region ?? null)
  if (labels !== undefined || (await isLoose(path)))
    return {
      cases: await looseCases(path, { labels, region, ...declared }),
      missing: [],
      notes: [],
      prepared: null,
    }
  return { ...(await collectCases(path, { root, region, allowOutside, ...declared })), prepared: null }
}

function printed(report: CheckReport, output: Options['output'], io: CliIo): string {
  if (output === 'text') return describe(report, io)
  return JSON.stringify(output === 'json' ? versioned(report) : toSarif(report, packageVersion()), null, 2)
}

function describe({ findings, numCases }: CheckReport, io: CliIo): string {
  const of = (severity: Finding['severity']) =>
    findings.filter((finding) => finding.severity === severity).length
  return [
    ...findings.map((finding) => line(finding, io)),
    `${numCases} cases: ${of('error')} errors, ${of('warning')} warnings, ${of('info')} notes`,
  ].join('\n')
}

function line({ severity, rule, case: id, file, message, fix }: Finding, io: CliIo): string {
  const colours = { error: 'red', warning: 'yellow', info: 'dim' } as const
  const word = paint(io, colours[severity], severity.padEnd(7))
  const [about, what, remedy, place] = [id, message, fix, file].map(oneLine)
  return `${word} ${rule.padEnd(22)} ${about}: ${what}\n        ${remedy}\n        ${place}`
}
