import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** Dials a `unix:` address without gRPC, sends these bytes and leaves the connection open. */
export async function dialRaw(address: string, bytes: Buffer): Promise<Socket> {
  const socket = connect(address.replace('unix:', ''))
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {}) // the server may reset it
  socket.resume()
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  socket.write(bytes)
  return socket
}

/** A terminal's escape sequence, so that a quotation would be seen, and much more than one packet holds. */
export const GARBAGE = Buffer.concat([Buffer.from('\u001b[31mCANARY\n'), Buffer.alloc(1 << 18, 0xff)])

/** What an HTTP/2 client says first, and then no frame that is one. */
export const GARBAGE_AFTER_PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  GARBAGE,
])

export const RAW: readonly (readonly [string, Buffer])[] = [
  ['connects and says nothing', Buffer.alloc(0)],
  ['sends garbage', GARBAGE],
  ['sends garbage after the preface of HTTP/2', GARBAGE_AFTER_PREFACE],
  ['speaks HTTP/1', Buffer.from('GET /CANARY HTTP/1.1\r\nHost: x\r\n\r\n')],
]
