import { make } from '../dom.js'

/** A key of the viewer. */
export interface Shortcut {
  /** Values of `KeyboardEvent.key`; the first one is shown. */
  readonly keys: readonly string[]
  readonly text: string
  readonly act: () => void
}

const SHOWN: Readonly<Record<string, string>> = {
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
  PageUp: 'Page ↑',
  PageDown: 'Page ↓',
}

/**
 * Act on keys until the signal aborts, except in dialogs.
 * @param isTaken whether the element with the focus uses a key itself. Default: fields use all keys
 */
export function listenToKeys(
  shortcuts: readonly Shortcut[],
  signal: AbortSignal,
  isTaken: (target: EventTarget | null, key: string) => boolean = isTyping,
): void {
  const byKey = new Map(shortcuts.flatMap((one) => one.keys.map((key) => [key, one])))
  addEventListener(
    'keydown',
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event.target, event.key)) return
      if (document.querySelector('dialog[open]') !== null) return
      const shortcut = byKey.get(event.key)
      if (shortcut === undefined) return
      event.preventDefault()
      shortcut.act()
    },
    { signal },
  )
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, select, textarea') !== null
}

/** Return a dialog that lists the keys. */
export function helpDialog(shortcuts: readonly Shortcut[]): HTMLDialogElement {
  const rows = shortcuts
    .filter(({ text }) => text !== '')
    .map(({ keys, text }) =>
      make(
        'div',
        {},
        make('dt', {}, ...keys.slice(0, 2).map((key) => make('kbd', {}, SHOWN[key] ?? key))),
        make('dd', {}, text),
      ),
    )
  const close = make('button', { is: { type: 'button' }, on: { click: () => dialog.close() } }, 'Close')
  const dialog = make(
    'dialog',
    { class: 'help', is: { 'aria-labelledby': 'help-title' } },
    make('h2', { is: { id: 'help-title' } }, 'Keys'),
    make('dl', {}, ...rows),
    make(
      'p',
      { class: 'quiet' },
      'Drag to move the crosshair, with Shift to move the zoomed view. The wheel changes the slice, with Ctrl the zoom.',
    ),
    close,
  )
  dialog.addEventListener('keydown', (event) => {
    if (event.key === '?') dialog.close()
  })
  return dialog
}
