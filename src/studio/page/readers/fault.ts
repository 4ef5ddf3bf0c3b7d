import { setText } from '../dom.js'
import { asServerError } from '../server.js'

/** Show that a request failed, with what the reader can do; null removes the message. */
export function showFault(error: unknown): void {
  const place = document.getElementById('connection')!
  place.className = error === null ? 'quiet' : 'failed'
  if (error === null) {
    setText(place, '')
    return
  }
  const { status, message, hint } = asServerError(error)
  const texts: Readonly<Record<number, string>> = {
    0: 'The server does not answer. Your answers so far are saved. Try again later.',
    401: 'This tab has no valid link. Open your link again.',
  }
  setText(place, texts[status] ?? `${message} ${hint}`)
}
