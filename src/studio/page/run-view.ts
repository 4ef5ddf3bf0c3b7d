import { ControlBar } from './control-bar.js'
import { make, makeNotice, setText } from './dom.js'
import { ExampleTumorsView } from './example-tumors.js'
import { keptTitle, RunCharts } from './run-charts.js'
import { configuration, failureCard, kindTable, momentTable, RankLogView } from './run-details.js'
import { RunState } from './run-state.js'
import { asServerError, followRuns, readDetail, readRunList, type ServerError } from './server.js'
import { showError, type View } from './view.js'
import { rateOf, stateOf, stepOf, timeLeftOf, timeOf } from './words.js'

/** One run, live. */
export function showRun(main: HTMLElement, id: string): View {
  const leaving = new AbortController()
  const page = new RunPage(id)
  main.replaceChildren(page.element)
  const lost = (error: ServerError | null): void => {
    showError(error)
    if (error !== null && !page.isFilled) main.replaceChildren(makeNotice(error.message, error.hint))
  }
  void followRuns([id], (update) => page.apply(update), lost, leaving.signal)
  void page.readDetail().catch((error) => showError(asServerError(error)))
  return {
    title: 'Run',
    close: () => {
      leaving.abort()
      page.close()
    },
  }
}

class RunPage {
  readonly element: HTMLElement
  readonly #state = new RunState()
  readonly #name = make('h1', {}, 'Run')
  readonly #directory = make('p', { class: 'quiet path' }, 'Reading the run…')
  readonly #outcome = make('span', { class: 'state' })
  readonly #reason = make('span')
  readonly #facts = new Map<string, HTMLElement>()
  readonly #problems = make('ul', { class: 'warnings' })
  readonly #failure = make('div')
  readonly #charts = new RunCharts()
  readonly #tumors = make('div')
  readonly #examples: ExampleTumorsView
  readonly #moments = make('section', { class: 'events' })
  readonly #details = make('div')
  /** Hidden until its parts are known, so that none of them moves. */
  readonly #body = make('div')
  #detailRead = false
  #control: ControlBar | null = null
  readonly #controlPlace = make('div', { class: 'control-place' })
  #logs: RankLogView | null = null
  #problemTexts: readonly string[] = []

  constructor(private readonly id: string) {
    this.#examples = new ExampleTumorsView(id)
    const names = [
      'step',
      'rate',
      'time left',
      'learning rate',
      'best tumor Dice',
      'device',
      'started (UTC)',
      'checkpoint',
    ]
    const list = make('dl')
    for (const name of names) {
      const value = make('dd', {}, '–')
      this.#facts.set(name, value)
      list.append(make('div', {}, make('dt', {}, name), value))
    }
    this.element = make(
      'article',
      {},
      make('nav', { is: { 'aria-label': 'Back' } }, make('a', { is: { href: '#/' } }, '← All runs')),
      this.#name,
      this.#directory,
      make('p', { class: 'outcome', is: { role: 'status' } }, this.#outcome, ' ', this.#reason),
      this.#body,
    )
    this.#body.hidden = true
    this.#body.append(
      this.#controlPlace,
      this.#problems,
      this.#failure,
      list,
      this.#charts.element,
      this.#tumors,
      this.#examples.element,
      this.#moments,
      this.#details,
    )
  }

  get isFilled(): boolean {
    return this.#state.row !== null
  }

  apply(update: Parameters<RunState['apply']>[0]): void {
    this.#state.apply(update)
    if (update.error !== undefined) this.#problemTexts = [...this.#problemTexts, update.error]
    if (update.row) this.#showRow()
    if (update.curves) this.#charts.show(this.#state)
    if (update.kinds) {
      const { kinds } = this.#state
      this.#tumors.replaceChildren(...(kinds.length > 0 ? [kindTable(kinds, keptTitle(this.#state))] : []))
      this.#examples.refresh()
    }
    if (update.moments ?? update.reset)
      this.#moments.replaceChildren(make('h2', {}, 'Events'), this.#eventTable())
    if (update.failure !== undefined)
      this.#failure.replaceChildren(...(update.failure === null ? [] : [failureCard(update.failure)]))
    this.#showProblems()
    this.#reveal()
  }

  #reveal(): void {
    const hidden = !this.isFilled || !this.#detailRead
    if (hidden === this.#body.hidden) return
    this.#body.hidden = hidden
    // a chart has no width before
    if (this.isFilled) this.#charts.show(this.#state)
  }

  /** Read what does not change while the run trains. */
  async readDetail(): Promise<void> {
    try {
      await Promise.all([this.#readDetail(), this.#examples.read()])
    } finally {
      this.#detailRead = true
      this.#reveal()
    }
  }

  async #readDetail(): Promise<void> {
    const [detail, { control }] = await Promise.all([readDetail(this.id), readRunList()])
    this.#problemTexts = [...this.#problemTexts, ...detail.problems]
    this.#logs = new RankLogView(this.id, detail.logs)
    this.#details.replaceChildren(
      ...(detail.logs.length > 0 ? [this.#logs.element] : []),
      configuration(detail),
    )
    if (control) {
      this.#control = new ControlBar(this.id)
      this.#controlPlace.replaceChildren(this.#control.element)
      if (this.#state.row) this.#control.show(this.#state.row)
    }
    this.#showProblems()
  }

  close(): void {
    this.#charts.close()
    this.#examples.close()
    this.#logs?.close()
  }

  #showRow(): void {
    const row = this.#state.row!
    const { text, look } = stateOf(row)
    setText(this.#name, row.name)
    setText(this.#directory, row.directory)
    setText(this.#outcome, text)
    this.#outcome.className = `state ${look}`
    setText(this.#reason, row.reason ?? '')
    const best = row.tumorDice === null ? '–' : `${row.tumorDice.toFixed(3)} at step ${row.bestStep}`
    const ranks = row.worldSize === null ? '' : `, ranks: ${row.worldSize}`
    const facts: Readonly<Record<string, string>> = {
      step: stepOf(row),
      rate: rateOf(row),
      'time left': timeLeftOf(row),
      'learning rate': row.learningRate?.toPrecision(3) ?? '–',
      'best tumor Dice': best,
      device: row.device === null ? '–' : `${row.device}${ranks}`,
      'started (UTC)': timeOf(row.begun),
      checkpoint: row.checkpoint?.split('/').at(-1) ?? '–',
    }
    for (const [name, value] of Object.entries(facts)) setText(this.#facts.get(name)!, value)
    this.#control?.show(row)
  }

  #eventTable(): HTMLElement {
    const { moments } = this.#state
    return moments.length > 0
      ? momentTable(moments)
      : make('p', { class: 'missing' }, 'The run has no events yet.')
  }

  #showProblems(): void {
    const { damagedLines } = this.#state
    const texts = [
      ...this.#problemTexts,
      ...(damagedLines > 0 ? [`${damagedLines} lines of events.jsonl are damaged and were left out.`] : []),
    ]
    this.#problems.hidden = texts.length === 0
    if (this.#problems.children.length !== texts.length || damagedLines > 0)
      this.#problems.replaceChildren(...texts.map((text) => make('li', { class: 'warning' }, text)))
  }
}
