import { resolve } from 'node:path'
import type { Command } from 'commander'
import { UsageError } from '../errors.js'
import { readForeignText } from '../foreign-text.js'
import type { StudioAddress } from '../studio/options.js'
import { wholeNumber } from './numbers.js'

/** Options of the commands that serve pages, as the command line gives them. */
export interface AddressFlags {
  readonly port?: number
  readonly host?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly behindProxy?: string
}

/** Add the options for the address of a server. */
export function addAddressOptions(command: Command): Command {
  return command
    .option('--port <number>', 'Set the port; default: any free port', wholeNumber(0, 65_535))
    .option('--host <address>', 'Set the address; another one than loopback needs TLS or a proxy')
    .option('--tls-cert <file>', 'Use TLS with this certificate (PEM)')
    .option('--tls-key <file>', 'Use this private key (PEM) of the certificate')
    .option('--behind-proxy <origin>', 'Accept requests of a reverse proxy at this https origin')
}

/**
 * Return where a server listens.
 * @param command named in errors
 */
export async function addressOf(command: string, cwd: string, flags: AddressFlags): Promise<StudioAddress> {
  return {
    port: flags.port,
    host: flags.host,
    tls: await tlsOf(command, cwd, flags),
    proxyOrigin: flags.behindProxy === undefined ? undefined : originOf(command, flags.behindProxy),
  }
}

/** Return certificate and key; undefined without both options. */
async function tlsOf(
  command: string,
  cwd: string,
  { tlsCert, tlsKey }: AddressFlags,
): Promise<StudioAddress['tls']> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined)
    throw new UsageError(`${command}: half of TLS (expected --tls-cert and --tls-key, found one of them)`, {
      hint: 'add the other option',
    })
  const [cert, key] = await Promise.all([tlsCert, tlsKey].map((file) => readForeignText(resolve(cwd, file))))
  return { cert: cert!, key: key! }
}

function originOf(command: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/` || url.username !== '')
    throw new UsageError(`${command}: wrong origin (expected https://NAME[:PORT], found ${text})`, {
      hint: 'write --behind-proxy https://lab.example',
    })
  return url.origin
}
