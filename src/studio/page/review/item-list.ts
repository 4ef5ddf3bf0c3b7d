import type { ItemDecision, ItemTable } from '../../review/messages.js'
import { make } from '../dom.js'
import { linesOf, NOUNS, verdictOf } from './item-words.js'

const ROW_PX = 56
const MARGIN_ROWS = 6
/** Browsers limit the height of an element. */
const MAX_HEIGHT_PX = 8_000_000

/** A list of any length: only the visible rows are elements. */
export class ItemList {
  readonly element: HTMLElement
  readonly #box: HTMLElement
  readonly #body = make('div', { class: 'rows', is: { role: 'presentation' } })
  #items: readonly number[] = []
  #current = -1

  constructor(
    private readonly table: ItemTable,
    private readonly decisionOf: (at: number) => ItemDecision | undefined,
    private readonly onChoice: (at: number) => void,
  ) {
    const [, many] = NOUNS[table.kind]
    this.#box = make(
      'div',
      {
        class: 'item-list',
        is: { role: 'listbox', tabindex: '0', 'aria-label': many },
        on: { scroll: () => this.#render(), click: (event) => this.#choose(event) },
      },
      this.#body,
    )
    this.element = this.#box
    new ResizeObserver(() => this.#render()).observe(this.#box)
  }

  show(items: readonly number[]): void {
    this.#items = items
    this.#body.style.height = `${this.#height()}px`
    this.#render()
  }

  /** Mark an item as the present one, and scroll to it. */
  mark(at: number): void {
    this.#current = at
    const place = this.#items.indexOf(at)
    if (place >= 0) {
      const top = place * this.#rowPx()
      const { scrollTop, clientHeight } = this.#box
      if (top < scrollTop) this.#box.scrollTop = top
      else if (top + ROW_PX > scrollTop + clientHeight) this.#box.scrollTop = top + ROW_PX - clientHeight
      this.#box.setAttribute('aria-activedescendant', `item-${at}`)
    } else this.#box.removeAttribute('aria-activedescendant')
    this.#render()
  }

  refresh(): void {
    this.#render()
  }

  #height(): number {
    return Math.min(MAX_HEIGHT_PX, this.#items.length * ROW_PX)
  }

  /** Height of a row on the scroll bar: smaller than a row if the list exceeds the limit of an element. */
  #rowPx(): number {
    return this.#items.length === 0 ? ROW_PX : this.#height() / this.#items.length
  }

  #render(): void {
    const { scrollTop, clientHeight } = this.#box
    const rowPx = this.#rowPx()
    const first = Math.max(0, Math.floor(scrollTop / rowPx) - MARGIN_ROWS)
    const last = Math.min(this.#items.length, first + Math.ceil(clientHeight / ROW_PX) + 2 * MARGIN_ROWS)
    const offset = first * rowPx
    this.#body.replaceChildren(
      ...this.#items
        .slice(first, last)
        .map((at, place) => this.#row(at, first + place, offset + place * ROW_PX)),
    )
  }

  #row(at: number, place: number, top: number): HTMLElement {
    const [title, detail] = linesOf(this.table, at)
    const [state, look] = verdictOf(this.table, at)
    const decision = this.decisionOf(at)
    const row = make(
      'div',
      {
        class: 'item',
        is: {
          role: 'option',
          id: `item-${at}`,
          'aria-selected': String(at === this.#current),
          'aria-setsize': String(this.#items.length),
          'aria-posinset': String(place + 1),
          'data-at': String(at),
        },
      },
      make(
        'span',
        { class: 'item-title' },
        title,
        state === '' ? null : make('span', { class: `item-state ${look}` }, state),
      ),
      make('span', { class: 'item-detail quiet' }, detail),
      decision === undefined ? null : decisionMark(decision),
    )
    row.style.transform = `translateY(${top}px)`
    return row
  }

  #choose(event: Event): void {
    const at = (event.target as Element).closest<HTMLElement>('.item')?.dataset.at
    if (at !== undefined) this.onChoice(Number(at))
  }
}

/** Return the decision on an item as a mark with words. */
export function decisionMark({ joint, votes, stale }: ItemDecision): HTMLElement {
  const names = votes.map(({ reviewer, decision }) => `${reviewer}: ${decision}`).join(', ')
  const [sign, look, word] = stale
    ? ['↺', 'quiet', 'decision on another version']
    : joint === 'accept'
      ? ['✓', 'completed', 'accepted by review']
      : joint === 'reject'
        ? ['✕', 'failed', 'rejected by review']
        : ['=', 'stopped', 'reviewers disagree']
  return make(
    'span',
    { class: `item-decision ${look}`, is: { title: `${word} (${names})`, role: 'img', 'aria-label': word } },
    sign,
  )
}
