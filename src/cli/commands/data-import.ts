import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { Argument } from 'commander'
import type { RunConfig } from '../../config/schema.js'
import { curate, ownDatasets } from '../../curation/datasets/curate.js'
import { type Collected, importCases, type TakenSource } from '../../curation/datasets/import.js'
import {
  type ManifestCase,
  makeManifest,
  manifestJsonSchema,
  writeManifest,
} from '../../curation/datasets/manifest.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import { withFileFacts, withMeasures } from '../../curation/file-facts.js'
import { EXIT, UsageError } from '../../errors.js'
import { lineOfOutput } from '../../plain-text.js'
import { ledgerJsonSchema } from '../../quality/ledger-schema.js'
import { makeWritableFolder } from '../../whole-file.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { addSourceOptions, labelFolderOf, noteNotTaken, type SourceOptions } from './case-paths.js'

interface Options extends SourceOptions {
  readonly lists?: string[]
  readonly out: string
  readonly config?: string
  readonly dryRun?: true
  readonly measure?: boolean
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor data import` and `freetumor data schema` */
export const addDataImport: AddCommand = (data, io) => {
  const command = withExample(
    data.command('import'),
    'freetumor data import --lists lists --root /data --out manifest.json',
    'freetumor data import --lists my-folder --root . --map LiTS --measure --out manifest.json',
    'freetumor data import --lists hosts tumors nnUNet_raw --out manifest.json --dry-run',
  )
    .description('Read data sets of any layout into one manifest; an interrupted import is resumed')
    .option('--lists <path...>', 'Read lists, folders of lists, data sets or a whole nnUNet_raw')
    .requiredOption('--out <file>', 'Set the manifest to write')
    .option('--config <file>', 'Include the data sets of this configuration')
  addSourceOptions(command)
    .option('--dry-run', 'Print what would be taken as what, and write nothing')
    .option('--measure', 'Measure every file: volumes of the label classes, SHA-256')
    .option('--workers <n>', 'Measure N files at a time', wholeNumber(1), Math.min(8, availableParallelism()))
    .addOption(outputOption())
    .action(async (options: Options) => await importAll(io, options))
  withExample(data.command('schema'), 'freetumor data schema > manifest.schema.json')
    .description('Print the JSON schema of a manifest, or of a line of ledger.jsonl')
    .addArgument(
      new Argument('[of]', 'file that the schema describes')
        .choices(['manifest', 'ledger'])
        .default('manifest'),
    )
    .action((of: 'manifest' | 'ledger') =>
      io.print(JSON.stringify(of === 'ledger' ? ledgerJsonSchema() : manifestJsonSchema(), null, 2)),
    )
}

async function importAll(io: CliIo, options: Options): Promise<void> {
  if (options.lists === undefined && options.config === undefined)
    throw new UsageError('data import: nothing to read (expected --lists or --config)', {
      hint: 'pass --lists with data sets, or --config with a configuration',
    })
  const config = options.config === undefined ? null : await readConfig(io, options.config)
  const out = resolve(io.cwd, options.out)
  const planned = await collect(io, options, config, null)
  makeManifest(planned.cases)
  const { taken } = planned
  if (options.output === 'text') for (const line of table(taken)) io.print(lineOfOutput(line))
  if (options.dryRun) {
    const left = noteNotTaken(io, planned)
    const result = { ...resultOf(options, planned, planned.cases), out: null, unreadable: [] }
    printResult(io, 'data import', options.output, result, () => [
      `${planned.cases.length} cases; nothing was written`,
    ])
    if (left) io.exitWith(EXIT.data)
    return
  }
  // measuring may take hours
  await makeWritableFolder(dirname(out))
  const isMerged = taken.some(({ merged }) => merged > 0)
  const found = isMerged ? await collect(io, options, config, labelFolderOf(out)) : planned
  const threads = { workers: options.workers, signal: io.signal, onCase: caseProgress(io) }
  const probed = await withFileFacts(makeManifest(found.cases).cases)
  const journal = `${out}.measures.jsonl`
  const { cases, unreadable } = options.measure ? await withMeasures(probed, threads, journal) : probed
  await writeManifest(out, makeManifest(cases))
  await rm(journal, { force: true })
  const left = noteNotTaken(io, found)
  for (const { dataset, count, example } of unreadable)
    io.note(`warning: ${dataset}: ${count} cases cannot be read, first ${example}`)
  const result = { ...resultOf(options, found, cases), unreadable }
  printResult(io, 'data import', options.output, result, () => [`${cases.length} cases in ${options.out}`])
  if (left) io.exitWith(EXIT.data)
}

/** Collect the cases of the lists, then those of the data sets of the configuration that the lists lack. */
async function collect(
  io: CliIo,
  { lists, root, as, region, map, allowOutside }: Options,
  config: Pick<RunConfig, 'data' | 'region'> | null,
  labelFolder: string | null,
): Promise<Collected> {
  const listed = await importCases(
    (lists ?? []).map((path) => resolve(io.cwd, path)),
    {
      root: root === undefined ? resolve(io.cwd, config?.data.root ?? '.') : resolve(io.cwd, root),
      own: config ? ownDatasets(config.data) : [],
      as,
      region,
      allowOutside,
      labelFolder,
      ...labelMapOption(map, region ?? null),
    },
  )
  if (config === null) return listed
  const names = new Set(listed.taken.map(({ dataset }) => dataset))
  const datasets = config.data.datasets.filter(({ name }) => !names.has(name))
  const data = { ...config.data, datasets, allowOutside: allowOutside ?? config.data.allowOutside }
  const found = await curate(data, config.region, labelFolder)
  const cases = found.cases.map(({ repeat: _, ...item }) => item)
  return {
    ...listed,
    cases: [...listed.cases, ...cases],
    taken: [...listed.taken, ...datasets.map(({ name }) => takenOf(name, cases))],
    missing: [...listed.missing, ...found.missing],
    leftOut: [...listed.leftOut, ...found.leftOut],
    notes: [...listed.notes, ...found.notes],
  }
}

function takenOf(dataset: string, all: readonly ManifestCase[]): TakenSource {
  const cases = all.filter((item) => item.dataset === dataset)
  const of = (split: ManifestCase['split']) => cases.filter((item) => item.split === split).length
  const { region = 'abdomen', role, labelMap = null } = cases[0] ?? {}
  return {
    source: dataset,
    layout: 'configuration',
    dataset,
    recognized: false,
    region,
    role: role?.kind ?? 'host',
    labelMap,
    merged: 0,
    training: of('training'),
    validation: of('validation'),
    test: of('test'),
  }
}

function resultOf(
  options: Options,
  { taken, missing, leftOut, notes, refused }: Collected,
  cases: readonly ManifestCase[],
) {
  return {
    out: options.out,
    numCases: cases.length,
    taken,
    missing,
    leftOut,
    refused: refused.map(({ id, error }) => ({ id, message: error.message })),
    notes,
  }
}

/** Return one line for each source: what it was taken as. */
function table(taken: readonly TakenSource[]): string[] {
  const rows = taken.map((one) => [
    one.dataset,
    one.recognized ? 'registry' : 'own',
    one.layout,
    one.region,
    one.role,
    one.merged > 0 ? `${one.merged} merged from masks` : mapText(one.labelMap),
    `${one.training} + ${one.validation} + ${one.test}`,
    one.source,
  ])
  const head = ['data set', 'known', 'layout', 'region', 'role', 'label ids', 'train + val + test', 'source']
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)))
  return [head, ...rows].map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd(),
  )
}

function mapText(map: TakenSource['labelMap']): string {
  if (map === null) return 'undocumented'
  const pairs = Object.entries(map).filter(([, target]) => target !== 0)
  return pairs.map(([source, target]) => `${source}:${target}`).join(',') || 'none'
}
