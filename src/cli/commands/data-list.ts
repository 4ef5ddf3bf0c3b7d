import { ownDatasets } from '../../curation/datasets/curate.js'
import { PRESETS, type Preset } from '../../curation/datasets/presets.js'
import { DATASETS, type Dataset, type LabelIdMap } from '../../curation/datasets/registry.js'
import { lineOfOutput } from '../../plain-text.js'
import { readConfig } from '../config-file.js'
import { type CliIo, printJson } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly config?: string
  readonly presets?: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor data list`: print the registry. */
export const addDataList: AddCommand = (data, io) => {
  withExample(
    data.command('list'),
    'freetumor data list',
    'freetumor data list --output json',
    'freetumor data list --presets',
  )
    .description('List the data sets that have a name here, with label ids and licences')
    .option('--config <file>', 'Include the data sets of this configuration (data.registry)')
    .option('--presets', 'List the presets of --map instead')
    .addOption(outputOption())
    .action(async (options: Options) => {
      if (options.presets) {
        printList(io, options.output, PRESETS, PRESETS.map(presetLine))
        return
      }
      const own = options.config ? ownDatasets((await readConfig(io, options.config)).data) : []
      // JSON has no patterns: their source is printed
      const all = [...DATASETS, ...own].map((dataset) => ({
        ...dataset,
        patientPattern: dataset.patientPattern?.source,
        overlaps: dataset.overlaps.map((one) => ({ ...one, cases: one.cases?.source })),
      }))
      printList(io, options.output, all, [...DATASETS, ...own].flatMap(describe))
    })
}

/** Print a list: an array in JSON, which has no place for a version. */
function printList(
  io: CliIo,
  output: Options['output'],
  list: readonly unknown[],
  text: readonly string[],
): void {
  if (output === 'json') printJson(io, output, list)
  else io.print(text.map(lineOfOutput).join('\n'))
}

function describe({ name, region, role, published, licence, labelMap, note, overlaps }: Dataset): string[] {
  const organs = 'organs' in role && role.organs.length > 0 ? ` (${role.organs.join(', ')})` : ''
  const { training, validation } = published
  const count = validation > 0 ? `${training} + ${validation}` : String(training)
  return [
    `${name.padEnd(30)} ${region.padEnd(8)} ${(role.kind + organs).padEnd(20)} ${count.padStart(9)}  ${licence}`,
    `    ids ${labelMap ? pairsOf(labelMap) : 'are not fixed: state labelMap in a configuration'}`,
    ...(note ? [`    ${note}`] : []),
    ...(overlaps.length > 0
      ? [`    shares scans with ${overlaps.map(({ dataset }) => dataset).join(', ')}`]
      : []),
  ]
}

function presetLine({ name, region, map, aliases }: Preset): string {
  const also = aliases.length > 0 ? `  also called ${aliases.join(', ')}` : ''
  return `${name.padEnd(30)} ${(region ?? '').padEnd(8)} ${pairsOf(map)}${also}`
}

/** Return the pairs source:target. Ids that become background are counted only. */
function pairsOf(map: LabelIdMap): string {
  const pairs = Object.entries(map).filter(([, target]) => target !== 0)
  const zeros = Object.values(map).filter((target) => target === 0).length
  return `${pairs.map(([source, target]) => `${source}:${target}`).join(',')}${zeros > 0 ? ` (${zeros} more to 0)` : ''}`
}
