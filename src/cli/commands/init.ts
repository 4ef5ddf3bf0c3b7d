import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Option } from 'commander'
import { JOBS, REGIONS } from '../../config/schema.js'
import { shippedFile, shippedNames } from '../../config/shipped.js'
import { UsageError } from '../../errors.js'
import { makingParents, writeWhole } from '../../whole-file.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly region: (typeof REGIONS)[number]
  readonly job: (typeof JOBS)[number]
  readonly from?: string
  readonly out?: string
  readonly output: 'text' | 'json'
}

const SCHEMA = fileURLToPath(new URL('../../../dist/config.schema.json', import.meta.url))

/** `freetumor init`: write a commented configuration. */
export const addInitCommand: AddCommand = (program, io) => {
  withExample(
    program.command('init'),
    'freetumor init --region abdomen --job baseline',
    'freetumor init --from debug-segmentation',
  )
    .description('Write a commented configuration for your own data')
    .addOption(new Option('--region <region>', 'Set the body region').choices(REGIONS).default('abdomen'))
    .addOption(new Option('--job <job>', 'Set the job of the training').choices(JOBS).default('baseline'))
    .addOption(
      new Option('--from <name>', 'Start from this shipped configuration (default: REGION-JOB)').choices(
        shippedNames(),
      ),
    )
    .option('--out <file>', 'Set the file to write (default: NAME.yaml)')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const name = options.from ?? `${options.region}-${options.job}`
      const file = resolve(io.cwd, options.out ?? `${name}.yaml`)
      if (existsSync(file))
        throw new UsageError(`${file}: file exists`, { hint: 'name another file with --out' })
      const shipped = await readFile(shippedFile(name)!, 'utf8')
      const text = `${schemaLine(file, io.cwd)}${GUIDE}${shipped}`
      await makingParents(file, () => writeWhole(file, text))
      printResult(io, 'init', options.output, { file }, () => [`wrote ${file}`])
    })
}

/** Return the line that names the schema for editors: relative if the package is in the same project. */
function schemaLine(file: string, cwd: string): string {
  const installed = !relative(cwd, SCHEMA).startsWith('..')
  return `# yaml-language-server: $schema=${installed ? relative(dirname(file), SCHEMA) : SCHEMA}\n`
}

const GUIDE = `# Written by \`freetumor init\`. The file states what differs from the defaults; \`freetumor config print FILE\` prints all keys, and
# \`freetumor config explain KEY\` explains one. Relative paths start at the folder of this file.
#   data.root      folder of the data sets, each <root>/<name>/imagesTr and labelsTr (or a list next to them)
#   data.datasets  names of \`freetumor data list\`, or your own with role (labelled or host) and labelMap (source id: id here)
#   trainFrom      configuration of an earlier job, trained first if its weights are missing (checkpoint: names a file)
# Check the file with \`freetumor config check FILE\`, then run \`freetumor train --config FILE\`.
`
