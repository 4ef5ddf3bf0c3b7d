import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { Argument } from 'commander'
import { ownDatasets } from '../../curation/datasets/curate.js'
import { importLists } from '../../curation/datasets/import.js'
import { manifestJsonSchema, writeManifest } from '../../curation/datasets/manifest.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import { withFileFacts, withMeasures } from '../../curation/file-facts.js'
import { ledgerJsonSchema } from '../../quality/ledger-schema.js'
import type { Region } from '../../volume/labels.js'
import { makeWritableFolder } from '../../whole-file.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, mapDescription, outputOption, regionOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'

interface Options {
  readonly lists: string
  readonly root: string
  readonly out: string
  readonly config?: string
  readonly region?: Region
  readonly map?: string
  readonly measure?: boolean
  readonly allowOutside?: boolean
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor data import` and `freetumor data schema` */
export const addDataImport: AddCommand = (data, io) => {
  withExample(
    data.command('import'),
    'freetumor data import --lists lists --root /data --out manifest.json',
    'freetumor data import --lists my-folder --root . --map LiTS --measure --out manifest.json',
  )
    .description('Read decathlon lists, nnU-Net dataset.json files or folders into one manifest')
    .requiredOption('--lists <path>', 'Read a list, a folder of lists, or a data-set folder')
    .requiredOption('--root <dir>', 'Set the folder of the data sets')
    .requiredOption('--out <file>', 'Set the manifest to write')
    .option('--config <file>', 'Include the data sets of this configuration (data.registry)')
    .addOption(regionOption())
    .option('--map <map>', mapDescription())
    .option('--allow-outside', 'Accept lists that name files outside --root')
    .option('--measure', 'Measure every file: volumes of the label classes, SHA-256')
    .option('--workers <n>', 'Measure N files at a time', wholeNumber(1), Math.min(8, availableParallelism()))
    .addOption(outputOption())
    .action(async (options: Options) => {
      const own = options.config ? ownDatasets((await readConfig(io, options.config)).data) : []
      const { root, region, allowOutside } = options
      const declared = labelMapOption(options.map, region ?? null)
      const { manifest, missing, notes } = await importLists(options.lists, {
        root,
        own,
        region,
        allowOutside,
        ...declared,
      })
      // measuring may take hours
      await makeWritableFolder(dirname(resolve(io.cwd, options.out)))
      const threads = { workers: options.workers, signal: io.signal, onCase: caseProgress(io) }
      const probed = await withFileFacts(manifest.cases)
      const { cases, unreadable } = options.measure ? await withMeasures(probed, threads) : probed
      await writeManifest(resolve(io.cwd, options.out), { ...manifest, cases })
      for (const note of notes) io.note(`note: ${note}`)
      for (const { dataset, count, example } of missing)
        io.note(`warning: ${dataset}: ${count} listed cases lack a file, first ${example}`)
      for (const { dataset, count, example } of unreadable)
        io.note(`warning: ${dataset}: ${count} cases cannot be read, first ${example}`)
      const result = { out: options.out, numCases: cases.length, missing, unreadable, notes }
      printResult(io, 'data import', options.output, result, () => [
        `${cases.length} cases in ${options.out}`,
      ])
    })
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
