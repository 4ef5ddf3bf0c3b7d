import type { StepEvent, SynthesisEvent } from '../training/events.js'
import type { LineSink } from '../training/line-follower.js'
import { Curve } from './curve.js'
import type { CurveName, Moment, RunUpdate, TumorKindSum } from './messages.js'
import { readEvent } from './read-event.js'

/** Bins of each curve: as many as a chart has pixels, within reason. */
const BINS: Readonly<Record<CurveName, number>> = { steps: 1000, tumors: 400, validations: 1000 }
/** Newest events other than steps and tumors that are kept. */
const MAX_MOMENTS = 500
const MAX_KINDS = 64

/** State of a reader of a digest. */
export interface Cursor {
  readonly generation: number
  readonly revisions: Readonly<Record<CurveName, number>>
  readonly moments: number
  readonly tried: number
  readonly damagedLines: number
}

/** The events of one run in bounded memory: curves, tumors by organ and size, and the newest other events. */
export class RunDigest implements LineSink {
  #generation = 1
  #curves = newCurves()
  #moments: Moment[] = []
  /** Number of moments so far, those that were dropped included. */
  #momentCount = 0
  #kinds = new Map<string, TumorKindSum>()
  #tried = 0
  #damagedLines = 0

  reset(): void {
    this.#generation++
    this.#curves = newCurves()
    this.#moments = []
    this.#momentCount = 0
    this.#kinds = new Map()
    this.#tried = 0
    this.#damagedLines = 0
  }

  damaged(): void {
    this.#damagedLines++
  }

  line(value: unknown): void {
    const event = readEvent(value)
    if (event === null) this.damaged()
    else if (event.type === 'step') this.#curves.steps.add(event.step, stepValues(event))
    else if (event.type === 'synthesis') this.#addTumors(event)
    else this.#addMoment(event)
  }

  /** Return what changed after a cursor, and the new cursor; the update is null if nothing changed. */
  since(cursor: Cursor | null): { update: Omit<RunUpdate, 'run'> | null; cursor: Cursor } {
    const reset = cursor?.generation !== this.#generation
    const before = reset ? null : cursor
    const now: Cursor = {
      generation: this.#generation,
      revisions: {
        steps: this.#curves.steps.revision,
        tumors: this.#curves.tumors.revision,
        validations: this.#curves.validations.revision,
      },
      moments: this.#momentCount,
      tried: this.#tried,
      damagedLines: this.#damagedLines,
    }
    const names = (Object.keys(BINS) as CurveName[]).filter(
      (name) => before === null || before.revisions[name] !== now.revisions[name],
    )
    const fresh = this.#momentCount - (before?.moments ?? 0)
    const update = {
      ...(reset ? { reset } : {}),
      ...(names.length > 0
        ? {
            curves: Object.fromEntries(
              names.map((name) => [name, this.#curves[name].since(before?.revisions[name] ?? 0)]),
            ) as NonNullable<RunUpdate['curves']>,
          }
        : {}),
      ...(fresh > 0 ? { moments: this.#moments.slice(-Math.min(fresh, MAX_MOMENTS)) } : {}),
      ...(before?.tried === this.#tried ? {} : { kinds: this.#sortedKinds() }),
      ...(before?.damagedLines === this.#damagedLines ? {} : { damagedLines: this.#damagedLines }),
    }
    return { update: Object.keys(update).length > 0 ? update : null, cursor: now }
  }

  #addTumors(event: SynthesisEvent): void {
    this.#curves.tumors.add(event.step, tumorValues(event))
    this.#tried += event.tried
    for (const { organ, size, kept, tried, shareSeen } of event.byKind) {
      const key = `${organ}/${size}`
      const sum = this.#kinds.get(key)
      if (sum === undefined && this.#kinds.size >= MAX_KINDS) continue
      const all = (sum?.tried ?? 0) + tried
      this.#kinds.set(key, {
        organ,
        size,
        kept: (sum?.kept ?? 0) + kept,
        tried: all,
        shareSeen: ((sum?.shareSeen ?? 0) * (sum?.tried ?? 0) + shareSeen * tried) / Math.max(1, all),
      })
    }
  }

  #addMoment(event: Moment): void {
    if (event.type === 'validation')
      this.#curves.validations.add(event.step, [['tumor Dice', event.tumorDice]])
    if (event.type === 'restart') {
      // the steps from there are repeated; a validation at this step is not, because it came before the checkpoint
      this.#curves.steps.cut(event.step)
      this.#curves.tumors.cut(event.step)
      this.#curves.validations.cut(event.step + 1)
    }
    this.#momentCount++
    this.#moments.push(event)
    if (this.#moments.length > MAX_MOMENTS) this.#moments.shift()
  }

  #sortedKinds(): TumorKindSum[] {
    return [...this.#kinds.values()].sort(
      (a, b) => a.organ.localeCompare(b.organ) || a.size.localeCompare(b.size),
    )
  }
}

function newCurves(): Record<CurveName, Curve> {
  return {
    steps: new Curve(BINS.steps),
    tumors: new Curve(BINS.tumors),
    validations: new Curve(BINS.validations),
  }
}

type Values = (readonly [name: string, value: unknown, weight?: number])[]

/** Return the values of a step by name; losses have a dot, as in `losses.total`. */
function stepValues({ losses, learningRate, seconds, waitSeconds, ...event }: StepEvent): Values {
  return [
    ...Object.entries(losses).map(([name, value]) => [`losses.${name}`, value] as const),
    ['learningRate', learningRate],
    ['seconds', seconds],
    // weighted by the length of the step: the mean of a bin is its part of the time
    ['waitShare', seconds > 0 ? waitSeconds / seconds : null, seconds > 0 ? seconds : 1],
    ['memoryBytes', event.memoryBytes],
    ['utilization', event.utilization],
  ]
}

/** Return the rates in total (`seen`, `kept`), by organ (`seen:liver`), and by organ and size (`seen:liver/small`). */
function tumorValues(event: SynthesisEvent): Values {
  const rates = (suffix: string, kept: number, tried: number, seen: unknown): Values => [
    [`seen${suffix}`, seen, tried],
    [`kept${suffix}`, kept / Math.max(1, tried), tried],
  ]
  return [
    ...rates('', event.kept, event.tried, event.shareSeen),
    ...Object.entries(event.byOrgan ?? {}).flatMap(([organ, sum]) =>
      rates(`:${organ}`, sum.kept, sum.tried, sum.shareSeen),
    ),
    ...event.byKind.flatMap(({ organ, size, kept, tried, shareSeen }) =>
      rates(`:${organ}/${size}`, kept, tried, shareSeen),
    ),
  ]
}
