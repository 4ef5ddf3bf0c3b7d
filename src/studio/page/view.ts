import { setText } from './dom.js'
import type { ServerError } from './server.js'

/** A page of the studio. */
export interface View {
  readonly title: string
  /** End its requests. */
  close(): void
}

/** Show that the server does not answer, or remove the message. */
export function showError(error: ServerError | null): void {
  const place = document.getElementById('connection')!
  place.className = error === null ? 'quiet' : 'failed'
  setText(place, error === null ? '' : `${error.message} ${error.hint}`)
}
