type Child = Node | string | null

interface Facts {
  readonly class?: string
  /** Attributes; null leaves one out. */
  readonly is?: Readonly<Record<string, string | null>>
  readonly on?: Readonly<Record<string, (event: Event) => void>>
}

/** Return a new element. Texts become text nodes, so that foreign text is never markup. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  facts: Facts = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  if (facts.class !== undefined) element.className = facts.class
  for (const [name, value] of Object.entries(facts.is ?? {}))
    if (value !== null) element.setAttribute(name, value)
  for (const [name, act] of Object.entries(facts.on ?? {})) element.addEventListener(name, act)
  element.append(...children.filter((child) => child !== null))
  return element
}

/** Set the text of an element if it changed, so that a selection and a screen reader are not disturbed. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Return a table with a caption inside a box that scrolls. Cells that are texts become plain cells; the first is a heading. */
export function makeTable(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly (string | HTMLElement)[])[],
  words: readonly number[] = [],
): HTMLElement {
  const look = (at: number): Facts => (words.includes(at) ? { class: 'word wide' } : {})
  const body = rows.map((cells) =>
    make(
      'tr',
      {},
      ...cells.map((cell, at) =>
        at === 0 ? make('th', { is: { scope: 'row' } }, cell) : make('td', look(at), cell),
      ),
    ),
  )
  return make(
    'div',
    { class: 'scroll', is: { tabindex: '0', role: 'region', 'aria-label': caption } },
    make(
      'table',
      {},
      make('caption', {}, caption),
      make(
        'thead',
        {},
        make('tr', {}, ...heads.map((head, at) => make('th', { is: { scope: 'col' }, ...look(at) }, head))),
      ),
      make('tbody', {}, ...body),
    ),
  )
}

/** Return a message in the place of missing content, with the next thing to do. */
export function makeNotice(title: string, text: string, command?: string): HTMLElement {
  return make(
    'div',
    { class: 'notice' },
    make('h2', {}, title),
    make('p', {}, text),
    command === undefined ? null : make('pre', { is: { tabindex: '0' } }, command),
  )
}
