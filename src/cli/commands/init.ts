import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import { writeWhole } from '../../whole-file.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly region: (typeof REGIONS)[number]
  readonly job: 'baseline' | 'synthesis' | 'segmentation'
  readonly out?: string
  readonly output: 'text' | 'json'
}

/** `freetumor init`: a commented configuration to start from. */
export const addInitCommand: AddCommand = (program, io) => {
  withExample(program.command('init'), 'freetumor init --region abdomen --job baseline')
    .description('writes a commented configuration for your own data')
    .addOption(new Option('--region <region>', 'body region').choices(REGIONS).default('abdomen'))
    .addOption(
      new Option('--job <job>', 'what to train')
        .choices(['baseline', 'synthesis', 'segmentation'])
        .default('baseline'),
    )
    .option('--out <file>', 'file to write (default: REGION-JOB.yaml)')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const name = `${options.region}-${options.job}`
      const file = resolve(io.cwd, options.out ?? `${name}.yaml`)
      if (existsSync(file)) throw new UsageError(`${file} exists`, { hint: 'choose another --out' })
      const shipped = await readFile(new URL(`../../../configs/${name}.yaml`, import.meta.url), 'utf8')
      await writeWhole(file, `${GUIDE}${shipped}`)
      printResult(io, options.output, { file }, () => [`wrote ${file}`])
    })
}

const GUIDE = `# Made by \`freetumor init\`. What differs from the defaults stands here; \`freetumor config print FILE\` shows the rest.
#   data.root      the folder that holds the data sets, each <root>/<name>/imagesTr and labelsTr (or a list beside them)
#   data.datasets  names of \`freetumor data list\`, or your own with role (labelled or host) and labelMap (source id: id here)
#   trainFrom      the configuration of an earlier job; its run is made when its weights are missing (checkpoint: names a file)
# Check the file with \`freetumor config check FILE\`, then \`freetumor train --config FILE\`.
`
