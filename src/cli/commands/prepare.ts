import { loadConfig } from '../../config/load.js'
import { EXIT } from '../../errors.js'
import { prepareCases } from '../../pipeline/data.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly config: string
  readonly set?: string[]
  readonly output: 'text' | 'json'
}

/** `freetumor prepare`: builds or updates the cache of a configuration. */
export const addPrepareCommand: AddCommand = (program, io) => {
  withExample(program.command('prepare'), 'freetumor prepare --config configs/debug-baseline.yaml')
    .description('brings the cases of a configuration into the cache; what is there already is reused')
    .requiredOption('--config <file>', 'run configuration')
    .option('--set <key=value...>', 'lay values over the file')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const config = await loadConfig(options.config, { set: options.set ?? [] })
      const report = await withLogFolder(io, torchRuntime({ python: config.runtime.python }), (context) =>
        prepareCases(config, context, (done, total, caseId, result) => {
          if ('message' in result) io.note(`${paint(io, 'red', 'failed')} ${caseId}: ${result.message}`)
          else
            io.note(
              `${done}/${total} ${caseId} ${result.reused ? 'reused' : `${result.seconds.toFixed(1)} s`}`,
            )
        }),
      )
      printResult(io, options.output, report, () => {
        const { prepared, reused, failed, bytes, directory } = report
        return `${prepared} prepared, ${reused} reused, ${failed.length} failed, ${(bytes / 1e6).toFixed(1)} MB in ${directory}`
      })
      if (report.failed.length > 0) io.exitWith(EXIT.data)
    })
}
