import type { Vec3 } from '../../../volume/volume.js'
import type { ReaderSession } from '../../readers/messages.js'
import { make, setText } from '../dom.js'
import { helpDialog, listenToKeys, type Shortcut } from '../review/keys.js'
import { Viewer } from '../review/viewer.js'
import { VisibleTime } from '../review/visible-time.js'
import type { LoadedVolume } from '../review/volume.js'
import { WINDOWS } from '../review/windows.js'
import { AnswerForm, type GivenAnswer } from './answer-form.js'
import { sendAnswer, startCase, Volumes } from './data.js'
import { showFault } from './fault.js'

/** Seconds before the end from which the time is shown as ending. */
const LAST_SECONDS = 10

/** Content of the page: an example with its number, or a case with its place. */
type Shown = { readonly kind: 'example' | 'case'; readonly at: number }

/** The page of one reader: introduction, examples, cases, end. */
export class ReaderPage {
  readonly #volumes: Volumes
  readonly #viewer: Viewer
  readonly #form: AnswerForm
  readonly #title = make('h1', {}, '')
  readonly #time = make('p', { class: 'time', is: { role: 'timer' } })
  readonly #stage: HTMLElement
  readonly #windows: HTMLElement
  readonly #help: HTMLDialogElement
  readonly #visible: VisibleTime
  readonly #leaving = new AbortController()
  #shown: Shown = { kind: 'example', at: 0 }
  #answered: number
  /** The truth of the example is on the page; the next answer opens the next example. */
  #revealed = false
  #endsAt: number | null = null
  #windowAt = 0

