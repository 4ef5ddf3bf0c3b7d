import { inWords, percent, short } from '../../../report/wording.js'
import type { Vec3 } from '../../../volume/volume.js'
import type { ItemDecision, ItemDetail, ItemTable, LayerRole, Place, Reviews } from '../../review/messages.js'
import { make, makeNotice, setText } from '../dom.js'
import { asServerError } from '../server.js'
import { showError, type View } from '../view.js'
import { ItemData, readReviews, readTable, saveCsv, sendDecision } from './data.js'
import { Filters } from './filters.js'
import { ItemList } from './item-list.js'
import { KINDS, linesOf, measuresOf, NOUNS, textOf } from './item-words.js'
import { helpDialog, listenToKeys, type Shortcut } from './keys.js'
import { tumorTest } from './paint.js'
import { PANELS } from './panels.js'
import { placeOfMask } from './place-of-mask.js'
import { RejectDialog } from './reject-dialog.js'
import { chosenItems } from './select.js'
import { extentOf } from './slices.js'
import { Viewer } from './viewer.js'
import type { LoadedVolume } from './volume.js'
import { WINDOWS } from './windows.js'

const REFRESH_MS = 3000
/** Items whose volumes are read ahead. */
const AHEAD = 2
const REVIEWER = 'freetumor-reviewer'

/** The items of one collection, with the viewer. */
export function showReview(main: HTMLElement, id: string): View {
  const leaving = new AbortController()
  let page: ReviewPage | null = null
  document.body.classList.add('wide')
  main.replaceChildren(make('p', { class: 'missing' }, 'Reading the list…'))
  void readTable(id)
    .then((table) => {
      if (leaving.signal.aborted) return
      page = new ReviewPage(id, table, leaving.signal)
      main.replaceChildren(page.element)
      page.start()
    })
    .catch((error: unknown) => {
      const { message, hint } = asServerError(error)
      main.replaceChildren(makeNotice(message, hint))
    })
  return {
    title: 'Review',
    close: () => {
      leaving.abort()
      document.body.classList.remove('wide')
      page?.close()
    },
  }
}

