import { short } from '../../../report/wording.js'
import type { ItemTable, Reviews } from '../../review/messages.js'
import { make, setText } from '../dom.js'
import { asServerError } from '../server.js'
import { showError } from '../view.js'
import { saveCsv } from './data.js'

const REVIEWER = 'freetumor-reviewer'

interface Acts {
  accept(): void
  reject(): void
  undo(): void
  /** The reviewer entered a name. */
  named(): void
}

/** Buttons for decisions, the name of the reviewer, the last answer and the agreement. */
export class DecisionBar {
  readonly element: HTMLElement
  readonly #status = make('p', { class: 'answer', is: { role: 'status' } })
  readonly #agreement = make('p', { class: 'quiet agreement' })
  readonly #name = make('input', {
    is: { id: 'reviewer-name', maxlength: '100', autocomplete: 'off', placeholder: 'name or initials' },
  })

  constructor(
    id: string,
    { reviews }: ItemTable,
    private readonly acts: Acts,
  ) {
    const csv = make(
      'button',
      {
        is: { type: 'button', title: 'Save all decisions as CSV' },
        on: { click: () => void saveCsv(id).catch((error) => this.fail(error)) },
      },
      'CSV',
    )
    const readOnly = make('p', {}, 'Read only. Start `freetumor studio --control` to record decisions.')
    this.element = make(
      'div',
      { class: 'decide' },
      ...(reviews === null
        ? [readOnly, make('div', { class: 'bar' }, csv)]
        : [make('div', { class: 'bar' }, ...this.#buttons(), this.#form(), csv)]),
      this.#status,
      this.#agreement,
    )
  }

  /** Name of the reviewer; empty until it is entered. */
  get reviewer(): string {
    return sessionStorage.getItem(REVIEWER) ?? ''
  }

  askName(): void {
    this.show('Enter your name first; it is recorded with each decision.', 'failed')
    this.#name.focus()
  }

  show(text: string, look = 'quiet'): void {
    this.#status.className = `answer ${look}`
    setText(this.#status, text)
  }

  fail(error: unknown): void {
    const { message, hint } = asServerError(error)
    this.show(`${message} ${hint}`, 'failed')
    if (!this.#status.isConnected) showError(asServerError(error))
  }

  showAgreement({ decisions, agreement, elsewhere }: Reviews): void {
    const texts = [`${decisions.length.toLocaleString('en-US')} decided`]
    if (agreement !== null) {
      const { method, kappa, ci, items, reviewers } = agreement
      const range = ci === null ? '' : `, 95 % interval ${short(ci[0])} to ${short(ci[1])}`
      const value = kappa === null ? 'undefined' : `${short(kappa)}${range}`
      texts.push(`${method}'s kappa of ${reviewers} reviewers: ${value} (${items} shared)`)
    }
    if (elsewhere > 0) texts.push(`${elsewhere} decisions on tumors outside this list`)
    setText(this.#agreement, texts.join(' · '))
  }

  #buttons(): HTMLElement[] {
    const button = (text: string, key: string, look: string, act: () => void): HTMLElement =>
      make(
        'button',
        { class: look, is: { type: 'button' }, on: { click: act } },
        text,
        ' ',
        make('kbd', {}, key),
      )
    return [
      button('Accept', 'a', 'accept', () => this.acts.accept()),
      button('Reject', 'r', 'danger', () => this.acts.reject()),
      button('Undo', 'u', '', () => this.acts.undo()),
    ]
  }

  #form(): HTMLElement {
    this.#name.value = this.reviewer
    this.#name.addEventListener('change', (event) => this.#setName(event))
    return make(
      'form',
      { class: 'reviewer', on: { submit: (event) => this.#setName(event) } },
      make('label', { is: { for: 'reviewer-name' } }, 'Reviewer'),
      this.#name,
    )
  }

  #setName(event: Event): void {
    event.preventDefault()
    const name = this.#name.value.trim().slice(0, 100)
    sessionStorage.setItem(REVIEWER, name)
    if (name === '') return
    if (event.type === 'submit') this.#name.blur()
    this.show(`Decisions are recorded as ${name}.`)
    this.acts.named()
  }
}
