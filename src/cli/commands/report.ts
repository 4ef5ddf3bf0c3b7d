import { resolve } from 'node:path'
import { writeAnyReport } from '../../pipeline/report/write.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

/** `freetumor report RUN...`: write the report pages of runs, demos, evaluations or ledgers again. */
export const addReportCommand: AddCommand = (program, io) => {
  withExample(program.command('report'), 'freetumor report runs/first', 'freetumor report demo')
    .description('Write report.html of runs, demos, evaluations or ledgers again, from their files')
    .argument('<run...>', 'run directories, folders of demos or evaluations, or ledgers')
    .addOption(outputOption())
    .action(async (runs: string[], options: { output: 'text' | 'json' }) => {
      const reports: string[] = []
      for (const run of runs) reports.push(await writeAnyReport(resolve(io.cwd, run)))
      printResult(io, 'report', options.output, { reports }, () => reports)
    })
}
