import type { RunCommand, RunRow } from '../messages.js'
import { make, setText } from './dom.js'
import { asServerError, sendCommand } from './server.js'
import { isRunning } from './words.js'

const DONE: Readonly<Record<RunCommand['type'], string>> = {
  pause: 'Paused',
  unpause: 'Continued',
  checkpoint: 'Checkpoint saved',
  stop: 'Stopped',
  setLearningRate: 'Learning rate set',
}

/** Buttons that control a run, and the step at which each command took effect. */
export class ControlBar {
  readonly element: HTMLElement
  readonly #answer = make('p', { class: 'answer', is: { role: 'status' } })
  readonly #buttons: Readonly<Record<'pause' | 'unpause' | 'checkpoint' | 'stop', HTMLButtonElement>>
  readonly #value = make('input', {
    is: { id: 'learning-rate', inputmode: 'decimal', size: '8', placeholder: '1e-4', autocomplete: 'off' },
  })
  readonly #set = make('button', { is: { type: 'submit' } }, 'Set')
  #stopAsked = false
  #busy = false
  #row: RunRow | null = null

  constructor(private readonly id: string) {
    const button = (text: string, type: 'pause' | 'unpause' | 'checkpoint'): HTMLButtonElement =>
      make('button', { is: { type: 'button' }, on: { click: () => void this.#send({ type }) } }, text)
    this.#buttons = {
      pause: button('Pause', 'pause'),
      unpause: button('Continue', 'unpause'),
      checkpoint: button('Save checkpoint', 'checkpoint'),
      stop: make(
        'button',
        { class: 'danger', is: { type: 'button' }, on: { click: () => this.#askToStop() } },
        'Stop',
      ),
    }
    const form = make(
      'form',
      { on: { submit: (event) => this.#setLearningRate(event) } },
      make('label', { is: { for: 'learning-rate' } }, 'Learning rate '),
      this.#value,
      this.#set,
    )
    this.element = make(
      'section',
      { class: 'control', is: { 'aria-label': 'Control' } },
      make('div', { class: 'bar' }, ...Object.values(this.#buttons), form),
      this.#answer,
    )
  }

  show(row: RunRow): void {
    this.#row = row
    const running = isRunning(row) && !this.#busy
    const paused = row.state === 'paused'
    this.#buttons.pause.disabled = !running || paused
    this.#buttons.unpause.disabled = !running || !paused
    for (const one of [this.#buttons.checkpoint, this.#buttons.stop, this.#set]) one.disabled = !running
    if (row.learningRate !== null && this.#value.placeholder !== String(row.learningRate))
      this.#value.placeholder = String(row.learningRate)
    this.element.hidden = !isRunning(row) && this.#answer.textContent === ''
  }

  /** The first press asks, the second one stops. */
  #askToStop(): void {
    if (this.#stopAsked) {
      void this.#send({ type: 'stop' })
      return
    }
    this.#stopAsked = true
    setText(this.#buttons.stop, 'Confirm stop')
    this.#show('Press again to save a checkpoint and stop the run.')
  }

  #setLearningRate(event: Event): void {
    event.preventDefault()
    const value = Number(this.#value.value)
    if (!(value > 0)) {
      this.#show(
        `Learning rate: wrong value (expected a number above 0, found ${this.#value.value})`,
        'failed',
      )
      return
    }
    void this.#send({ type: 'setLearningRate', value })
  }

  async #send(command: RunCommand): Promise<void> {
    this.#busy = true
    if (this.#row !== null) this.show(this.#row)
    this.#show('The command is sent; it takes effect at the next step…')
    try {
      const { step } = await sendCommand(this.id, command)
      const value = command.type === 'setLearningRate' ? ` to ${command.value}` : ''
      this.#show(`${DONE[command.type]}${value} at step ${step.toLocaleString('en-US')}.`, 'completed')
    } catch (error) {
      const { message, hint } = asServerError(error)
      this.#show(`${message} ${hint}`, 'failed')
    }
    this.#busy = false
    this.#stopAsked = false
    setText(this.#buttons.stop, 'Stop')
    if (this.#row !== null) this.show(this.#row)
  }

  #show(text: string, look = 'quiet'): void {
    this.#answer.className = `answer ${look}`
    setText(this.#answer, text)
  }
}
