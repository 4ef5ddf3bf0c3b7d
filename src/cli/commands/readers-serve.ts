import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { onAbort } from '../../abort.js'
import { UsageError } from '../../errors.js'
import { SERVING } from '../../pipeline/locks.js'
import { readStudy, STUDY_BOUNDS } from '../../readers/study.js'
import { lockDirectory } from '../../runtime/directory-lock.js'
import { packageRoot } from '../../runtime/python.js'
import { openReaderServer } from '../../studio/readers/server.js'
import { type AddressFlags, addAddressOptions, addressOf } from '../address-options.js'
import { type CliIo, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

interface Options extends AddressFlags {
  readonly readers: string
  readonly output: 'text' | 'json'
}

/** `freetumor readers serve` */
export function addReadersServe(readers: Command, io: CliIo): void {
  const command = withExample(
    readers.command('serve'),
    'freetumor readers serve study --readers 3',
    'freetumor readers serve study --port 8765 --behind-proxy https://lab.example',
  )
    .description('Serve a study: one link for each reader, until Ctrl-C; answers are kept')
    .argument('<study>', 'folder of the study')
    .option('--readers <n|names>', 'Set the number of readers R01, R02, ..., or their names', '1')
  addAddressOptions(command)
    .addOption(outputOption())
    .action(async (study: string, options: Options) => {
      const stopped = new Promise<void>((resolveStop) => onAbort(io.signal, resolveStop))
      const folder = resolve(io.cwd, study)
      // a folder without a study gets no lock file
      await readStudy(folder)
      await using _lock = await lockDirectory(folder, SERVING)
      await using server = await openReaderServer({
        study: folder,
        readers: readersOf(options.readers),
        pageFolder: join(packageRoot, 'dist/studio/page'),
        ...(await addressOf('readers serve', io.cwd, options)),
      })
      const { readers: links, total } = server
      printResult(io, 'readers serve', options.output, { readers: links, total }, () =>
        links.map(({ id, url, answered }) => `${id}  ${url}  ${answered} of ${total} answered`),
      )
      io.note('send each reader their own link; Ctrl-C ends the server, and all answers are kept')
      await stopped
    })
}

function readersOf(text: string): readonly string[] | number {
  const number = Number(text)
  if (/^\d+$/.test(text)) {
    if (number >= 1 && number <= STUDY_BOUNDS.readers) return number
    throw new UsageError(`--readers ${text}: wrong number (expected 1 to ${STUDY_BOUNDS.readers})`, {
      hint: 'write --readers 3',
    })
  }
  const names = text.split(',').map((name) => name.trim())
  const wrong = names.find(
    (name) => !/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u.test(name) || name.length > STUDY_BOUNDS.name,
  )
  if (wrong !== undefined || new Set(names).size < names.length)
    throw new UsageError(
      `--readers ${text}: wrong names (expected different names of letters, digits, space, . _ -)`,
      { hint: 'leave names out: pseudonyms protect the readers' },
    )
  return names
}
