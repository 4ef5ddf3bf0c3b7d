import type { RunList, RunRow } from '../messages.js'
import { make, makeNotice, setText } from './dom.js'
import { asServerError, readRunList } from './server.js'
import { showError, type View } from './view.js'
import { rateOf, stateOf, stepOf, timeLeftOf, timeOf } from './words.js'

const REFRESH_MS = 3000
const [FEWEST, MOST] = [2, 6]
const HEADS = [
  'overlay',
  'run',
  'state',
  'job',
  'step',
  'rate',
  'time left',
  'tumor Dice',
  'device',
  'started (UTC)',
]

/** The list of runs, refreshed every three seconds while the page is visible. */
export function showList(main: HTMLElement): View {
  const chosen = new Set<string>()
  const lines = new Map<string, Line>()
  const body = make('tbody')
  const overlay = make('button', { on: { click: () => openOverlay(chosen) } }, 'Overlay')
  const hint = make('p', { class: 'quiet' })
  const table = make(
    'div',
    { class: 'scroll', is: { tabindex: '0', role: 'region', 'aria-label': 'Runs' } },
    make(
      'table',
      { class: 'runs' },
      make('caption', { class: 'hidden' }, 'Runs, newest first'),
      make('thead', {}, make('tr', {}, ...HEADS.map((head) => make('th', { is: { scope: 'col' } }, head)))),
      body,
    ),
  )
  const place = make('div', {}, make('p', { class: 'missing' }, 'Reading the runs…'))
  main.replaceChildren(make('h1', {}, 'Runs'), hint, place)
  const choose = (id: string, on: boolean): void => {
    if (on) chosen.add(id)
    else chosen.delete(id)
    showChoice()
  }
  const showChoice = (): void => {
    const { size } = chosen
    overlay.toggleAttribute('disabled', size < FEWEST || size > MOST)
    setText(overlay, size === 0 ? 'Overlay' : `Overlay ${size} runs`)
  }
  const show = (list: RunList): void => {
    setText(hint, hintOf(list))
    if (list.runs.length === 0) {
      place.replaceChildren(
        makeNotice(
          'No run yet',
          `There is no run below ${list.folders.join(', ')}. Start one, and it appears here:`,
          'freetumor train --config debug-baseline',
        ),
      )
      return
    }
    if (!place.contains(table)) place.replaceChildren(make('p', { class: 'bar' }, overlay), table)
    const present = new Set(list.runs.map(({ id }) => id))
    for (const id of lines.keys()) if (!present.has(id)) lines.delete(id)
    for (const id of chosen) if (!present.has(id)) chosen.delete(id)
    const shown = list.runs.map((row) => {
      const line = lines.get(row.id) ?? new Line(row, choose)
      lines.set(row.id, line)
      line.show(row)
      return line.element
    })
    // moving a row would take the focus from its elements
    if (shown.length !== body.children.length || shown.some((row, at) => row !== body.children[at]))
      body.replaceChildren(...shown)
    showChoice()
  }
  const refresh = async (): Promise<void> => {
    if (document.hidden) return
    try {
      show(await readRunList())
      showError(null)
    } catch (error) {
      const lost = asServerError(error)
      if (lines.size > 0) showError(lost)
      else place.replaceChildren(makeNotice(lost.message, lost.hint))
    }
  }
  void refresh()
  const timer = setInterval(refresh, REFRESH_MS)
  return { title: 'Runs', close: () => clearInterval(timer) }
}

function hintOf({ runs, unlisted, folders }: RunList): string {
  const more = unlisted > 0 ? ` ${unlisted} older runs are not listed.` : ''
  return runs.length === 0 ? '' : `${runs.length} below ${folders.join(', ')}.${more}`
}

function openOverlay(chosen: ReadonlySet<string>): void {
  location.hash = `#/overlay/${[...chosen].join(',')}`
}

/** A row of the list, changed in place. */
class Line {
  readonly element: HTMLTableRowElement
  readonly #cells: readonly HTMLTableCellElement[]
  readonly #link: HTMLAnchorElement
  readonly #state = make('span')

  constructor({ id, name, directory }: RunRow, choose: (id: string, on: boolean) => void) {
    const box = make('input', {
      is: { type: 'checkbox', 'aria-label': `Overlay ${name}` },
      on: { change: () => choose(id, box.checked) },
    })
    this.#link = make('a', { is: { href: `#/run/${id}`, title: directory } })
    this.#cells = HEADS.slice(3).map((_, at) => make('td', at === 0 ? { class: 'word' } : {}))
    this.element = make(
      'tr',
      {},
      make('td', { class: 'choice' }, box),
      make(
        'th',
        { is: { scope: 'row' } },
        this.#link,
        make('span', { class: 'quiet path' }, shortPath(directory)),
      ),
      make('td', { class: 'word' }, this.#state),
      ...this.#cells,
    )
  }

  show(row: RunRow): void {
    const { text, look } = stateOf(row)
    setText(this.#link, row.name)
    setText(this.#state, text)
    this.#state.className = `state ${look}`
    this.#state.title = row.reason ?? ''
    const texts = [
      row.job ?? '–',
      stepOf(row),
      rateOf(row),
      timeLeftOf(row),
      row.tumorDice === null ? '–' : row.tumorDice.toFixed(3),
      row.device ?? '–',
      timeOf(row.begun),
    ]
    for (const [at, value] of texts.entries()) setText(this.#cells[at]!, value)
  }
}

/** Return the last two parts of a path: they differ between runs. */
function shortPath(directory: string): string {
  return directory.split('/').slice(-2).join('/')
}
