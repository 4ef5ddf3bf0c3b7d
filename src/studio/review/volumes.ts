import { Readable } from 'node:stream'
import { refuse } from '../guard.js'
import { openInside } from '../inside.js'

/** Largest stored volume that is served. */
const MAX_BYTES = 2 ** 31
/** Most volumes that are sent at a time: each holds one buffer. */
const MAX_SENT = 24
const BUFFER_BYTES = 256 * 1024

/** Sends volumes as they are on the disk, one buffer after another. */
export class VolumeSender {
  #sending = 0

  /** Answer with a file below a root. @throws DataError if the file leads out of the root or is no regular file */
  async answer(root: string, path: string): Promise<Response> {
    if (this.#sending >= MAX_SENT)
      return refuse(`volumes: too many at a time (expected at most ${MAX_SENT})`, 'close other pages', 503)
    const file = await openInside(root, path)
    if (file === null) return refuse('volume: file not found', 'reload the page', 404)
    const { size } = await file.stat()
    if (size > MAX_BYTES) {
      await file.close()
      return refuse(
        `volume: too large (expected at most ${MAX_BYTES} bytes)`,
        'open it in another viewer',
        413,
      )
    }
    this.#sending++
    // a file that grows meanwhile is sent at its first length
    const stream = file.createReadStream({
      highWaterMark: BUFFER_BYTES,
      start: 0,
      end: Math.max(0, size - 1),
    })
    stream.once('close', () => {
      this.#sending--
    })
    return new Response(Readable.toWeb(stream) as ReadableStream, {
      headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': String(size) },
    })
  }
}
