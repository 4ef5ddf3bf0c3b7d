import { resolve } from 'node:path'
import { writeCards } from '../../pipeline/cards/write.js'
import { type OutputFormat, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly out: string
  readonly output: OutputFormat
}

/** `freetumor card PATH --out DIR` */
export const addCardCommand: AddCommand = (program, io) => {
  withExample(
    program.command('card'),
    'freetumor card synthetic --out synthetic',
    'freetumor card runs/first --out cards',
  )
    .description('Write a data card with Croissant, or a model card, from files')
    .argument('<path>', 'synthetic data set, or run directory')
    .requiredOption('--out <dir>', 'Set the folder of the cards')
    .addOption(outputOption())
    .action(async (path: string, { out, output }: Options) => {
      const cards = await writeCards(resolve(io.cwd, path), resolve(io.cwd, out))
      printResult(io, 'card', output, cards, () => cards.files)
    })
}
