import { inWords, orderedLosses } from '../../report/wording.js'
import { Chart, type Line } from './chart.js'
import { make } from './dom.js'
import type { RunState } from './run-state.js'

const GIBIBYTE = 2 ** 30

/** Return the name of the rate of accepted tumors: a synthesis training rejects none. */
export function keptTitle({ row }: RunState): string {
  return row?.job === 'synthesis' ? 'Tumors above the threshold' : 'Acceptance rate'
}

/** Charts of one run. */
export class RunCharts {
  readonly element: HTMLElement
  readonly #charts = {
    losses: new Chart({ title: 'Losses', y: 'loss' }),
    seen: new Chart({ title: 'Detected fraction', y: 'fraction', range: [0, 1] }),
    kept: new Chart({ title: 'Accepted tumors', y: 'rate', range: [0, 1] }),
    dice: new Chart({ title: 'Validation: tumor Dice', y: 'Dice', range: [0, 1] }),
    rate: new Chart({ title: 'Learning rate', y: 'learning rate' }),
    seconds: new Chart({ title: 'Seconds per step', y: 's' }),
    wait: new Chart({ title: 'Data wait', y: '% of the time', range: [0, 100], scale: 100 }),
    load: new Chart({ title: 'Utilization of the device', y: '%', range: [0, 100], scale: 100 }),
    memory: new Chart({ title: 'Memory of rank 0', y: 'GiB', scale: 1 / GIBIBYTE }),
  }
  readonly #detail = make(
    'select',
    { is: { id: 'tumor-detail' }, on: { change: () => this.#shown && this.show(this.#shown) } },
    make('option', { is: { value: 'organ' } }, 'by organ'),
    make('option', { is: { value: 'size' } }, 'by organ and size'),
  )
  readonly #choice = make(
    'p',
    { class: 'bar' },
    make('label', { is: { for: 'tumor-detail' } }, 'Synthetic tumors '),
    this.#detail,
  )
  readonly #empty = make(
    'p',
    { class: 'missing' },
    'No step was completed yet. Curves appear with the first step.',
  )
  #shown: RunState | null = null

  constructor() {
    const charts = Object.values(this.#charts).map(({ element }) => element)
    for (const element of charts) element.hidden = true
    this.element = make(
      'section',
      { is: { 'aria-labelledby': 'curves' } },
      make('h2', { is: { id: 'curves' } }, 'Curves'),
      this.#empty,
      this.#choice,
      make('div', { class: 'columns' }, ...charts),
    )
  }

  show(state: RunState): void {
    this.#shown = state
    const { losses, seen, kept, dice, rate, seconds, wait, load, memory } = this.#charts
    const single = (curve: 'steps' | 'validations', key: string, name: string, dots = false): Line[] => {
      const values = state.valuesOf(curve, key)
      return values === null ? [] : [{ name, values, dots }]
    }
    losses.show(lossLines(state))
    seen.show(this.#tumorLines(state, 'seen'))
    kept.show(this.#tumorLines(state, 'kept'))
    dice.show(single('validations', 'tumor Dice', 'tumor Dice', true))
    rate.show(single('steps', 'learningRate', 'learning rate'))
    seconds.show(single('steps', 'seconds', 'seconds'))
    wait.show(single('steps', 'waitShare', 'waiting for data'))
    load.show(single('steps', 'utilization', 'utilization'))
    memory.show(single('steps', 'memoryBytes', 'memory'))
    this.#empty.hidden = Object.values(this.#charts).some(({ element }) => !element.hidden)
    this.#choice.hidden = state.namesOf('tumors').length === 0
  }

  close(): void {
    for (const chart of Object.values(this.#charts)) chart.destroy()
  }

  /** Return the lines of `seen` or `kept`: all tumors, then by organ, or by organ and size. */
  #tumorLines(state: RunState, rate: 'seen' | 'kept'): Line[] {
    const bySize = this.#detail.value === 'size'
    const names = state.namesOf('tumors').filter((name) => {
      const kind = name.slice(rate.length + 1)
      return name.startsWith(`${rate}:`) && kind.includes('/') === bySize
    })
    return [rate, ...names.sort()].flatMap((name) => {
      const values = state.valuesOf('tumors', name)
      const kind = name.slice(rate.length + 1).replace('/', ', ')
      return values === null ? [] : [{ name: kind === '' ? 'all' : kind, values }]
    })
  }
}

function lossLines(state: RunState): Line[] {
  const names = state.namesOf('steps').filter((name) => name.startsWith('losses.'))
  const losses = Object.fromEntries(names.map((name) => [name.slice('losses.'.length), 0]))
  return orderedLosses(losses).flatMap(([name]) => {
    const values = state.valuesOf('steps', `losses.${name}`)
    return values === null ? [] : [{ name: inWords(name), values, spread: true }]
  })
}
