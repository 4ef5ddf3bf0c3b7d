import type { FailureCard } from '../../errors.js'
import { percent } from '../../report/wording.js'
import type { Moment, RankLogName, RunDetail, TumorKindSum } from '../messages.js'
import { make, makeTable, setText } from './dom.js'
import { asServerError, readLog } from './server.js'
import { timeOf } from './words.js'

const LOG_MS = 3000

/** Return the card of the last failure. */
export function failureCard(card: FailureCard): HTMLElement {
  const where = card.rank === null ? '' : ` on rank ${card.rank}`
  const lines = card.traceback.trim() || card.lastLines.join('\n')
  return make(
    'section',
    { class: 'failure', is: { 'aria-labelledby': 'failure' } },
    make('h2', { is: { id: 'failure' } }, `Failure: ${card.kind}${where}`),
    make('p', {}, card.message),
    card.hint === '' ? null : make('p', { class: 'quiet' }, `Hint: ${card.hint}`),
    make('p', { class: 'quiet' }, `${timeOf(card.time)} UTC. All logs: ${card.logs}`),
    lines === '' ? null : make('pre', { is: { tabindex: '0', 'aria-label': 'Last lines' } }, lines),
  )
}

/** Return the tumors by organ and size. */
export function kindTable(kinds: readonly TumorKindSum[], keptTitle: string): HTMLElement {
  const rows = kinds.map(({ organ, size, kept, tried, shareSeen }) => [
    organ,
    size,
    tried.toLocaleString('en-US'),
    `${kept.toLocaleString('en-US')} (${percent(kept / Math.max(1, tried))})`,
    percent(shareSeen),
  ])
  const heads = ['organ', 'size', 'painted', keptTitle.toLowerCase(), 'mean detected fraction']
  return makeTable('Synthetic tumors by organ and size', heads, rows, [1])
}

/** Return the events other than steps and tumors, newest first. */
export function momentTable(moments: readonly Moment[]): HTMLElement {
  const rows = moments.toReversed().map((moment) => {
    const [step, text, look] = inWords(moment)
    return [
      timeOf(moment.time),
      step === null ? '' : step.toLocaleString('en-US'),
      make('span', { class: look }, text),
    ]
  })
  return makeTable('Events except steps; times in UTC', ['time', 'step', 'event'], rows, [2])
}

function inWords(moment: Moment): [step: number | null, text: string, look: string] {
  switch (moment.type) {
    case 'started':
      return [moment.step, `started on ${moment.device}, ranks: ${moment.worldSize}`, '']
    case 'validation': {
      const dice = moment.tumorDice === null ? 'no tumor' : `tumor Dice ${moment.tumorDice.toFixed(3)}`
      return [moment.step, `validation: ${dice}${moment.best ? ', best' : ''}`, '']
    }
    case 'checkpoint':
      return [moment.step, `checkpoint: ${moment.directory} (${moment.reason})`, '']
    case 'command': {
      const value = moment.value === undefined ? '' : ` ${moment.value}`
      return [moment.step, `command ${moment.command}${value} took effect`, 'command']
    }
    case 'note':
      return [null, moment.text, moment.level === 'warning' ? 'warning' : '']
    case 'restart':
      return [moment.step, `restarted after a failure at step ${moment.diedAt}: ${moment.reason}`, 'warning']
    case 'finished': {
      const reason = moment.reason === '' ? '' : `: ${moment.reason}`
      return [moment.step, `${moment.outcome}${reason}`, moment.outcome]
    }
  }
}

/** Return the configuration: what differs from the defaults, and all of it. */
export function configuration({ differences, configText }: RunDetail): HTMLElement {
  const rows = differences.map((one) => [
    make('code', {}, one.key),
    make('code', {}, one.value),
    one.default === null ? make('span', { class: 'quiet' }, 'no default') : make('code', {}, one.default),
  ])
  return make(
    'section',
    { is: { 'aria-labelledby': 'configuration' } },
    make('h2', { is: { id: 'configuration' } }, 'Configuration'),
    rows.length === 0
      ? make('p', { class: 'missing' }, 'Every key has its default.')
      : makeTable(
          `Keys that differ from the defaults (${rows.length})`,
          ['key', 'value', 'default'],
          rows,
          [1, 2],
        ),
    configText === null
      ? null
      : make(
          'details',
          {},
          make('summary', {}, 'Resolved configuration'),
          make('pre', { is: { tabindex: '0' } }, configText),
        ),
  )
}

/** The end of the log of one rank, read every three seconds while its section is open. */
export class RankLogView {
  readonly element: HTMLDetailsElement
  readonly #text = make('pre', { class: 'log', is: { tabindex: '0', 'aria-label': 'End of the log' } })
  readonly #ranks: HTMLSelectElement
  readonly #timer: ReturnType<typeof setInterval>

  constructor(
    private readonly id: string,
    private readonly logs: readonly RankLogName[],
  ) {
    const read = (): void => void this.#read()
    this.#ranks = make(
      'select',
      { is: { id: 'rank' }, on: { change: read } },
      ...logs.map(({ node, rank }, at) =>
        make('option', { is: { value: String(at) } }, `rank ${rank}, node ${node}`),
      ),
    )
    this.element = make(
      'details',
      { on: { toggle: read } },
      make('summary', {}, `Logs (${logs.length})`),
      make('p', { class: 'bar' }, make('label', { is: { for: 'rank' } }, 'Rank '), this.#ranks),
      this.#text,
    )
    this.#timer = setInterval(read, LOG_MS)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #read(): Promise<void> {
    const log = this.logs[Number(this.#ranks.value)]
    if (!this.element.open || document.hidden || log === undefined) return
    const atEnd = this.#text.scrollTop + this.#text.clientHeight >= this.#text.scrollHeight - 4
    try {
      setText(this.#text, (await readLog(this.id, log.node, log.rank)) || 'The log is empty.')
    } catch (error) {
      const { message, hint } = asServerError(error)
      setText(this.#text, `${message} ${hint}`)
    }
    if (atEnd) this.#text.scrollTop = this.#text.scrollHeight
  }
}
