import { availableParallelism } from 'node:os'
import { extname, resolve } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../../config/load.js'
import { type CheckReport, checkCases } from '../../curation/check.js'
import { curate } from '../../curation/curate.js'
import { collectCases, importLists } from '../../curation/import.js'
import type { MissingFiles } from '../../curation/manifest.js'
import { writeManifest } from '../../curation/manifest.js'
import { DATASETS } from '../../curation/registry.js'
import { parseMap, remapLabels } from '../../curation/remap.js'
import { EXIT } from '../../errors.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { addSplit } from './data-split.js'

type Output = 'text' | 'json'

/** `freetumor data list|check|import|split|remap` */
export const addDataCommand: AddCommand = (program, io) => {
  const data = program
    .command('data')
    .description('what data there is, whether it holds, and how to bring it in')
  addList(data, io)
  addCheck(data, io)
  addImport(data, io)
  addSplit(data, io)
  addRemap(data, io)
}

function addList(data: Command, io: CliIo): void {
  withExample(data.command('list'), 'freetumor data list', 'freetumor data list --output json')
    .description('the data sets that are known by name')
    .addOption(outputOption())
    .action((options: { output: Output }) => {
      printResult(io, options.output, DATASETS, () =>
        DATASETS.map(({ name, region, role, published, licence }) => {
          const organs = 'organs' in role && role.organs.length > 0 ? ` (${role.organs.join(', ')})` : ''
          return `${name.padEnd(30)} ${region.padEnd(8)} ${(role.kind + organs).padEnd(22)} ${String(published.training).padStart(5)}  ${licence}`
        }).join('\n'),
      )
    })
}

function addCheck(data: Command, io: CliIo): void {
  withExample(data.command('check'), 'freetumor data check data/BTCV', 'freetumor data check my-config.yaml')
    .description(
      'reads every case of a data set, a list or a configuration; exit 3 when something is an error',
    )
    .argument('<path>', 'data-set folder, list (.json) or configuration (.yaml)')
    .option('--root <dir>', 'where listed paths are tried, too', '.')
    .option('--workers <n>', 'cases read at a time', wholeNumber(1), Math.min(4, availableParallelism()))
    .addOption(outputOption())
    .action(async (path: string, options: { root: string; workers: number; output: Output }) => {
      const { cases, missing, prepared } = await whatToCheck(path, options.root)
      const report = await checkCases(cases, missing, {
        prepared,
        concurrency: options.workers,
        signal: io.signal,
        onCase: (done, total, id) => io.note(`${done}/${total} ${id}`),
      })
      printResult(io, options.output, report, () => describe(report, io))
      if (!report.ok) io.exitWith(EXIT.data)
    })
}

async function whatToCheck(path: string, root: string) {
  if (!['.yaml', '.yml', '.js', '.mjs'].includes(extname(path))) {
    const { cases, missing } = await collectCases(path, root)
    return { cases, missing, prepared: null }
  }
  const config = await loadConfig(path)
  const { cases, missing } = await curate(config.data, config.region)
  const prepared = { spacingMm: config.prepare.spacingMm, patchVoxels: config.sampling.patchVoxels }
  return { cases, missing, prepared }
}

function describe(report: CheckReport, io: CliIo): string {
  const colours = { error: 'red', warning: 'yellow', info: 'dim' } as const
  const lines = report.findings.map(
    ({ severity, rule, case: id, message, fix }) =>
      `${paint(io, colours[severity], severity.padEnd(7))} ${rule.padEnd(22)} ${id}: ${message}\n        ${fix}`,
  )
  const errors = report.findings.filter(({ severity }) => severity === 'error').length
  return [
    ...lines,
    `${report.numCases} cases, ${errors} errors, ${report.findings.length - errors} other findings`,
  ].join('\n')
}

function addImport(data: Command, io: CliIo): void {
  withExample(data.command('import'), 'freetumor data import --lists lists --root /data --out manifest.json')
    .description('reads decathlon lists, nnU-Net dataset.json files or bare folders into one manifest')
    .requiredOption('--lists <path>', 'a list, a folder of lists, or a data-set folder')
    .requiredOption('--root <dir>', 'where the data sets lie')
    .requiredOption('--out <file>', 'manifest to write')
    .addOption(outputOption())
    .action(async (options: { lists: string; root: string; out: string; output: Output }) => {
      const { manifest, missing } = await importLists(options.lists, options.root)
      await writeManifest(resolve(io.cwd, options.out), manifest)
      for (const one of missing) io.note(`warning: ${sentence(one)}`)
      const result = { out: options.out, numCases: manifest.cases.length, missing }
      printResult(io, options.output, result, () => `${manifest.cases.length} cases in ${options.out}`)
    })
}

function sentence({ dataset, count, example }: MissingFiles): string {
  return `${dataset}: ${count} listed files do not exist, first ${example}`
}

function addRemap(data: Command, io: CliIo): void {
  withExample(
    data.command('remap'),
    'freetumor data remap --labels kits.nii.gz --map 1:5,2:6,3:5 --out label.nii.gz',
    'freetumor data remap --labels amos.nii.gz --map Amos2022 --out label.nii.gz',
  )
    .description('gives label ids other numbers by a declared map, and shows the voxels before and after')
    .requiredOption('--labels <file>', 'label map')
    .requiredOption('--map <map>', 'a data set of `freetumor data list`, leaderboard, or source:target,...')
    .requiredOption('--out <file>', 'label map to write')
    .addOption(outputOption())
    .action(async (options: { labels: string; map: string; out: string; output: Output }) => {
      const label = await readNifti(resolve(io.cwd, options.labels))
      const remapped = remapLabels(label, parseMap(options.map), options.labels)
      await writeNifti(resolve(io.cwd, options.out), remapped.label)
      const { before, after } = remapped
      printResult(io, options.output, { out: options.out, before, after }, () =>
        ['source -> target     voxels']
          .concat(
            before.map(
              ({ source, target, voxels }) =>
                `${String(source).padStart(6)} -> ${String(target).padEnd(6)} ${String(voxels).padStart(10)}`,
            ),
          )
          .join('\n'),
      )
    })
}
