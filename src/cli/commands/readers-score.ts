import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type ScoredStudy, scoreReaderStudy } from '../../pipeline/readers/score.js'
import { counted } from '../../plain-text.js'
import type { Interval } from '../../readers/statistics.js'
import { type CliIo, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

/** `freetumor readers score` */
export function addReadersScore(readers: Command, io: CliIo): void {
  withExample(
    readers.command('score'),
    'freetumor readers score study',
    'freetumor readers score study --output json',
  )
    .description('Compute the figures of a study; write a page and CSV files')
    .argument('<study>', 'folder of the study')
    .option('--out <dir>', 'Set the folder of the page and the CSV files (default: score in the study)')
    .addOption(outputOption())
    .action(async (study: string, options: { readonly out?: string; readonly output: 'text' | 'json' }) => {
      const out = options.out === undefined ? undefined : resolve(io.cwd, options.out)
      const score = await scoreReaderStudy(resolve(io.cwd, study), out)
      for (const { id, answered, of } of score.incomplete)
        io.note(`warning: reader ${id} has answered ${answered} of ${of} cases`)
      if (score.unfinishedLines > 0)
        io.note(
          `note: ${counted(score.unfinishedLines, 'line')} that a killed server left unfinished ${score.unfinishedLines === 1 ? 'was' : 'were'} left out`,
        )
      printResult(io, 'readers score', options.output, score, () => inWords(score))
    })
}

function inWords({ readers, all, kappa, agreement, notes, out }: ScoredStudy): string[] {
  const rate = (value: number | null, ci: Interval | null): string =>
    value === null
      ? '–'
      : `${value.toFixed(3)}${ci === null ? '' : ` [${ci.map((end) => end.toFixed(3)).join(', ')}]`}`
  return [
    ...readers.map(
      (one) =>
        `${one.id}: ${counted(one.cases, 'case')}, accuracy ${rate(one.accuracy, one.ci)}, sensitivity ${rate(one.sensitivity, null)}, specificity ${rate(one.specificity, null)}, AUC ${rate(one.auc, one.aucCi)}`,
    ),
    ...(all === null
      ? ['no reader has answered every case yet']
      : [
          `all ${counted(all.readers, 'complete reader')}: accuracy ${rate(all.accuracy.rate, all.accuracy.ci)}, p = ${all.pChance!.toPrecision(2)} against 50 %, p = ${all.pPaper!.toPrecision(2)} against the paper`,
        ]),
    ...(agreement === null
      ? []
      : [
          `${agreement.method === 'Cohen' ? "Cohen's" : "Fleiss'"} kappa: ${kappa === null ? 'undefined' : rate(kappa, agreement.ci)}`,
        ]),
    ...notes.map((note) => `note: ${note}`),
    `written to ${out}: score.html, readers.csv, answers.csv`,
  ]
}
