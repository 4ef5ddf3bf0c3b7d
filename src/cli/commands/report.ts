import { resolve } from 'node:path'
import { isDemo, writeDemoReport, writeRunReport } from '../../pipeline/report.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

/** `freetumor report RUN...`: makes the pages of runs or demos anew. */
export const addReportCommand: AddCommand = (program, io) => {
  withExample(program.command('report'), 'freetumor report runs/first', 'freetumor report demo')
    .description('(re)makes report.html of runs from what they left behind')
    .argument('<run...>', 'run directories, or the --out of a demo')
    .addOption(outputOption())
    .action(async (runs: string[], options: { output: 'text' | 'json' }) => {
      const reports: string[] = []
      for (const run of runs) {
        const folder = resolve(io.cwd, run)
        reports.push(await ((await isDemo(folder)) ? writeDemoReport(folder) : writeRunReport(folder)))
      }
      printResult(io, options.output, { reports }, () => reports.join('\n'))
    })
}
