import { capability, version } from 'zeromq'

/** Capabilities of the installed ZeroMQ library. */
export interface ZeromqCapability {
  /** Version of libzmq. */
  readonly version: string
  /** Unix sockets, which carry the tensor messages. */
  readonly ipc: boolean
}

export function zeromqCapability(): ZeromqCapability {
  return { version, ipc: capability.ipc === true }
}
