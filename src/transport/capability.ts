import { capability, version } from 'zeromq'

/** What the ZeroMQ library of this installation can do. */
export interface ZeromqCapability {
  /** Version of libzmq. */
  readonly version: string
  /** Unix sockets: what frames travel over. */
  readonly ipc: boolean
}

export function zeromqCapability(): ZeromqCapability {
  return { version, ipc: capability.ipc === true }
}
