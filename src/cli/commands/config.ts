import { Argument } from 'commander'
import { type ExplainedKey, explainKey, sectionsOfConfig } from '../../config/explain.js'
import { configJsonSchema, factLines } from '../../config/json-schema.js'
import { printConfig } from '../../config/load.js'
import { lineOfOutput } from '../../plain-text.js'
import { readConfig } from '../config-file.js'
import { printJson, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { addConfigCheck } from './config-check.js'

/** `freetumor config check|print|explain|schema` */
export const addConfigCommand: AddCommand = (program, io) => {
  const config = program.command('config').description('Check, print and explain run configurations')
  addConfigCheck(config, io)

  withExample(config.command('print'), 'freetumor config print configs/debug-baseline.yaml --set seed=1')
    .description('Print the complete configuration, with every default')
    .addArgument(new Argument('<file>', 'configuration file, or the name of a shipped configuration'))
    .option('--set <key=value...>', 'Replace values of the configuration')
    .addOption(outputOption())
    .action(async (file: string, options: { set?: string[]; output: 'text' | 'json' }) => {
      const loaded = await readConfig(io, file, options.set)
      if (options.output === 'json') printJson(io, options.output, loaded)
      else for (const line of printConfig(loaded).trimEnd().split('\n')) io.print(lineOfOutput(line))
    })

  withExample(
    config.command('explain'),
    'freetumor config explain training.accumulation',
    'freetumor config explain sampling',
  )
    .description('Print effect, default and source of a key, or the keys of a section')
    .addArgument(new Argument('[key]', 'dotted key or section; without it, list the sections'))
    .addOption(outputOption())
    .action((key: string | undefined, options: { output: 'text' | 'json' }) => {
      if (key === undefined) {
        const sections = sectionsOfConfig()
        printResult(io, 'config explain (no key)', options.output, { keys: sections }, () =>
          keyList(sections),
        )
        return
      }
      const explained = explainKey(key)
      const { defaultText: _, ...rest } = explained
      printResult(io, 'config explain', options.output, rest, () => inWords(explained))
    })

  withExample(config.command('schema'), 'freetumor config schema > freetumor.schema.json')
    .description('Print the JSON schema of a configuration file, for editors')
    .addArgument(new Argument('[file]', 'not used: all configurations have one schema'))
    .addOption(outputOption())
    .action(() => io.print(JSON.stringify(configJsonSchema(), null, 2)))
}

function inWords(explained: ExplainedKey): string[] {
  const { key, type, description, effect, keys } = explained
  const facts = factLines(explained).map((line) =>
    line.replace(/^([^:]+): /, (_, name) => `${name.padEnd(14)} `),
  )
  return [
    key,
    `  ${description}`,
    `  ${effect}`,
    '',
    `  ${'Type'.padEnd(14)} ${type}`,
    ...facts.map((line) => `  ${line}`),
    ...(keys.length > 0 ? ['', 'Keys:', ...keyList(keys)] : []),
  ]
}

function keyList(keys: ExplainedKey['keys']): string[] {
  const width = Math.max(...keys.map(({ key }) => key.length))
  return keys.map(({ key, description }) => `  ${key.padEnd(width)}  ${description}`)
}
