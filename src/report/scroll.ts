import { escapeHtml } from './escape-html.js'

/**
 * Open a `div` that scrolls sideways on narrow screens, by touch and by keyboard.
 * @param label name of the table for screen readers
 */
export function openScroll(label: string, look = ''): string {
  const classes = look === '' ? 'scroll' : `scroll ${look}`
  return `<div class="${classes}" tabindex="0" role="group" aria-label="${escapeHtml(label)}">`
}
