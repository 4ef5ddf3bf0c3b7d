import { rm } from 'node:fs/promises'
import { Router } from 'zeromq'
import { RuntimeCrashError } from '../errors.js'
import { decodeMessage, encodeMessage, MAX_FRAME_BYTES, type Message } from './frames.js'
import { sameSecret } from './secret.js'
import { newSocketPath } from './socket-path.js'

/**
 * Messages in each direction that may wait in the library for a peer. A peer keeps fewer requests open
 * (bridge/feed.py), so a peer that does not read never blocks others.
 */
const HIGH_WATER_MARK = 16
/** A peer with more unanswered messages is faulty. */
const MAX_OPEN = 64

export interface TensorServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** Secret of the job: a peer is called `rank-N.TOKEN`. Messages of other peers are dropped. */
  readonly token: string
  /**
   * Answer a message of rank N; undefined sends no answer. Calls overlap: a peer may send several requests,
   * and gets its answers in the order in which they are ready. The tensors of an answer must not change until
   * the peer has acknowledged it by a message of its own. Memory that is never written again needs no care.
   */
  readonly onMessage: (rank: number, message: Message) => Promise<Message | undefined>
  /** Called once, with the first message of a rank that could not be decoded or answered: the job ends. */
  readonly onFailure: (error: unknown) => void
}

export interface TensorServer extends AsyncDisposable {
  /** `ipc://` address of the socket. */
  readonly address: string
  /** Number of dropped messages whose sender is no rank of the job. */
  readonly strays: number
  /** Drop unsent messages, ignore pending answers, and remove the socket. */
  close(): Promise<void>
}

/**
 * Open a ZeroMQ ROUTER that ranks pull from. A peer gets answers only to its requests, so its requests are
 * the credit that bounds memory. A server serves one generation of ranks: each numbers its messages from 0,
 * and a gap is a failure.
 * @throws EnvironmentError if the directory allows no socket
 */
export async function openTensorServer(options: TensorServerOptions): Promise<TensorServer> {
  const path = await newSocketPath(options.directory, 'feed.sock')
  const socket = new Router({
    linger: 0,
    sendHighWaterMark: HIGH_WATER_MARK,
    receiveHighWaterMark: HIGH_WATER_MARK,
    maxMessageSize: MAX_FRAME_BYTES,
    // without it the library silently drops messages to a peer whose queue is full
    mandatory: true,
    // a second process of the same name is then received and detected by its sequence; otherwise it would
    // wait for ever
    handover: true,
  })
  try {
    await socket.bind(`ipc://${path}`)
  } catch (error) {
    socket.close()
    throw error
  }
  const dropped = { strays: 0 }
  const serving = serve(socket, options, dropped)
  const close = async (): Promise<void> => {
    socket.close()
    await serving
    await rm(path, { force: true })
  }
  return {
    address: `ipc://${path}`,
    get strays() {
      return dropped.strays
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Peer {
  readonly id: Buffer
  readonly rank: number
  received: number
  sent: number
  /** Number of unanswered messages. */
  open: number
}

async function serve(
  socket: Router,
  options: TensorServerOptions,
  dropped: { strays: number },
): Promise<void> {
  const peers = new Map<string, Peer>()
  const send = sender(socket)
  let failed = false
  const fail = (error: unknown): void => {
    if (failed || socket.closed) return
    failed = true
    options.onFailure(error)
  }
  try {
    for await (const [id, ...frames] of socket) {
      const peer = peerOf(peers, id!, options.token)
      if (peer === null) dropped.strays++
      else answer(peer, frames, options.onMessage, send).catch(fail)
    }
  } catch (error) {
    fail(error)
  }
}

async function answer(
  peer: Peer,
  frames: readonly Buffer[],
  onMessage: TensorServerOptions['onMessage'],
  send: (peer: Peer, reply: Message) => Promise<void>,
): Promise<void> {
  const { message, sequence } = decodeMessage(frames)
  if (sequence !== peer.received)
    throw new RuntimeCrashError(
      `rank ${peer.rank}: wrong message number (expected ${peer.received}, found ${sequence})`,
      { hint: 'start the job again: a message was lost, or two processes share this rank' },
    )
  peer.received++
  if (++peer.open > MAX_OPEN)
    throw new RuntimeCrashError(
      `rank ${peer.rank}: too many unanswered messages (expected at most ${MAX_OPEN})`,
      {
        hint: 'start the job again',
      },
    )
  const reply = await onMessage(peer.rank, message)
  if (reply) await send(peer, reply)
  peer.open--
}

/** Return a function that sends one message at a time: the library refuses a second one on a busy socket. */
function sender(socket: Router): (peer: Peer, reply: Message) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve()
  return (peer, reply) => {
    const sent = last.then(async () => {
      if (socket.closed) return
      await socket.send([peer.id, ...encodeMessage(reply, peer.sent)]).catch(unlessGone)
      peer.sent++
    })
    // a failed message must not fail the messages behind it
    last = sent.catch(() => {})
    return sent
  }
}

/** Ignore a rank that has ended meanwhile: the launcher reports why it ended. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EHOSTUNREACH') throw error
}

/** Return the peer of an id; null without the token: such messages have no meaning for the job. */
function peerOf(peers: Map<string, Peer>, id: Buffer, token: string): Peer | null {
  const name = id.toString('latin1')
  const known = peers.get(name)
  if (known) return known
  const match = /^rank-(\d{1,6})\.(.*)$/s.exec(name)
  if (!match || !sameSecret(match[2]!, token)) return null
  const peer: Peer = { id, rank: Number(match[1]), received: 0, sent: 0, open: 0 }
  peers.set(name, peer)
  return peer
}
