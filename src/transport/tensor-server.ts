import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Router } from 'zeromq'
import { EnvironmentError, RuntimeCrashError } from '../errors.js'
import { decodeMessage, encodeMessage, type Message } from './frames.js'

/** The operating system's limit of a unix socket's path, less the end mark. */
const MAX_SOCKET_PATH = 107
const MAX_MESSAGE_BYTES = 2 ** 31

export interface TensorServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** Answers a message of the peer that calls itself `rank-N`; undefined answers nothing. */
  readonly onMessage: (rank: number, message: Message) => Promise<Message | undefined>
  /** Told once when a message could not be answered: the job cannot go on. */
  readonly onFailure: (error: unknown) => void
}

export interface TensorServer {
  readonly address: string
  close(): Promise<void>
}

/**
 * A ZeroMQ ROUTER that ranks pull from. A peer gets answers only to what it asked, so its requests are the credit that
 * bounds memory here. Peers name themselves `rank-N` by their routing id.
 */
export async function openTensorServer(options: TensorServerOptions): Promise<TensorServer> {
  const path = join(options.directory, 'feed.sock')
  if (path.length > MAX_SOCKET_PATH)
    throw new EnvironmentError(`socket path ${path} is longer than ${MAX_SOCKET_PATH} bytes`, {
      hint: 'set TMPDIR to a shorter directory',
    })
  await rm(path, { force: true })
  const socket = new Router({
    linger: 0,
    sendHighWaterMark: 16,
    receiveHighWaterMark: 16,
    maxMessageSize: MAX_MESSAGE_BYTES,
    handover: true,
  })
  await socket.bind(`ipc://${path}`)
  const serving = serve(socket, options)
  return {
    address: `ipc://${path}`,
    async close() {
      socket.close()
      await serving
      await rm(path, { force: true })
    },
  }
}

async function serve(socket: Router, options: TensorServerOptions): Promise<void> {
  const sequences = new Map<string, number>()
  // One send at a time: a second one on a busy socket is refused by the library.
  let sending: Promise<void> = Promise.resolve()
  const answer = async (peer: Buffer, frames: readonly Buffer[]): Promise<void> => {
    const name = peer.toString('utf8')
    const reply = await options.onMessage(rankOf(name), decodeMessage(frames).message)
    if (!reply) return
    sending = sending.then(async () => {
      const sequence = sequences.get(name) ?? 0
      sequences.set(name, sequence + 1)
      if (!socket.closed) await socket.send([peer, ...encodeMessage(reply, sequence)])
    })
    await sending
  }
  try {
    for await (const [peer, ...frames] of socket) {
      answer(peer!, frames).catch((error: unknown) => {
        if (!socket.closed) options.onFailure(error)
      })
    }
  } catch (error) {
    if (!socket.closed) options.onFailure(error)
  }
}

function rankOf(name: string): number {
  const match = /^rank-(\d+)$/.exec(name)
  if (!match) throw new RuntimeCrashError(`a peer calls itself ${JSON.stringify(name)}; rank-N was expected`)
  return Number(match[1])
}
