import { inWords } from '../../../report/wording.js'
import type { ItemDecision, ItemDetail, ItemTable, Reviews } from '../../review/messages.js'
import { make, makeNotice, setText } from '../dom.js'
import { asServerError } from '../server.js'
import { showError, type View } from '../view.js'
import { ItemData, readDecisions, readTable, sendDecision } from './data.js'
import { DecisionBar } from './decision-bar.js'
import { Filters } from './filters.js'
import { ItemList } from './item-list.js'
import { showVolumes } from './item-volumes.js'
import { itemText, KINDS, linesOf, measuresOf, NOUNS } from './item-words.js'
import { helpDialog, listenToKeys, type Shortcut } from './keys.js'
import { PANELS } from './panels.js'
import { RejectDialog } from './reject-dialog.js'
import { chosenItems } from './select.js'
import { Toolbar } from './toolbar.js'
import { Viewer } from './viewer.js'
import { VisibleTime } from './visible-time.js'
import { WINDOWS } from './windows.js'

const REFRESH_MS = 3000
/** Items whose volumes are read ahead. */
const AHEAD = 2

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
  readonly #bar: DecisionBar
  readonly #toolbar: Toolbar
  readonly #time: VisibleTime
  #decisions = new Map<number, ItemDecision>()
  #reviewsVersion = ''
  #items: readonly number[] = []
  #at = -1
  #detail: ItemDetail | null = null
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
    this.#viewer = new Viewer(PANELS[table.kind])
    this.#filters = new Filters(table, () => this.#choose())
    this.#list = new ItemList(
      table,
      (at) => this.#decisions.get(at),
      (at) => void this.#show(at),
    )
    this.#time = new VisibleTime(leaving)
    this.#bar = new DecisionBar(id, table, {
      accept: () => void this.#decide('accept'),
      reject: () => void this.#decide('reject'),
      undo: () => void this.#undo(),
      named: () => this.#choose(),
    })
    this.#toolbar = new Toolbar(this.#viewer, table.kind, () => this.#help.showModal())
    const shortcuts = this.#shortcuts()
    this.#help = helpDialog(shortcuts)
    listenToKeys(shortcuts, leaving)
    this.element = this.#layout()
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
        this.#toolbar.element,
        this.#viewer.element,
        make(
          'footer',
          { class: 'panel' },
          make('div', { class: 'panel-item' }, this.#title, this.#verdict, this.#facts),
          this.#measures,
          table.kind === 'synthetic' ? this.#bar.element : null,
        ),
      ),
      this.#reject.element,
      this.#help,
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
        this.#toolbar.act(() => viewer.toggleZoom()),
      ),
      shortcut('+ =', 'zoom in', () => this.#toolbar.act(() => viewer.zoomBy(1 / 1.25))),
      shortcut('-', 'zoom out', () => this.#toolbar.act(() => viewer.zoomBy(1.25))),
      ...(table.kind === 'synthetic'
        ? [
            shortcut('b', 'blink: host in the place of the synthetic scan', () =>
              this.#toolbar.act(() => viewer.toggleBlink()),
            ),
          ]
        : []),
      ...(table.kind === 'audit'
        ? []
        : [shortcut('m', 'outline of tumors', () => this.#toolbar.act(() => viewer.toggleOutline()))]),
      shortcut('v', 'all planes, or one', () => this.#toolbar.act(() => viewer.nextPlane())),
      shortcut('c', 'crosshair back to the place', () => this.#toPlace()),
      shortcut('. PageUp', 'next slice', () => viewer.scroll(1)),
      shortcut(', PageDown', 'previous slice', () => viewer.scroll(-1)),
      shortcut('ArrowLeft ArrowRight', 'move the crosshair, also ↑ and ↓', () => {}),
      ...WINDOWS.map(({ key, name, low, high }) =>
        shortcut(key, `${name} window, ${low} to ${high} HU`, () => this.#toolbar.setWindow(key)),
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
    this.#items = chosenItems(table, this.#filters.choice, this.#decisions, this.#bar.reviewer)
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
    this.#time.restart()
    this.#describe(null)
    try {
      const detail = await this.#data.item(at)
      if (this.#at !== at || this.leaving.aborted) return
      this.#detail = detail
      this.#describe(detail)
      await showVolumes(detail, this.#data, this.#viewer, () => this.#at === at && !this.leaving.aborted)
      this.#toolbar.show()
      if (this.#at === at) void this.#readAhead(at)
    } catch (error) {
      if (this.#at === at) this.#bar.fail(error)
    }
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
      const verdict = itemText(this.table, 'verdict', this.#at)
      const by = itemText(this.table, 'review', this.#at) === '' ? 'the rules' : 'reviewers'
      texts.push(`${inWords(verdict)} by ${by} (${inWords(itemText(this.table, 'reason', this.#at))})`)
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
    else this.#bar.show(by > 0 ? 'This is the last one of the list.' : 'This is the first one of the list.')
  }

  #toPlace(): void {
    const place = this.#detail?.place
    if (place != null) this.#viewer.setPlace(place)
  }

  async #decide(decision: 'accept' | 'reject'): Promise<void> {
    if (this.table.reviews === null || this.#at < 0 || this.#sending) return
    if (this.#bar.reviewer === '') {
      this.#bar.askName()
      return
    }
    if (itemText(this.table, 'scan', this.#at) === 'none') {
      this.#bar.show('This attempt has no scan to decide on.', 'failed')
      return
    }
    if (decision === 'accept') await this.#send('accept', null)
    else this.#reject.ask((reason) => void this.#send('reject', reason))
  }

  async #undo(): Promise<void> {
    const mine = this.#decisions.get(this.#at)?.votes.some(({ reviewer }) => reviewer === this.#bar.reviewer)
    const at = this.#made.at(-1) ?? (mine ? this.#at : undefined)
    if (this.table.reviews === null || this.#sending) return
    if (at === undefined) {
      this.#bar.show('There is no decision of yours to undo.')
      return
    }
    this.#made.pop()
    if (at !== this.#at) await this.#show(at)
    await this.#send('undo', null)
  }

  /** Send a decision, and show the next item when it is on the disk of the server. */
  async #send(decision: 'accept' | 'reject' | 'undo', reason: string | null): Promise<void> {
    const at = this.#at
    const { seconds } = this.#time
    const [, name] = linesOf(this.table, at)
    this.#sending = true
    try {
      const { revision } = this.table
      await sendDecision(this.id, { revision, at, reviewer: this.#bar.reviewer, decision, reason, seconds })
      const done = { accept: 'Accepted', reject: 'Rejected', undo: 'Withdrawn' }[decision]
      this.#bar.show(`${done}: ${name}${reason === null ? '' : ` (${reason})`}.`, 'completed')
      this.#sending = false
      if (decision !== 'undo') {
        this.#made.push(at)
        this.#move(1)
      }
      await this.#refresh()
    } catch (error) {
      this.#sending = false
      if (decision === 'undo') this.#made.push(at)
      this.#bar.fail(error)
    }
  }

  async #refresh(): Promise<void> {
    if (document.hidden) return
    try {
      const reviews = await readDecisions(this.id, this.#reviewsVersion)
      showError(null)
      if (reviews !== null && !this.leaving.aborted) this.#apply(reviews)
    } catch (error) {
      showError(asServerError(error))
    }
  }

  #apply(reviews: Reviews): void {
    const { version, decisions } = reviews
    this.#reviewsVersion = version
    this.#decisions = new Map(decisions.map((one) => [one.at, one]))
    const names = [...new Set(decisions.flatMap(({ votes }) => votes.map(({ reviewer }) => reviewer)))].sort()
    this.#filters.offerReviewers(names)
    this.#list.refresh()
    this.#showVerdict()
    this.#bar.showAgreement(reviews)
  }
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
