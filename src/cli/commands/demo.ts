import { resolve } from 'node:path'
import { RuntimeCrashError, StoppedError } from '../../errors.js'
import { runDemo } from '../../pipeline/flows/demo.js'
import { quoted } from '../../plain-text.js'
import { openConsoleReport } from '../../report/console.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly out: string
  readonly seed: number
  readonly output: 'text' | 'json'
}

/** `freetumor demo`: run the whole method on phantoms. */
export const addDemoCommand: AddCommand = (program, io) => {
  withExample(program.command('demo'), 'freetumor demo --out demo')
    .description('Run the whole method on synthetic phantoms, from data to report')
    .option('--out <dir>', 'Set the output folder', 'demo')
    .option('--seed <n>', 'Set the seed of phantoms and random numbers', wholeNumber(0), 0)
    .addOption(outputOption())
    .action(async (options: Options) => {
      const out = resolve(io.cwd, options.out)
      const console = openConsoleReport({ note: io.note, color: io.color, stream: io.terminal })
      const result = await withLogFolder(io, torchRuntime(), (context) =>
        runDemo(
          {
            out,
            seed: options.seed,
            signal: io.signal,
            onStage: (text) => io.note(`== ${text}`),
            onEvent: (event) => console.show(event),
          },
          context,
        ),
      ).finally(() => console.close())
      const figure = (value: number | null): string => (value === null ? 'none' : value.toFixed(3))
      printResult(io, 'demo', options.output, result, () => [
        `tumor Dice on held-out phantoms: baseline ${figure(result.baseline.tumorDice)}, segmentor ${figure(result.segmentation.tumorDice)}`,
        `acceptance rate of synthetic tumors: ${figure(result.keptShare)}`,
        `report: ${resolve(out, 'report.html')}`,
      ])
      const unfinished = result.jobs.find((job) => job.outcome !== 'completed')
      if (unfinished?.outcome === 'stopped')
        throw new StoppedError(
          'the demo was stopped',
          {
            hint: `\`freetumor train --resume ${quoted(unfinished.run)}\` resumes that training. A new demo starts from the beginning`,
          },
          false,
        )
      if (unfinished)
        throw new RuntimeCrashError(`${unfinished.job} training failed`, {
          hint: `\`freetumor runs show ${quoted(unfinished.run)}\` prints the reason`,
        })
    })
}
