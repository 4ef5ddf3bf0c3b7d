import { inWords } from '../../report/wording.js'
import { Chart, type Line } from './chart.js'
import { make, makeNotice, makeTable } from './dom.js'
import { RunState } from './run-state.js'
import { followRuns, type ServerError } from './server.js'
import { showError, type View } from './view.js'
import { stateOf, stepOf } from './words.js'

/** Charts of an overlay; each has one line per run. */
const CHARTS = [
  { facts: { title: 'Detected fraction', y: 'fraction', range: [0, 1] }, curve: 'tumors', name: 'seen' },
  { facts: { title: 'Accepted tumors', y: 'rate', range: [0, 1] }, curve: 'tumors', name: 'kept' },
  {
    facts: { title: 'Validation: tumor Dice', y: 'Dice', range: [0, 1] },
    curve: 'validations',
    name: 'tumor Dice',
  },
  { facts: { title: 'Learning rate', y: 'learning rate' }, curve: 'steps', name: 'learningRate' },
  { facts: { title: 'Seconds per step', y: 's' }, curve: 'steps', name: 'seconds' },
  {
    facts: { title: 'Data wait', y: '% of the time', range: [0, 100], scale: 100 },
    curve: 'steps',
    name: 'waitShare',
  },
] as const

/** Two to six runs in the same charts. */
export function showOverlay(main: HTMLElement, ids: readonly string[]): View {
  const leaving = new AbortController()
  const states = new Map(ids.map((id) => [id, new RunState()]))
  const loss = new Chart({ title: 'Loss', y: 'loss' })
  const charts = CHARTS.map((one) => ({ ...one, chart: new Chart(one.facts) }))
  const choice = make('select', { is: { id: 'loss' }, on: { change: () => show() } })
  const table = make('div', {}, make('p', { class: 'missing' }, 'Reading the runs…'))
  for (const { element } of [loss, ...charts.map(({ chart }) => chart)]) element.hidden = true
  main.replaceChildren(
    make('nav', { is: { 'aria-label': 'Back' } }, make('a', { is: { href: '#/' } }, '← All runs')),
    make('h1', {}, `Overlay of ${ids.length} runs`),
    table,
    make('p', { class: 'bar' }, make('label', { is: { for: 'loss' } }, 'Loss '), choice),
    make('div', { class: 'columns' }, loss.element, ...charts.map(({ chart }) => chart.element)),
  )
  const linesOf = (curve: 'steps' | 'tumors' | 'validations', name: string): Line[] =>
    [...states.values()].flatMap((state) => {
      const values = state.valuesOf(curve, name)
      return values === null || state.row === null
        ? []
        : [{ name: labelOf(state), values, dots: curve === 'validations' }]
    })
  const show = (): void => {
    offerLosses(choice, [...states.values()])
    loss.show(linesOf('steps', `losses.${choice.value}`))
    for (const { chart, curve, name } of charts) chart.show(linesOf(curve, name))
    table.replaceChildren(tableOf([...states.entries()]))
  }
  const lost = (error: ServerError | null): void => {
    showError(error)
    const filled = [...states.values()].some(({ row }) => row !== null)
    if (error !== null && !filled) main.replaceChildren(makeNotice(error.message, error.hint))
  }
  let waiting = false
  const showSoon = (): void => {
    if (waiting) return
    waiting = true
    // updates of several runs arrive together
    requestAnimationFrame(() => {
      waiting = false
      show()
    })
  }
  const apply = (update: Parameters<RunState['apply']>[0]): void => {
    states.get(update.run)?.apply(update)
    showSoon()
  }
  void followRuns(ids, apply, lost, leaving.signal)
  return {
    title: 'Overlay',
    close: () => {
      leaving.abort()
      for (const { chart } of [{ chart: loss }, ...charts]) chart.destroy()
    },
  }
}

/** Return the name of a run with its folder, because names repeat. */
function labelOf({ row }: RunState): string {
  return `${row!.name} (${row!.directory.split('/').at(-1)})`
}

function tableOf(states: readonly (readonly [string, RunState])[]): HTMLElement {
  const rows = states.flatMap(([id, state]) => {
    const { row } = state
    if (row === null) return []
    const best = row.tumorDice === null ? '–' : row.tumorDice.toFixed(3)
    const losses = Object.entries(row.losses).map(
      ([name, value]) => `${inWords(name)} ${value?.toPrecision(3) ?? '–'}`,
    )
    const link = make('a', { is: { href: `#/run/${id}` } }, labelOf(state))
    return [[link, stateOf(row).text, stepOf(row), best, losses.slice(0, 4).join(', ')]]
  })
  return makeTable('Runs', ['run', 'state', 'step', 'tumor Dice', 'last losses'], rows, [1, 4])
}

function offerLosses(choice: HTMLSelectElement, states: readonly RunState[]): void {
  const names = new Set(
    states.flatMap((state) =>
      state
        .namesOf('steps')
        .flatMap((name) => (name.startsWith('losses.') ? [name.slice('losses.'.length)] : [])),
    ),
  )
  // `total`, or the first loss of a synthesis training, is the one that is minimised
  const ordered = [...names].sort((a, b) => Number(b === 'total') - Number(a === 'total'))
  const offered = [...choice.options].map(({ value }) => value)
  if (offered.join() === ordered.join()) return
  const before = choice.value
  choice.replaceChildren(...ordered.map((name) => make('option', { is: { value: name } }, inWords(name))))
  if (ordered.includes(before)) choice.value = before
}
