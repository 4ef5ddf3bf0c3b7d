import { inWords } from '../../../report/wording.js'
import type { ItemTable } from '../../review/messages.js'
import { make, setText } from '../dom.js'
import { FILTERS, measureName } from './item-words.js'
import { type Choice, type DecisionChoice, EVERYTHING } from './select.js'

const DECISIONS: readonly (readonly [value: DecisionChoice, text: string])[] = [
  ['', 'any decision'],
  ['mine-open', 'without my decision'],
  ['none', 'without a decision'],
  ['accepted', 'accepted by review'],
  ['rejected', 'rejected by review'],
  ['tied', 'reviewers disagree'],
  ['stale', 'on another version'],
]

/** Fields that choose and order the items of a list. */
export class Filters {
  readonly element: HTMLElement
  readonly search = make('input', {
    is: { type: 'search', placeholder: 'Case', 'aria-label': 'Part of the case', id: 'search' },
  })
  #choice: Choice
  readonly #reviewer: HTMLSelectElement | null = null

  constructor(
    table: ItemTable,
    private readonly onChange: () => void,
  ) {
    const scans = table.texts.scan?.values.includes('kept')
    this.#choice = {
      ...EVERYTHING,
      ...(scans ? { texts: { scan: 'kept' } } : {}),
      // the worst case first
      ...(table.kind === 'evaluation' ? { sort: 'dice' } : {}),
    }
    this.search.addEventListener('input', () => this.#set({ search: this.search.value }))
    const texts = FILTERS[table.kind].flatMap((name) => this.#textFilter(table, name) ?? [])
    const rows: HTMLElement[] = [this.search, ...texts]
    if (table.kind === 'synthetic') {
      rows.push(
        this.#select('decision', 'Decision', DECISIONS, (value) => ({ decision: value as DecisionChoice })),
      )
      this.#reviewer = this.#select('reviewer', 'Reviewer', [['', 'any reviewer']], (value) => ({
        reviewer: value,
      }))
      rows.push(this.#reviewer)
    }
    const numbers = Object.keys(table.numbers).filter((name) =>
      table.numbers[name]!.some((value) => value !== null),
    )
    const measures = numbers.filter((name) => name.startsWith('measure ') || table.kind !== 'synthetic')
    if (measures.length > 0) rows.push(this.#range(measures))
    rows.push(this.#order([...FILTERS[table.kind], 'case'], measures))
    this.element = make(
      'div',
      { class: 'filters', is: { role: 'search', 'aria-label': 'Filter and order' } },
      ...rows,
    )
  }

  get choice(): Choice {
    return this.#choice
  }

  /** Offer the reviewers who have decided. */
  offerReviewers(names: readonly string[]): void {
    if (this.#reviewer === null) return
    const offered = [...this.#reviewer.options].slice(1).map(({ value }) => value)
    if (offered.join('\n') === names.join('\n')) return
    const before = this.#reviewer.value
    this.#reviewer.replaceChildren(
      make('option', { is: { value: '' } }, 'any reviewer'),
      ...names.map((name) => make('option', { is: { value: name } }, name)),
    )
    this.#reviewer.value = names.includes(before) ? before : ''
  }

  #set(change: Partial<Choice>): void {
    this.#choice = { ...this.#choice, ...change }
    this.onChange()
  }

  #textFilter(table: ItemTable, name: string): HTMLSelectElement | null {
    const column = table.texts[name]
    if (column === undefined) return null
    const present = new Set(column.codes)
    const values = column.values.filter((value, code) => value !== '' && present.has(code)).sort()
    if (values.length < 2) return null
    const label = name === 'scan' ? 'Scan' : inWords(name)
    const words = (value: string): string =>
      name !== 'scan' ? inWords(value) : value === 'kept' ? 'with a scan' : 'without a scan'
    const options = values.map((value) => [value, words(value)] as const)
    const select = this.#select(
      `filter-${name}`,
      label,
      [['', name === 'scan' ? 'with or without a scan' : `any ${label}`], ...options],
      (value) => ({ texts: { ...this.#choice.texts, [name]: value } }),
    )
    select.value = this.#choice.texts[name] ?? ''
    return select
  }

  #select(
    id: string,
    label: string,
    options: readonly (readonly [value: string, text: string])[],
    change: (value: string) => Partial<Choice>,
  ): HTMLSelectElement {
    const select = make(
      'select',
      { is: { id, 'aria-label': label }, on: { change: () => this.#set(change(select.value)) } },
      ...options.map(([value, text]) => make('option', { is: { value } }, text)),
    )
    return select
  }

  #range(measures: readonly string[]): HTMLElement {
    const limit = (label: string, change: (value: number | null) => Partial<Choice>): HTMLInputElement => {
      const input = make('input', {
        is: { type: 'number', step: 'any', placeholder: label, 'aria-label': `${label} of the measure` },
        on: {
          input: () => {
            const text = input.value.trim()
            this.#set(change(text === '' || Number.isNaN(Number(text)) ? null : Number(text)))
          },
        },
      })
      return input
    }
    const names = measures.map((name) => [name, measureName(name)] as const)
    return make(
      'div',
      { class: 'range' },
      this.#select('measure', 'Measure', [['', 'any measure'], ...names], (value) => ({ measure: value })),
      limit('min', (least) => ({ least })),
      limit('max', (most) => ({ most })),
    )
  }

  #order(texts: readonly string[], measures: readonly string[]): HTMLElement {
    const columns = [...texts, ...measures].map((name) => [name, `by ${measureName(name)}`] as const)
    const direction = make(
      'button',
      {
        is: { type: 'button', 'aria-label': 'Reverse the order', title: 'Reverse the order' },
        on: {
          click: () => {
            setText(direction, this.#choice.falling ? '↑' : '↓')
            this.#set({ falling: !this.#choice.falling })
          },
        },
      },
      '↑',
    )
    const choices = [['', 'in order of the files'], ...columns] as const
    const sort = this.#select('sort', 'Order', choices, (value) => ({ sort: value }))
    sort.value = this.#choice.sort
    return make('div', { class: 'order' }, sort, direction)
  }
}
