import { resolve } from 'node:path'
import { writeRunReport } from '../../pipeline/report.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

/** `freetumor report RUN...`: makes the pages of runs anew. */
export const addReportCommand: AddCommand = (program, io) => {
  withExample(program.command('report'), 'freetumor report runs/first')
    .description('(re)makes report.html of runs from their events')
    .argument('<run...>', 'run directories')
    .addOption(outputOption())
    .action(async (runs: string[], options: { output: 'text' | 'json' }) => {
      const reports: string[] = []
      for (const run of runs) reports.push(await writeRunReport(resolve(io.cwd, run)))
      printResult(io, options.output, { reports }, () => reports.join('\n'))
    })
}