class ReviewPage {
  readonly element: HTMLElement
  readonly #data: ItemData
  readonly #viewer: Viewer
  readonly #filters: Filters
  readonly #list: ItemList
  readonly #reject = new RejectDialog()
  readonly #help: HTMLDialogElement
  readonly #count = make('p', { class: 'quiet item-count', is: { role: 'status' } })
  readonly #title = make('h1', {}, '')
  readonly #facts = make('p', { class: 'quiet item-facts' })
  readonly #measures = make('dl', { class: 'measures' })
  readonly #verdict = make('p', { class: 'item-verdict' })
  readonly #status = make('p', { class: 'answer', is: { role: 'status' } })
  readonly #agreement = make('p', { class: 'quiet agreement' })
  readonly #name = make('input', {
    is: { id: 'reviewer-name', maxlength: '100', autocomplete: 'off', placeholder: 'name or initials' },
  })
  readonly #windows = new Map<string, HTMLButtonElement>()
  readonly #toggles = new Map<string, HTMLButtonElement>()
  #decisions = new Map<number, ItemDecision>()
  #reviewsVersion = ''
  #items: readonly number[] = []
  #at = -1
  #detail: ItemDetail | null = null
  /** Time that the item was visible, in milliseconds. */
  #visibleMs = 0
  #visibleSince: number | null = null
  #sending = false
  /** Own decisions of this page, the last one last. */
  #made: number[] = []
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(
    private readonly id: string,
    private readonly table: ItemTable,
    private readonly leaving: AbortSignal,
  ) {
    this.#data = new ItemData(id, table.revision)
    this.#viewer = new Viewer(PANELS[table.kind], () => {})
    this.#filters = new Filters(table, () => this.#choose())
    this.#list = new ItemList(
      table,
      (at) => this.#decisions.get(at),
      (at) => void this.#show(at),
    )
    const shortcuts = this.#shortcuts()
    this.#help = helpDialog(shortcuts)
    listenToKeys(shortcuts, leaving)
    this.element = this.#layout()
    document.addEventListener('visibilitychange', () => this.#countTime(), { signal: leaving })
  }

  start(): void {
    this.#choose()
    const [first] = this.#items
    if (first !== undefined) void this.#show(first)
    if (this.table.kind !== 'synthetic') return
    void this.#refresh()
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#viewer.close()
  }

  get #reviewer(): string {
    return sessionStorage.getItem(REVIEWER) ?? ''
  }

  #layout(): HTMLElement {
    const { table } = this
    const empty = table.count === 0
    const warnings = [
      ...(table.damagedLines > 0 ? [`${table.damagedLines} lines are damaged and were left out.`] : []),
      ...(table.unlisted > 0 ? [`${table.unlisted} further items are not listed.`] : []),
    ]
    const side = make(
      'aside',
      { class: 'side' },
      make('nav', { is: { 'aria-label': 'Back' } }, make('a', { is: { href: '#/data' } }, '← All data')),
      make(
        'p',
        { class: 'side-title' },
        make('strong', {}, table.path.split('/').at(-1)!),
        ` ${KINDS[table.kind]}`,
      ),
      ...warnings.map((text) => make('p', { class: 'warning' }, text)),
      this.#filters.element,
      this.#count,
      this.#list.element,
    )
    if (empty) {
      return make('article', { class: 'review' }, side, makeNotice('Nothing to show', emptyText(table.kind)))
    }
    return make(
      'article',
      { class: 'review' },
      side,
      make(
        'section',
        { class: 'stage', is: { 'aria-label': 'Viewer' } },
        this.#toolbar(),
        this.#viewer.element,
        make(
          'footer',
          { class: 'panel' },
          make('div', { class: 'panel-item' }, this.#title, this.#verdict, this.#facts),
          this.#measures,
          table.kind === 'synthetic' ? this.#decisionBar() : null,
        ),
      ),
      this.#reject.element,
      this.#help,
    )
  }

  #toolbar(): HTMLElement {
    const windows = WINDOWS.map((one) => {
      const button = make(
        'button',
        {
          is: {
            type: 'button',
            'aria-pressed': 'false',
            title: `${one.low} to ${one.high} HU`,
          },
          on: { click: () => this.#setWindow(one.key) },
        },
        one.name,
        ' ',
        make('kbd', {}, one.key),
      )
      this.#windows.set(one.key, button)
      return button
    })
    const toggle = (name: string, text: string, key: string, act: () => void): HTMLButtonElement => {
      const button = make(
        'button',
        { is: { type: 'button', 'aria-pressed': 'false' }, on: { click: act } },
        text,
        ' ',
        make('kbd', {}, key),
      )
      this.#toggles.set(name, button)
      return button
    }
    const tools = [
      toggle('zoom', 'Zoom', 'z', () => this.#tool(() => this.#viewer.toggleZoom())),
      toggle('plane', 'Planes', 'v', () => this.#tool(() => this.#viewer.nextPlane())),
      this.table.kind === 'synthetic'
        ? toggle('blink', 'Blink', 'b', () => this.#tool(() => this.#viewer.toggleBlink()))
        : null,
      this.table.kind === 'audit'
        ? null
        : toggle('outline', 'Outline', 'm', () => this.#tool(() => this.#viewer.toggleOutline())),
      make(
        'button',
        { is: { type: 'button' }, on: { click: () => this.#help.showModal() } },
        'Keys ',
        make('kbd', {}, '?'),
      ),
    ]
    const bar = make(
      'div',
      { class: 'toolbar', is: { role: 'toolbar', 'aria-label': 'Viewer' } },
      make('div', { class: 'group', is: { role: 'group', 'aria-label': 'Intensity window' } }, ...windows),
      make('div', { class: 'group' }, ...tools),
    )
    this.#showTools()
    return bar
  }

  #decisionBar(): HTMLElement {
    const { reviews } = this.table
    const csv = make(
      'button',
      {
        is: { type: 'button', title: 'Save all decisions as CSV' },
        on: { click: () => void saveCsv(this.id).catch((error) => this.#fail(error)) },
      },
      'CSV',
    )
    if (reviews === null)
      return make(
        'div',
        { class: 'decide' },
        make('p', {}, 'Read only. Start `freetumor studio --control` to record decisions.'),
        make('div', { class: 'bar' }, csv),
        this.#agreement,
      )
    const button = (text: string, key: string, look: string, act: () => void): HTMLElement =>
      make(
        'button',
        { class: look, is: { type: 'button' }, on: { click: act } },
        text,
        ' ',
        make('kbd', {}, key),
      )
    this.#name.value = this.#reviewer
    const form = make(
      'form',
      { class: 'reviewer', on: { submit: (event) => this.#setName(event) } },
      make('label', { is: { for: 'reviewer-name' } }, 'Reviewer'),
      this.#name,
    )
    this.#name.addEventListener('change', (event) => this.#setName(event))
    return make(
      'div',
      { class: 'decide' },
      make(
        'div',
        { class: 'bar' },
        button('Accept', 'a', 'accept', () => void this.#decide('accept')),
        button('Reject', 'r', 'danger', () => void this.#decide('reject')),
        button('Undo', 'u', '', () => void this.#undo()),
        form,
        csv,
      ),
      this.#status,
      this.#agreement,
    )
  }

  #shortcuts(): Shortcut[] {
    const { viewer, table } = { viewer: this.#viewer, table: this.table }
    const [one] = NOUNS[table.kind]
    const shortcut = (keys: string, text: string, act: () => void): Shortcut => ({
      keys: keys.split(' '),
      text,
      act,
    })
    const canDecide = table.reviews !== null
    return [
      ...(canDecide
        ? [
            shortcut('a', 'accept', () => void this.#decide('accept')),
            shortcut('r', 'reject, then the reason', () => void this.#decide('reject')),
            shortcut('u', 'undo your last decision', () => void this.#undo()),
          ]
        : []),
      shortcut('n j Enter', `next ${one}`, () => this.#move(1)),
      shortcut('p k', `previous ${one}`, () => this.#move(-1)),
      shortcut('z', `zoom to the ${one === 'tumor' ? 'tumor' : 'place'}, or the whole scan`, () =>
        this.#tool(() => viewer.toggleZoom()),
      ),
      shortcut('+ =', 'zoom in', () => this.#tool(() => viewer.zoomBy(1 / 1.25))),
      shortcut('-', 'zoom out', () => this.#tool(() => viewer.zoomBy(1.25))),
      ...(table.kind === 'synthetic'
        ? [
            shortcut('b', 'blink: host in the place of the synthetic scan', () =>
              this.#tool(() => viewer.toggleBlink()),
            ),
          ]
        : []),
      ...(table.kind === 'audit'
        ? []
        : [shortcut('m', 'outline of tumors', () => this.#tool(() => viewer.toggleOutline()))]),
      shortcut('v', 'all planes, or one', () => this.#tool(() => viewer.nextPlane())),
      shortcut('c', 'crosshair back to the place', () => this.#toPlace()),
      shortcut('. PageUp', 'next slice', () => viewer.scroll(1)),
      shortcut(', PageDown', 'previous slice', () => viewer.scroll(-1)),
      shortcut('ArrowLeft ArrowRight', 'move the crosshair, also ↑ and ↓', () => {}),
      ...WINDOWS.map(({ key, name, low, high }) =>
        shortcut(key, `${name} window, ${low} to ${high} HU`, () => this.#setWindow(key)),
      ),
      shortcut('/', 'search', () => this.#filters.search.focus()),
      shortcut('?', 'these keys', () => this.#help.showModal()),
      shortcut('ArrowLeft', '', () => viewer.step(-1, 0)),
      shortcut('ArrowRight', '', () => viewer.step(1, 0)),
      shortcut('ArrowUp', '', () => viewer.step(0, -1)),
      shortcut('ArrowDown', '', () => viewer.step(0, 1)),
    ]
  }

  #choose(): void {
    const { table } = this
    this.#items = chosenItems(table, this.#filters.choice, this.#decisions, this.#reviewer)
    const [one, many] = NOUNS[table.kind]
    const shown = this.#items.length.toLocaleString('en-US')
    const all = table.count.toLocaleString('en-US')
    const noun = this.#items.length === 1 ? one : many
    setText(
      this.#count,
      this.#items.length === table.count ? `${shown} ${noun}` : `${shown} of ${all} ${many}`,
    )
    this.#list.show(this.#items)
    if (this.#at >= 0) this.#list.mark(this.#at)
  }

  async #show(at: number): Promise<void> {
    if (at === this.#at) return
    this.#at = at
    this.#list.mark(at)
    this.#startTime()
    this.#describe(null)
    try {
      const detail = await this.#data.item(at)
      if (this.#at !== at || this.leaving.aborted) return
      this.#detail = detail
      this.#describe(detail)
      await this.#showVolumes(detail)
      if (this.#at === at) void this.#readAhead(at)
    } catch (error) {
      if (this.#at === at) this.#fail(error)
    }
  }

  async #showVolumes(detail: ItemDetail): Promise<void> {
    const { at } = detail
    const missing = new Map(
      detail.layers.flatMap(({ role, missing }) => (missing ? [[role, missing] as const] : [])),
    )
    const present = detail.layers.filter(({ key }) => key !== null)
    const loads = present.map((layer) => ({
      layer,
      volume: this.#data.volume(at, layer, (fraction) => {
        if (this.#at === at) this.#viewer.note(layer.role, `Loading ${percent(fraction)}`)
      }),
    }))
    const ready = new Map<LayerRole, LoadedVolume>()
    // volumes that were read ahead appear at once, not one after another
    const waiting = await Promise.race([
      Promise.all(loads.map(async ({ layer, volume }) => ready.set(layer.role, await volume))).then(
        () => false,
      ),
      new Promise<true>((resolve) => setTimeout(() => resolve(true), 30)),
    ]).catch(() => true)
    if (this.#at !== at || this.leaving.aborted) return
    const base = { missing, labels: detail.labels, tumorId: detail.tumorId }
    const order = new Map(
      present.flatMap(({ role }) => (ready.has(role) ? [[role, ready.get(role)!] as const] : [])),
    )
    const place = detail.place ?? placeOf(order, detail)
    this.#viewer.show({ ...base, volumes: order, place, shiftMm: shiftOf(order, detail) })
    if (!waiting) return
    await Promise.all(
      loads.map(async ({ layer: { role, name }, volume }) => {
        try {
          const loaded = await volume
          if (this.#at !== at || this.leaving.aborted || order.has(role)) return
          order.set(role, loaded)
          const found = detail.place ?? placeOf(order, detail)
          this.#viewer.show({
            ...base,
            volumes: new Map(order),
            place: found,
            shiftMm: shiftOf(order, detail),
          })
        } catch (error) {
          const why = { message: errorText(error), hint: `The file is ${name}.` }
          missing.set(role, why)
          if (this.#at === at) this.#viewer.note(role, why.message, why.hint)
        }
      }),
    )
  }

  /** Read the next items, so that they appear at once. */
  async #readAhead(at: number): Promise<void> {
    const place = this.#items.indexOf(at)
    for (const next of this.#items.slice(place + 1, place + 1 + AHEAD)) {
      if (this.#at !== at || this.leaving.aborted) return
      await this.#data.prefetch(next)
    }
  }

  #describe(detail: ItemDetail | null): void {
    const [title] = linesOf(this.table, this.#at)
    setText(this.#title, title)
    const facts = detail?.facts.map(([name, value]) => `${name}: ${value}`) ?? ['Reading…']
    setText(this.#facts, facts.join(' · '))
    const rows = measuresOf(this.table, this.#at)
    this.#measures.replaceChildren(
      ...rows.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
    )
    this.#showVerdict()
  }

  #showVerdict(): void {
    const texts: string[] = []
    if (this.table.kind === 'synthetic') {
      const verdict = textOf(this.table, 'verdict', this.#at)
      const by = textOf(this.table, 'review', this.#at) === '' ? 'the rules' : 'reviewers'
      texts.push(`${inWords(verdict)} by ${by} (${inWords(textOf(this.table, 'reason', this.#at))})`)
    }
    const decision = this.#decisions.get(this.#at)
    for (const { reviewer, decision: one, reason } of decision?.votes ?? [])
      texts.push(`${reviewer}: ${one}${reason === null ? '' : ` (${reason})`}`)
    if (decision?.stale) texts.push('decided on another version of the scan, without effect')
    setText(this.#verdict, texts.join(' · '))
  }

  #move(by: number): void {
    const place = this.#items.indexOf(this.#at)
    const next = this.#items[place < 0 ? 0 : place + by]
    if (next !== undefined) void this.#show(next)
    else this.#say(by > 0 ? 'This is the last one of the list.' : 'This is the first one of the list.')
  }

  #toPlace(): void {
    const place = this.#detail?.place
    if (place != null) this.#viewer.setPlace(place)
  }

  #tool(act: () => void): void {
    act()
    this.#showTools()
  }

  #showTools(): void {
    const pressed: Readonly<Record<string, boolean>> = {
      zoom: this.#viewer.isZoomed,
      plane: this.#viewer.onlyPlane !== null,
      blink: this.#viewer.isBlinked,
      outline: this.#viewer.isOutlined,
    }
    for (const [name, button] of this.#toggles) button.setAttribute('aria-pressed', String(pressed[name]))
    for (const [key, button] of this.#windows)
      button.setAttribute('aria-pressed', String(this.#viewer.window.key === key))
  }

  #setWindow(key: string): void {
    const window = WINDOWS.find((one) => one.key === key)
    if (window === undefined) return
    this.#viewer.setWindow(window)
    this.#showTools()
  }

  #setName(event: Event): void {
    event.preventDefault()
    const name = this.#name.value.trim().slice(0, 100)
    sessionStorage.setItem(REVIEWER, name)
    if (name === '') return
    if (event.type === 'submit') this.#name.blur()
    this.#say(`Decisions are recorded as ${name}.`)
    this.#choose()
  }

  async #decide(decision: 'accept' | 'reject'): Promise<void> {
    if (this.table.reviews === null || this.#at < 0 || this.#sending) return
    if (this.#reviewer === '') {
      this.#say('Enter your name first; it is recorded with each decision.', 'failed')
      this.#name.focus()
      return
    }
    if (textOf(this.table, 'scan', this.#at) === 'none') {
      this.#say('This attempt has no scan to decide on.', 'failed')
      return
    }
    if (decision === 'accept') await this.#send('accept', null)
    else this.#reject.ask((reason) => void this.#send('reject', reason))
  }

  async #undo(): Promise<void> {
    const mine = this.#decisions.get(this.#at)?.votes.some(({ reviewer }) => reviewer === this.#reviewer)
    const at = this.#made.at(-1) ?? (mine ? this.#at : undefined)
    if (this.table.reviews === null || this.#sending) return
    if (at === undefined) {
      this.#say('There is no decision of yours to undo.')
      return
    }
    this.#made.pop()
    if (at !== this.#at) await this.#show(at)
    await this.#send('undo', null)
  }

  /** Send a decision, and go on when it is on the disk of the server. */
  async #send(decision: 'accept' | 'reject' | 'undo', reason: string | null): Promise<void> {
    const at = this.#at
    const seconds = this.#seconds()
    const [, name] = linesOf(this.table, at)
    this.#sending = true
    try {
      const { revision } = this.table
      await sendDecision(this.id, { revision, at, reviewer: this.#reviewer, decision, reason, seconds })
      const done = { accept: 'Accepted', reject: 'Rejected', undo: 'Withdrawn' }[decision]
      this.#say(`${done}: ${name}${reason === null ? '' : ` (${reason})`}.`, 'completed')
      this.#sending = false
      if (decision !== 'undo') {
        this.#made.push(at)
        this.#move(1)
      }
      await this.#refresh()
    } catch (error) {
      this.#sending = false
      if (decision === 'undo') this.#made.push(at)
      this.#fail(error)
    }
  }

  async #refresh(): Promise<void> {
    if (document.hidden) return
    try {
      const reviews = await readReviews(this.id, this.#reviewsVersion)
      showError(null)
      if (reviews !== null && !this.leaving.aborted) this.#apply(reviews)
    } catch (error) {
      showError(asServerError(error))
    }
  }

  #apply({ version, decisions, agreement, elsewhere }: Reviews): void {
    this.#reviewsVersion = version
    this.#decisions = new Map(decisions.map((one) => [one.at, one]))
    const names = [...new Set(decisions.flatMap(({ votes }) => votes.map(({ reviewer }) => reviewer)))].sort()
    this.#filters.offerReviewers(names)
    this.#list.refresh()
    this.#showVerdict()
    const texts = [`${decisions.length.toLocaleString('en-US')} decided`]
    if (agreement !== null) {
      const { method, kappa, ci, items, reviewers } = agreement
      const range = ci === null ? '' : `, 95 % interval ${short(ci[0])} to ${short(ci[1])}`
      const value = kappa === null ? 'undefined' : `${short(kappa)}${range}`
      texts.push(`${method}'s kappa of ${reviewers} reviewers: ${value} (${items} shared)`)
    }
    if (elsewhere > 0) texts.push(`${elsewhere} decisions on tumors outside this list`)
    setText(this.#agreement, texts.join(' · '))
  }

  #say(text: string, look = 'quiet'): void {
    this.#status.className = `answer ${look}`
    setText(this.#status, text)
  }

  #fail(error: unknown): void {
    const { message, hint } = asServerError(error)
    this.#say(`${message} ${hint}`, 'failed')
    if (!this.#status.isConnected) showError(asServerError(error))
  }

  #startTime(): void {
    this.#visibleMs = 0
    this.#visibleSince = document.hidden ? null : performance.now()
  }

  /** Count only the time in which the page is visible. */
  #countTime(): void {
    if (this.#visibleSince !== null) this.#visibleMs += performance.now() - this.#visibleSince
    this.#visibleSince = document.hidden ? null : performance.now()
  }

  #seconds(): number {
    this.#countTime()
    return this.#visibleMs / 1000
  }
}

/** Ledgers of earlier versions state no place: look at the middle of the tumor voxels. */
function placeOf(
  volumes: ReadonlyMap<LayerRole, LoadedVolume>,
  { labels, tumorId }: ItemDetail,
): Place | null {
  const [tumors, label] = [volumes.get('tumors'), volumes.get('label')]
  if (tumors !== undefined && tumorId !== null) return placeOfMask(tumors, (id) => id === tumorId)
  return label === undefined ? null : placeOfMask(label, tumorTest(labels))
}

/** Return how far the second scan of an audit lies from the first one: by its low corner, else by the middles. */
function shiftOf(volumes: ReadonlyMap<LayerRole, LoadedVolume>, { offsetMm }: ItemDetail): Vec3 | null {
  const [first, second] = [volumes.get('first'), volumes.get('second')]
  if (first === undefined || second === undefined) return null
  const [[low1, high1], [low2, high2]] = [extentOf(first), extentOf(second)]
  const along = (axis: number): number =>
    offsetMm != null
      ? low2[axis]! - low1[axis]! - offsetMm[axis]!
      : (low2[axis]! + high2[axis]! - low1[axis]! - high1[axis]!) / 2
  return [along(0), along(1), along(2)]
}

function emptyText(kind: ItemTable['kind']): string {
  const texts: Readonly<Record<ItemTable['kind'], string>> = {
    synthetic: 'The ledger of this data set has no line. Run `freetumor synthesize` to the end.',
    evaluation: 'The evaluation has no case.',
    audit: 'The audit found no pair of scans that depend on each other.',
    check: 'The check found no fault.',
  }
  return texts[kind]
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
