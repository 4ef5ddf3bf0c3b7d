import { Argument } from 'commander'
import type { TakenSource } from '../../curation/datasets/import.js'
import { manifestJsonSchema } from '../../curation/datasets/manifest.js'
import { EXIT } from '../../errors.js'
import { defaultWorkers } from '../../pipeline/data/check.js'
import { importData } from '../../pipeline/data/import.js'
import { counted, lineOfOutput } from '../../plain-text.js'
import { ledgerJsonSchema } from '../../quality/ledger-schema.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'

interface Options extends SourceFlags {
  readonly lists?: string[]
  readonly out: string
  readonly config?: string
  readonly dryRun?: true
  readonly measure?: boolean
  readonly skipUnreadable?: true
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor data import` and `freetumor data schema` */
export const addDataImport: AddCommand = (data, io) => {
  const command = withExample(
    data.command('import'),
    'freetumor data import lists --root /data --out manifest.json',
    'freetumor data import my-folder --map LiTS --measure --out manifest.json',
    'freetumor data import hosts tumors nnUNet_raw --out manifest.json --dry-run',
  )
    .description('Read data sets of any layout into one manifest; an interrupted import is resumed')
    .argument('[path...]', 'lists, folders of lists, data sets of any layout, or a whole nnUNet_raw')
    .option('--lists <path...>', 'Read these, too, like PATH')
    .requiredOption('--out <file>', 'Set the manifest to write')
    .option('--config <file>', 'Include the data sets of this configuration')
  addSourceOptions(command)
    .option('--dry-run', 'Print what would be taken as what, and write nothing')
    .option('--measure', 'Measure every file: volumes of the label classes, SHA-256')
    .option('--skip-unreadable', 'Leave out cases that cannot be read or measured; exit with 0')
    .option('--workers <n>', 'Measure N files at a time', wholeNumber(1), defaultWorkers())
    .addOption(outputOption())
    .action(async (paths: string[], options: Options) => await importAll(io, paths, options))
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

async function importAll(io: CliIo, paths: readonly string[], options: Options): Promise<void> {
  const lists = [...paths, ...(options.lists ?? [])]
  const imported = await importData({
    ...sourceOptions(io, options),
    lists: lists.length > 0 ? lists : undefined,
    config: options.config,
    out: options.out,
    dryRun: options.dryRun,
    measure: options.measure,
    skipUnreadable: options.skipUnreadable,
    workers: options.workers,
    signal: io.signal,
    onCase: caseProgress(io),
    onTaken: (taken) => {
      if (options.output === 'text') for (const line of table(taken)) io.print(lineOfOutput(line))
    },
  })
  const { out, numCases, complete } = imported
  printResult(io, 'data import', options.output, imported, () => [
    out === null
      ? `${counted(numCases, 'case')}; nothing was written`
      : `${counted(numCases, 'case')} in ${out}`,
  ])
  if (!complete) io.exitWith(EXIT.data)
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
  const pairs = Object.entries(map).filter(
    ([source, target]) => target !== 0 && !(target === IGNORED_LABEL && Number(source) === target),
  )
  return pairs.map(([source, target]) => `${source}:${target}`).join(',') || 'none'
}
