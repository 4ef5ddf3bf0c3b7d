import type { Vec3 } from '../../../volume/volume.js'
import { make, setText } from '../dom.js'

const CONFIDENCE = [
  ['1', 'guess'],
  ['2', 'low'],
  ['3', 'medium'],
  ['4', 'high'],
  ['5', 'certain'],
] as const

export interface GivenAnswer {
  readonly answer: 'real' | 'synthetic'
  readonly confidence: number
  readonly clickMm: Vec3 | null
}

interface Acts {
  submit(answer: GivenAnswer): void
  /** The reader changed the mark: null removes it. */
  mark(mm: Vec3 | null): void
}

/** The answer on one case: where the lesion is, real or synthetic, and how sure. */
export class AnswerForm {
  readonly element: HTMLFormElement
  readonly #status = make('p', { class: 'answer quiet', is: { role: 'status' } })
  readonly #none = make('input', { is: { type: 'checkbox', id: 'no-lesion' } })
  readonly #place = make('span', { is: { id: 'mark' } }, 'no mark yet')
  readonly #submit = make('button', { class: 'accept', is: { type: 'submit' } }, 'Answer ', key('Enter'))
  #markMm: Vec3 | null = null

  constructor(private readonly acts: Acts) {
    this.#none.addEventListener('change', () => {
      if (this.#none.checked) this.setMark(null)
      this.#describe()
    })
    this.element = make(
      'form',
      {
        is: { 'aria-label': 'Answer' },
        on: {
          submit: (event) => {
            event.preventDefault()
            this.submit()
          },
        },
      },
      make(
        'fieldset',
        {},
        make('legend', {}, 'Lesion: click on it, or press Space at the crosshair'),
        make('label', {}, this.#place),
        make('label', {}, this.#none, 'I see none ', key('0')),
      ),
      make(
        'fieldset',
        {},
        make('legend', {}, 'The lesion is'),
        choice('answer', 'real', 'real', 'r'),
        choice('answer', 'synthetic', 'synthetic', 's'),
      ),
      make(
        'fieldset',
        {},
        make('legend', {}, 'How sure are you?'),
        ...CONFIDENCE.map(([value, text]) => choice('confidence', value, text, value)),
      ),
      this.#submit,
      this.#status,
    )
  }

  reset(): void {
    this.element.reset()
    this.#markMm = null
    this.#describe()
    this.show('')
  }

  setMark(mm: Vec3 | null): void {
    this.#markMm = mm
    if (mm !== null) this.#none.checked = false
    this.acts.mark(mm)
    this.#describe()
  }

  toggleNone(): void {
    this.#none.checked = !this.#none.checked
    if (this.#none.checked) this.setMark(null)
    this.#describe()
  }

  choose(name: 'answer' | 'confidence', value: string): void {
    const input = this.element.querySelector<HTMLInputElement>(`input[name=${name}][value="${value}"]`)
    if (input !== null) input.checked = true
  }

  setBusy(busy: boolean): void {
    this.#submit.disabled = busy
  }

  show(text: string, look = 'quiet'): void {
    this.#status.className = `answer ${look}`
    setText(this.#status, text)
  }

  submit(): void {
    if (this.#submit.disabled) return
    const given = new FormData(this.element)
    const [answer, confidence] = [given.get('answer'), given.get('confidence')]
    const hasPlace = this.#markMm !== null || this.#none.checked
    if (!hasPlace) this.show('Click on the lesion first, or press 0 if you see none.', 'failed')
    else if (answer !== 'real' && answer !== 'synthetic') this.show('Choose real or synthetic.', 'failed')
    else if (typeof confidence !== 'string') this.show('Choose how sure you are, from 1 to 5.', 'failed')
    else this.acts.submit({ answer, confidence: Number(confidence), clickMm: this.#markMm })
  }

  #describe(): void {
    const mark = this.#markMm
    setText(
      this.#place,
      mark === null ? 'no mark yet' : `marked at ${mark.map((mm) => mm.toFixed(0)).join(', ')} mm`,
    )
  }
}

function choice(name: string, value: string, text: string, shortcut: string): HTMLElement {
  return make('label', {}, make('input', { is: { type: 'radio', name, value } }), `${text} `, key(shortcut))
}

function key(text: string): HTMLElement {
  return make('kbd', {}, text)
}
