import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { answersOf, appendToJournal, type ReaderAnswer, readJournal } from '../../readers/journal.js'
import { readerOrder, type Showing } from '../../readers/order.js'
import { type Reader, STUDY_FILES, type Study } from '../../readers/study.js'
import type { NewAnswer } from './messages.js'

/** Time for the way of an answer to the server. */
const GRACE_SECONDS = 2

interface ReadJournal {
  /** Inode, size and time of the file. */
  readonly stamp: string
  readonly answers: ReadonlyMap<string, readonly ReaderAnswer[]>
  /** Time in ms at which a place was shown first. */
  readonly started: ReadonlyMap<string, number>
}

/** The places of readers in their orders, as the journal states them. */
export class ReaderProgress {
  readonly #file: string
  readonly #orders = new Map<number, readonly Showing[]>()
  #read: ReadJournal = { stamp: '', answers: new Map(), started: new Map() }
  #queue: Promise<unknown> = Promise.resolve()

  constructor(
    folder: string,
    private readonly study: Study,
    private readonly version: string,
  ) {
    this.#file = join(folder, STUDY_FILES.journal)
  }

  /** Return the order of a reader. */
  orderOf({ number }: Reader): readonly Showing[] {
    const known = this.#orders.get(number) ?? readerOrder(this.study, number)
    this.#orders.set(number, known)
    return known
  }

  /** Return the number of answers of a reader. @throws DataError */
  async answered({ id }: Reader): Promise<number> {
    return (await this.#journal()).answers.get(id)?.length ?? 0
  }

  /** Note that a reader sees a case; return the seconds that are left, null without a limit. @throws EnvironmentError */
  start(reader: Reader, position: number): Promise<number | null> {
    return this.#inTurn(async () => {
      const { started } = await this.#journal()
      const limit = this.study.timeLimitSeconds
      const before = started.get(placeKey(reader.id, position))
      if (before !== undefined)
        return limit === null ? null : Math.max(0, limit - (Date.now() - before) / 1000)
      await appendToJournal(this.#file, { kind: 'started', ...this.#place(reader, position) })
      return limit
    })
  }

  /**
   * Record an answer; resolve with the number of answers when it is on the disk. An equal answer that was recorded already, as
   * after a lost connection, is no second one. Null if another case is the next one.
   * @throws EnvironmentError
   */
  record(reader: Reader, { position, ...given }: NewAnswer): Promise<number | null> {
    return this.#inTurn(async () => {
      const { answers, started } = await this.#journal()
      const done = answers.get(reader.id) ?? []
      const same = done.find((one) => one.position === position)
      if (same !== undefined)
        return same.answer === given.answer && same.confidence === given.confidence ? done.length : null
      if (position !== done.length + 1) return null
      const limit = this.study.timeLimitSeconds
      const since = started.get(placeKey(reader.id, position))
      const taken = since === undefined ? 0 : (Date.now() - since) / 1000
      await appendToJournal(this.#file, {
        kind: 'answer',
        ...this.#place(reader, position),
        showing: this.orderOf(reader)[position - 1]!.showing,
        answer: given.answer,
        confidence: given.confidence,
        clickMm: given.clickMm === null ? null : [...given.clickMm],
        seconds: Math.round(given.seconds * 10) / 10,
        overTime: limit !== null && taken > limit + GRACE_SECONDS,
        version: this.version,
      })
      return done.length + 1
    })
  }

  #place(reader: Reader, position: number) {
    const { case: number } = this.orderOf(reader)[position - 1]!
    return { time: new Date().toISOString(), reader: reader.id, position, case: number }
  }

  /** Read the journal if it has changed: `readers delete` may rewrite it. */
  async #journal(): Promise<ReadJournal> {
    const found = await stat(this.#file).catch(() => null)
    const stamp = found === null ? 'missing' : `${found.ino}-${found.size}-${found.mtimeMs}`
    if (stamp === this.#read.stamp) return this.#read
    const { lines } = await readJournal(this.#file)
    const answers = new Map<string, ReaderAnswer[]>()
    for (const one of answersOf(lines)) answers.set(one.reader, [...(answers.get(one.reader) ?? []), one])
    const started = new Map<string, number>()
    for (const one of lines) {
      const key = placeKey(one.reader, one.position)
      if (one.kind === 'started' && !started.has(key)) started.set(key, Date.parse(one.time))
    }
    this.#read = { stamp, answers, started }
    return this.#read
  }

  /** One change after another: two tabs of a reader must not answer one case twice. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }
}

function placeKey(reader: string, position: number): string {
  return JSON.stringify([reader, position])
}
