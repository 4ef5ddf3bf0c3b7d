import { join, resolve } from 'node:path'
import { onAbort } from '../../abort.js'
import { UsageError } from '../../errors.js'
import { readForeignText } from '../../foreign-text.js'
import { packageRoot } from '../../runtime/python.js'
import { controlledProcesses } from '../../runtime/run-service.js'
import type { StudioSettings } from '../../studio/options.js'
import { openStudio } from '../../studio/server.js'
import { noteDicom } from '../dicom-arguments.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly port?: number
  readonly control?: true
  readonly reviews?: string
  readonly host?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly behindProxy?: string
  readonly output: 'text' | 'json'
}

/** `freetumor studio`: serve a page with the runs below folders. */
export const addStudioCommand: AddCommand = (program, io) => {
  withExample(program.command('studio'), 'freetumor studio', 'freetumor studio synthetic scans --control')
    .description('Show runs live and review synthetic tumors in a browser, until Ctrl-C')
    .argument(
      '[dir...]',
      'folders with runs, synthetic data sets, evaluations and host CTs, at most three levels deep (default: runs)',
    )
    .option('--port <number>', 'Set the port; default: any free port', wholeNumber(0, 65_535))
    .option('--control', 'Accept commands to runs, and decisions on synthetic tumors, from the page')
    .option(
      '--reviews <file>',
      'Accept decisions, and write them to this file (default: reviews.jsonl of each data set)',
    )
    .option('--host <address>', 'Set the address; another one than loopback needs TLS or a proxy')
    .option('--tls-cert <file>', 'Use TLS with this certificate (PEM)')
    .option('--tls-key <file>', 'Use this private key (PEM) of the certificate')
    .option('--behind-proxy <origin>', 'Accept requests of a reverse proxy at this https origin')
    .addOption(outputOption())
    .action(async (given: string[], options: Options) => {
      const folders = (given.length > 0 ? given : ['runs']).map((folder) => resolve(io.cwd, folder))
      const stopped = new Promise<void>((resolveStop) => onAbort(io.signal, resolveStop))
      await using studio = await openStudio({
        folders,
        pageFolder: join(packageRoot, 'dist/studio/page'),
        processes: controlledProcesses,
        port: options.port,
        host: options.host,
        control: options.control,
        reviews: options.reviews === undefined ? undefined : resolve(io.cwd, options.reviews),
        tls: await tlsOf(io.cwd, options),
        proxyOrigin: options.behindProxy === undefined ? undefined : originOf(options.behindProxy),
      })
      for (const one of given) await noteDicom(one, io)
      printResult(io, 'studio', options.output, { url: studio.url }, () => [studio.url])
      io.note('open this URL in a browser; Ctrl-C ends the server')
      await stopped
    })
}

/** Return certificate and key; undefined without both options. */
async function tlsOf(cwd: string, { tlsCert, tlsKey }: Options): Promise<StudioSettings['tls']> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined)
    throw new UsageError('studio: half of TLS (expected --tls-cert and --tls-key, found one of them)', {
      hint: 'add the other option',
    })
  const [cert, key] = await Promise.all([tlsCert, tlsKey].map((file) => readForeignText(resolve(cwd, file))))
  return { cert: cert!, key: key! }
}

function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/` || url.username !== '')
    throw new UsageError(`studio: wrong origin (expected https://NAME[:PORT], found ${text})`, {
      hint: 'write --behind-proxy https://lab.example',
    })
  return url.origin
}
