import { join, resolve } from 'node:path'
import { onAbort } from '../../abort.js'
import { packageRoot } from '../../runtime/python.js'
import { controlledProcesses } from '../../runtime/run-service.js'
import { openStudio } from '../../studio/server.js'
import { type AddressFlags, addAddressOptions, addressOf } from '../address-options.js'
import { noteDicom } from '../dicom-arguments.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options extends AddressFlags {
  readonly control?: true
  readonly reviews?: string
  readonly output: 'text' | 'json'
}

/** `freetumor studio`: serve a page with the runs below folders. */
export const addStudioCommand: AddCommand = (program, io) => {
  const command = withExample(
    program.command('studio'),
    'freetumor studio',
    'freetumor studio synthetic scans --control',
  )
    .description('Show runs live and review synthetic tumors in a browser, until Ctrl-C')
    .argument(
      '[dir...]',
      'folders with runs, synthetic data sets, evaluations and host CTs, at most three levels deep (default: runs)',
    )
    .option('--control', 'Accept commands to runs, and decisions on synthetic tumors, from the page')
    .option(
      '--reviews <file>',
      'Accept decisions, and write them to this file (default: reviews.jsonl of each data set)',
    )
  addAddressOptions(command)
    .addOption(outputOption())
    .action(async (given: string[], options: Options) => {
      const folders = (given.length > 0 ? given : ['runs']).map((folder) => resolve(io.cwd, folder))
      const stopped = new Promise<void>((resolveStop) => onAbort(io.signal, resolveStop))
      await using studio = await openStudio({
        folders,
        pageFolder: join(packageRoot, 'dist/studio/page'),
        processes: controlledProcesses,
        ...(await addressOf('studio', io.cwd, options)),
        control: options.control,
        reviews: options.reviews === undefined ? undefined : resolve(io.cwd, options.reviews),
      })
      for (const one of given) await noteDicom(one, io)
      printResult(io, 'studio', options.output, { url: studio.url }, () => [studio.url])
      io.note('open this URL in a browser; Ctrl-C ends the server')
      await stopped
    })
}
