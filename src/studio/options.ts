import type { ControlledProcesses } from '../pipeline/ports/runs.js'

/** Address of a server, and the way of browsers to it. */
export interface StudioAddress {
  /** Default: any free port. */
  readonly port?: number | undefined
  /** Default: 127.0.0.1. Another one than loopback needs `tls` or `proxyOrigin`. */
  readonly host?: string | undefined
  /** Certificate and key in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Origin of the reverse proxy through which browsers reach the server, such as `https://lab.example`. */
  readonly proxyOrigin?: string | undefined
}

export interface StudioSettings extends StudioAddress {
  /** Accept commands to runs, and decisions on synthetic tumors. Default: false. */
  readonly control?: boolean | undefined
  /** Accept decisions on synthetic tumors, and write them to this file. Default: `reviews.jsonl` of each data set. */
  readonly reviews?: string | undefined
}

export interface StudioOptions extends StudioSettings {
  /** Folders below which runs and data are listed; nothing outside them is read. */
  readonly folders: readonly string[]
  /** Folder of the built page. */
  readonly pageFolder: string
  readonly processes: ControlledProcesses
}
