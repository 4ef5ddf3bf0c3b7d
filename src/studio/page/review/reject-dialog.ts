import { make } from '../dom.js'

/** Reasons by key. */
const REASONS = ['edge', 'intensity', 'texture', 'shape', 'location', 'overlaps a real finding'] as const

/** Asks for the reason of a rejection: a digit, or a text and Enter. */
export class RejectDialog {
  readonly element: HTMLDialogElement
  readonly #text = make('input', {
    is: {
      id: 'reject-text',
      maxlength: '500',
      autocomplete: 'off',
      placeholder: 'another reason, then Enter',
    },
  })
  #answer: ((reason: string) => void) | null = null

  constructor() {
    const buttons = REASONS.map((reason, at) =>
      make(
        'button',
        { is: { type: 'button' }, on: { click: () => this.#give(reason) } },
        make('kbd', {}, String(at + 1)),
        ` ${reason}`,
      ),
    )
    this.element = make(
      'dialog',
      { class: 'reject', is: { 'aria-labelledby': 'reject-title' } },
      make('h2', { is: { id: 'reject-title' } }, 'Why is the tumor rejected?'),
      make('div', { class: 'reasons' }, ...buttons),
      make(
        'form',
        {
          on: {
            submit: (event) => {
              event.preventDefault()
              if (this.#text.value.trim() !== '') this.#give(this.#text.value.trim())
            },
          },
        },
        make('label', { class: 'hidden', is: { for: 'reject-text' } }, 'Another reason'),
        this.#text,
      ),
      make('p', { class: 'quiet' }, 'Escape cancels.'),
    )
    this.element.addEventListener('keydown', (event) => {
      const reason = REASONS[Number(event.key) - 1]
      if (event.target === this.#text && this.#text.value !== '') return
      if (reason === undefined || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      this.#give(reason)
    })
  }

  ask(answer: (reason: string) => void): void {
    this.#answer = answer
    this.#text.value = ''
    this.element.showModal()
  }

  #give(reason: string): void {
    this.element.close()
    this.#answer?.(reason)
  }
}