  constructor(
    private readonly main: HTMLElement,
    private readonly session: ReaderSession,
  ) {
    this.#answered = session.answered
    this.#volumes = new Volumes(session)
    this.#viewer = new Viewer([{ title: 'Scan', kind: 'scan', scan: 'scan', outline: null }], (mm) =>
      this.#form.setMark(mm),
    )
    this.#form = new AnswerForm({
      submit: (answer) => void this.#submit(answer),
      mark: (mm) => this.#viewer.setMark(mm),
    })
    this.#visible = new VisibleTime(this.#leaving.signal)
    const shortcuts = this.#shortcuts()
    this.#help = helpDialog(shortcuts)
    this.#windows = this.#toolbar()
    // after a click of the mouse, keys belong to the page again
    const release = (): void => void setTimeout(() => (document.activeElement as HTMLElement | null)?.blur())
    for (const part of [this.#form.element, this.#windows]) part.addEventListener('pointerup', release)
    this.#stage = make('section', { class: 'stage', is: { 'aria-label': 'Scan' } }, this.#viewer.element)
    listenToKeys(shortcuts, this.#leaving.signal, isTaken)
  }

  /** Show the introduction, or the end if all cases are answered. */
  open(): void {
    if (this.#answered >= this.session.total) this.#end()
    else this.#introduce()
  }

  #introduce(): void {
    const { total, examples, timeLimitSeconds, reader } = this.session
    const isNew = this.#answered === 0
    const texts = [
      'Each case shows a part of a CT scan with a lesion. The lesion is real, or it was painted into the scan by a computer.',
      'Find the lesion and click on it. Then decide: real or synthetic, and how sure you are.',
      'An answer is final. It is saved when the next case appears, so you can stop at any time and open your link again.',
      ...(timeLimitSeconds === null
        ? []
        : [`You have ${timeLimitSeconds} seconds for each case. Then the scan disappears, and you answer.`]),
      'Keys: r real, s synthetic, 1 to 5 how sure, Enter to answer, w for the next intensity window, ? for all keys.',
    ]
    const start = make(
      'button',
      { class: 'accept', is: { type: 'button' }, on: { click: () => void this.#begin() } },
      isNew
        ? examples.length > 0
          ? `Start with ${examples.length} examples`
          : 'Start'
        : `Continue with case ${this.#answered + 1}`,
    )
    this.main.replaceChildren(
      make(
        'article',
        { class: 'intro' },
        make('h1', {}, `${total} cases for reader ${reader}`),
        make('ul', {}, ...texts.map((text) => make('li', {}, text))),
        isNew ? null : make('p', {}, `${this.#answered} of ${total} cases are answered.`),
        start,
      ),
    )
    start.focus()
  }

  async #begin(): Promise<void> {
    document.body.classList.add('wide')
    this.main.replaceChildren(
      make(
        'article',
        { class: 'reader' },
        make('div', { class: 'toolbar' }, this.#title, this.#time, this.#windows),
        this.#stage,
        this.#form.element,
        this.#help,
      ),
    )
    setInterval(() => this.#tick(), 250)
    const first = this.#answered === 0 && this.session.examples.length > 0
    await this.#show(first ? { kind: 'example', at: 1 } : { kind: 'case', at: this.#answered + 1 })
  }

  async #show(next: Shown): Promise<void> {
    this.#shown = next
    this.#revealed = false
    this.#endsAt = null
    this.#form.reset()
    this.#form.setBusy(true)
    this.#viewer.setMark(null)
    const count = next.kind === 'case' ? this.session.total : this.session.examples.length
    const noun = next.kind === 'case' ? 'Case' : 'Example'
    setText(this.#title, `${noun} ${next.at} of ${count}`)
    document.title = `${noun} ${next.at} – Reader study`
    this.#display(null)
    try {
      const volume = await (next.kind === 'case'
        ? this.#volumes.ofCase(next.at)
        : this.#volumes.ofExample(next.at))
      const limit = next.kind === 'case' ? (await startCase(next.at)).secondsLeft : null
      if (this.#shown !== next) return
      this.#endsAt = limit === null ? null : performance.now() + limit * 1000
      this.#display(volume)
      this.#visible.restart()
      this.#form.setBusy(false)
      this.#tick()
      showFault(null)
      // the next case appears at once; it is the same for every case, so its time reveals nothing
      if (next.kind === 'case' && next.at < count) void this.#volumes.ofCase(next.at + 1).catch(() => {})
    } catch (error) {
      showFault(error)
      this.#form.show('The case could not be loaded. Load the page again.', 'failed')
    }
  }

  #display(volume: LoadedVolume | null): void {
    const at = this.#shown.kind === 'case' ? this.#shown.at : -this.#shown.at
    this.#viewer.show({
      at,
      volumes: new Map(volume === null ? [] : [['scan', volume]]),
      missing: new Map(),
      labels: [],
      place: null,
      tumorId: null,
      shiftMm: null,
    })
  }

  async #submit(given: GivenAnswer): Promise<void> {
    const { kind, at } = this.#shown
    if (kind === 'example') return this.#revealed ? await this.#next() : this.#reveal(given)
    this.#form.setBusy(true)
    try {
      const answer = { ...given, position: at, seconds: this.#visible.seconds }
      this.#answered = (await sendAnswer(answer)).answered
      showFault(null)
      await this.#next()
    } catch (error) {
      showFault(error)
      this.#form.show('The answer is not saved yet. Press Enter to send it again.', 'failed')
      this.#form.setBusy(false)
    }
  }

  /** Show the truth of an example and where its lesion lies. */
  #reveal({ answer }: GivenAnswer): void {
    const { truth, lesionMm } = this.session.examples[this.#shown.at - 1]!
    this.#revealed = true
    this.#viewer.moveTo(lesionMm as Vec3)
    this.#viewer.setMark(lesionMm as Vec3)
    const verdict = answer === truth ? 'Right' : 'Wrong'
    this.#form.show(
      `${verdict}: this lesion is ${truth}. The ring shows it. Press Enter for the next one.`,
      answer === truth ? 'completed' : 'failed',
    )
  }

  async #next(): Promise<void> {
    const { kind, at } = this.#shown
    if (kind === 'example')
      return await this.#show(
        at < this.session.examples.length ? { kind, at: at + 1 } : { kind: 'case', at: this.#answered + 1 },
      )
    if (this.#answered >= this.session.total) return this.#end()
    await this.#show({ kind: 'case', at: this.#answered + 1 })
  }

  #end(): void {
    this.#leaving.abort()
    this.#endsAt = null
    document.body.classList.remove('wide')
    document.title = 'Reader study'
    const { total, reader } = this.session
    this.main.replaceChildren(
      make(
        'article',
        { class: 'intro' },
        make('h1', {}, 'All cases are answered'),
        make(
          'p',
          {},
          `Your ${total} answers are saved as reader ${reader}. Thank you. You can close this page.`,
        ),
      ),
    )
    this.main.focus()
  }

  /** Show the time that is left; cover the scan when it is over. */
  #tick(): void {
    const left = this.#endsAt === null ? null : Math.max(0, this.#endsAt - performance.now()) / 1000
    const isOver = left === 0
    setText(
      this.#time,
      left === null ? '' : isOver ? 'Time is over: answer now' : `${Math.ceil(left)} s left`,
    )
    this.#time.classList.toggle('last', left !== null && left <= LAST_SECONDS)
    this.#stage.dataset.covered = String(isOver)
  }

  #toolbar(): HTMLElement {
    const button = (text: string, shortcut: string, act: () => void): HTMLElement =>
      make('button', { is: { type: 'button' }, on: { click: act } }, text, ' ', make('kbd', {}, shortcut))
    const windows = WINDOWS.map(({ name, low, high }, at) =>
      make(
        'button',
        {
          is: { type: 'button', title: `${low} to ${high} HU`, 'aria-pressed': String(at === 0) },
          on: { click: () => this.#setWindow(at) },
        },
        name,
      ),
    )
    return make(
      'div',
      { class: 'group', is: { role: 'toolbar', 'aria-label': 'Viewer' } },
      ...windows,
      button('Zoom', 'z', () => this.#viewer.toggleZoom()),
      button('Planes', 'v', () => this.#viewer.nextPlane()),
      button('Keys', '?', () => this.#help.showModal()),
    )
  }

  #setWindow(at: number): void {
    this.#windowAt = at
    this.#viewer.setWindow(WINDOWS[at]!)
    const buttons = this.#windows.querySelectorAll('[aria-pressed]')
    for (const [place, button] of buttons.entries()) button.setAttribute('aria-pressed', String(place === at))
  }

  #shortcuts(): Shortcut[] {
    const viewer = this.#viewer
    const shortcut = (keys: readonly string[], text: string, act: () => void): Shortcut => ({
      keys,
      text,
      act,
    })
    return [
      shortcut(['r'], 'real', () => this.#form.choose('answer', 'real')),
      shortcut(['s'], 'synthetic', () => this.#form.choose('answer', 'synthetic')),
      ...['1', '2', '3', '4', '5'].map((digit) =>
        shortcut([digit], digit === '1' ? 'how sure: 1 guess to 5 certain' : '', () =>
          this.#form.choose('confidence', digit),
        ),
      ),
      shortcut([' '], 'Space: mark the lesion at the crosshair', () => this.#form.setMark(viewer.crossMm)),
      shortcut(['0'], 'I see no lesion', () => this.#form.toggleNone()),
      shortcut(['Enter'], 'answer', () => this.#form.submit()),
      shortcut(['w'], 'next intensity window', () => this.#setWindow((this.#windowAt + 1) % WINDOWS.length)),
      shortcut(['z'], 'zoom, or the whole scan', () => viewer.toggleZoom()),
      shortcut(['+', '='], 'zoom in', () => viewer.zoomBy(1 / 1.25)),
      shortcut(['-'], 'zoom out', () => viewer.zoomBy(1.25)),
      shortcut(['v'], 'all planes, or one', () => viewer.nextPlane()),
      shortcut(['.', 'PageUp'], 'next slice', () => viewer.scroll(1)),
      shortcut([',', 'PageDown'], 'previous slice', () => viewer.scroll(-1)),
      shortcut(['ArrowLeft', 'ArrowRight'], 'move the crosshair, also ↑ and ↓', () => {}),
      shortcut(['?'], 'these keys', () => this.#help.showModal()),
      shortcut(['ArrowLeft'], '', () => viewer.step(-1, 0)),
      shortcut(['ArrowRight'], '', () => viewer.step(1, 0)),
      shortcut(['ArrowUp'], '', () => viewer.step(0, -1)),
      shortcut(['ArrowDown'], '', () => viewer.step(0, 1)),
    ]
  }
}

/** Return whether the element with the focus uses a key itself: a tool its own press, a choice the keys that change it. */
function isTaken(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target.closest('input') !== null) return key === ' ' || key.startsWith('Arrow')
  const button = target.closest('button')
  return button !== null && (key === ' ' || (key === 'Enter' && button.type !== 'submit'))
}
