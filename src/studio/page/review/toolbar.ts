import type { CollectionKind } from '../../review/messages.js'
import { make } from '../dom.js'
import type { Viewer } from './viewer.js'
import { WINDOWS } from './windows.js'

/** Buttons for windows and views; they show what is on. */
export class Toolbar {
  readonly element: HTMLElement
  readonly #windows = new Map<string, HTMLButtonElement>()
  readonly #toggles = new Map<string, HTMLButtonElement>()

  constructor(
    private readonly viewer: Viewer,
    kind: CollectionKind,
    help: () => void,
  ) {
    const windows = WINDOWS.map(({ key, name, low, high }) => {
      const button = keyButton(name, key, () => this.setWindow(key))
      button.title = `${low} to ${high} HU`
      this.#windows.set(key, button)
      return button
    })
    const toggle = (name: string, text: string, key: string, act: () => void): HTMLButtonElement => {
      const button = keyButton(text, key, () => this.act(act))
      this.#toggles.set(name, button)
      return button
    }
    const tools = [
      toggle('zoom', 'Zoom', 'z', () => viewer.toggleZoom()),
      toggle('plane', 'Planes', 'v', () => viewer.nextPlane()),
      kind === 'synthetic' ? toggle('blink', 'Blink', 'b', () => viewer.toggleBlink()) : null,
      kind === 'audit' ? null : toggle('outline', 'Outline', 'm', () => viewer.toggleOutline()),
      keyButton('Keys', '?', help),
    ]
    this.element = make(
      'div',
      { class: 'toolbar', is: { role: 'toolbar', 'aria-label': 'Viewer' } },
      make('div', { class: 'group', is: { role: 'group', 'aria-label': 'Intensity window' } }, ...windows),
      make('div', { class: 'group' }, ...tools),
    )
    this.show()
  }

  setWindow(key: string): void {
    const window = WINDOWS.find((one) => one.key === key)
    if (window !== undefined) this.act(() => this.viewer.setWindow(window))
  }

  /** Change the viewer, and show what is on. */
  act(change: () => void): void {
    change()
    this.show()
  }

  show(): void {
    const pressed: Readonly<Record<string, boolean>> = {
      zoom: this.viewer.isZoomed,
      plane: this.viewer.onlyPlane !== null,
      blink: this.viewer.isBlinked,
      outline: this.viewer.isOutlined,
    }
    for (const [name, button] of this.#toggles) button.setAttribute('aria-pressed', String(pressed[name]))
    for (const [key, button] of this.#windows)
      button.setAttribute('aria-pressed', String(this.viewer.window.key === key))
  }
}

function keyButton(text: string, key: string, act: () => void): HTMLButtonElement {
  return make('button', { is: { type: 'button' }, on: { click: act } }, text, ' ', make('kbd', {}, key))
}
