import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { renameInJournal } from '../../readers/journal.js'
import { readStudy, removeReader, STUDY_FILES } from '../../readers/study.js'
import { type CliIo, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

/** `freetumor readers delete` */
export function addReadersDelete(readers: Command, io: CliIo): void {
  withExample(
    readers.command('delete'),
    'freetumor readers delete study anna',
    'freetumor readers delete study anna --keep-answers',
  )
    .description('Remove a reader: name, link and answers')
    .argument('<study>', 'folder of the study')
    .argument('<reader>', 'name of the reader')
    .option('--keep-answers', 'Keep the answers and the link under a new pseudonym')
    .addOption(outputOption())
    .action(
      async (
        study: string,
        reader: string,
        { keepAnswers = false, output }: { readonly keepAnswers?: boolean; readonly output: 'text' | 'json' },
      ) => {
        const folder = resolve(io.cwd, study)
        await readStudy(folder)
        const renamed = await removeReader(folder, reader, keepAnswers)
        await renameInJournal(join(folder, STUDY_FILES.journal), reader, renamed)
        printResult(io, 'readers delete', output, { reader, renamed }, () => [
          renamed === null
            ? `${reader} and all their answers are deleted; write \`freetumor readers score\` again`
            : `${reader} is ${renamed} now`,
        ])
      },
    )
}
