import { Argument } from 'commander'
import { configJsonSchema } from '../../config/json-schema.js'
import { loadConfig, printConfig } from '../../config/load.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

/** `freetumor config check|print|schema FILE` */
export const addConfigCommand: AddCommand = (program, io) => {
  const config = program.command('config').description('checks and prints run configurations')

  withExample(config.command('check'), 'freetumor config check configs/debug-baseline.yaml')
    .description('validates a file; exit 2 and the reason when it does not hold')
    .addArgument(new Argument('<file>'))
    .option('--set <key=value...>', 'lay values over the file')
    .addOption(outputOption())
    .action(async (file: string, options: { set?: string[]; output: 'text' | 'json' }) => {
      const loaded = await loadConfig(file, { set: options.set ?? [] })
      printResult(io, options.output, { ok: true, file, job: loaded.job, region: loaded.region }, () => [
        `${file}: ok`,
      ])
    })

  withExample(config.command('print'), 'freetumor config print configs/debug-baseline.yaml --set seed=1')
    .description('prints the complete configuration, every default filled in')
    .addArgument(new Argument('<file>'))
    .option('--set <key=value...>', 'lay values over the file')
    .addOption(outputOption())
    .action(async (file: string, options: { set?: string[]; output: 'text' | 'json' }) => {
      const loaded = await loadConfig(file, { set: options.set ?? [] })
      printResult(io, options.output, loaded, () => printConfig(loaded).trimEnd().split('\n'))
    })

  withExample(config.command('schema'), 'freetumor config schema > freetumor.schema.json')
    .description('prints the JSON schema of a configuration file, for editors')
    .addArgument(new Argument('[file]', 'ignored: the schema is the same for every file'))
    .addOption(outputOption())
    .action(() => io.print(JSON.stringify(configJsonSchema(), null, 2)))
}
