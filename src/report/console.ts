import { stripVTControlCharacters, styleText } from 'node:util'
import { counted, visibleInColour } from '../plain-text.js'
import type { JobKind, RunEvent, StartedEvent, StepEvent, SynthesisEvent } from '../training/events.js'
import { duration, inWords, orderedLosses, percent, short } from './wording.js'

/** The part of a stream such as `process.stderr` that the report uses. */
export interface TerminalLike {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface ConsoleReportOptions {
  /** Write a line; a newline is added. */
  readonly note: (text: string) => void
  readonly color: boolean
  /** Stream of the updating line, if it is a terminal. Otherwise only plain lines are written. */
  readonly stream?: TerminalLike
  /** Return the current time in milliseconds. Default: `Date.now`. */
  readonly now?: () => number
}

export interface ConsoleReport {
  show(event: RunEvent): void
  /** Remove the updating line. Later events are ignored. */
  close(): void
}

interface Progress {
  readonly job: JobKind | null
  readonly steps: number | null
  readonly last: StepEvent | null
  /** Exponential moving average; null before the first step. */
  readonly secondsPerStep: number | null
  readonly tumors: RecentTumors
}

/** Exponentially weighted sums, so that the shares describe recent steps and not the whole run. */
interface RecentTumors {
  readonly kept: number
  readonly tried: number
  readonly seen: number
}

const PLAIN_LINE_EVERY_MS = 10_000
const REDRAW_EVERY_MS = 100
/** Weight of a step relative to the next one. */
const FADE = 0.95
const BAR_WIDTH = 16
/** Losses that are printed first; the others follow if there is room. */
const MAIN_LOSSES = ['total', 'generator', 'discriminator']

/**
 * Print the progress of a run. On a terminal: one updating line. Elsewhere: a line for the first step, then
 * at most one line every 10 s. Every other event has a line of its own. Without `color`, no escape sequence
 * is written.
 */
export function openConsoleReport({
  note,
  color,
  stream,
  now = Date.now,
}: ConsoleReportOptions): ConsoleReport {
  const live = stream?.isTTY === true ? updatingLine(stream) : null
  let progress = noProgress(null, null)
  let shownAt = Number.NEGATIVE_INFINITY
  let closed = false

  const showStep = (): void => {
    if (now() - shownAt < (live ? REDRAW_EVERY_MS : PLAIN_LINE_EVERY_MS)) return
    shownAt = now()
    if (live) live.draw((columns) => progressLine(progress, columns, color))
    else note(`${progress.job} ${figures(progress).join('  ')}`)
  }

  return {
    show: (event) => {
      if (closed) return
      progress = advance(progress, event)
      if (event.type === 'step') showStep()
      const told = tell(event, progress, color)
      if (told === null) return
      live?.clear()
      note(told)
      // redraw the progress line below the printed line; the first step of a run is always printed
      shownAt = live || event.type === 'started' ? Number.NEGATIVE_INFINITY : shownAt
    },
    close: () => {
      closed = true
      live?.clear()
    },
  }
}

function noProgress(job: JobKind | null, steps: number | null): Progress {
  return { job, steps, last: null, secondsPerStep: null, tumors: { kept: 0, tried: 0, seen: 0 } }
}

function advance(progress: Progress, event: RunEvent): Progress {
  if (event.type === 'started') return noProgress(event.job, event.steps)
  if (event.type === 'synthesis') return { ...progress, tumors: withTumors(progress.tumors, event) }
  if (event.type !== 'step') return progress
  const before = progress.secondsPerStep ?? event.seconds
  const secondsPerStep = FADE * before + (1 - FADE) * event.seconds
  return { ...progress, job: event.job, last: event, secondsPerStep }
}

function withTumors(before: RecentTumors, { kept, tried, shareSeen }: SynthesisEvent): RecentTumors {
  return {
    kept: FADE * before.kept + kept,
    tried: FADE * before.tried + tried,
    seen: FADE * before.seen + (shareSeen ?? 0) * tried,
  }
}

/** Return one line of at most `columns` characters, with the important figures first. */
function progressLine(progress: Progress, columns: number, color: boolean): string {
  const { job, steps, last } = progress
  const done = steps && last ? Math.min(1, (last.step + 1) / steps) : 0
  const width = (text: string): number => stripVTControlCharacters(text).length
  let line = (job ?? '').slice(0, columns)
  if (line.length + 1 + BAR_WIDTH <= columns) line += ` ${bar(done, color)}`
  for (const figure of figures(progress)) {
    if (width(line) + 2 + figure.length > columns) break
    line += `  ${figure}`
  }
  return line
}

function bar(done: number, color: boolean): string {
  const filled = Math.round(done * BAR_WIDTH)
  const [front, back] = ['━'.repeat(filled), '─'.repeat(BAR_WIDTH - filled)]
  return color ? `${inColor('cyan', front)}${inColor('dim', back)}` : front + back
}

/** Return the figures of a run, the important ones first. */
function figures({ steps, last, secondsPerStep, tumors }: Progress): string[] {
  if (last === null) return []
  const losses = orderedLosses(last.losses)
  const main = losses.filter(([name]) => MAIN_LOSSES.includes(name))
  const others = losses.filter(([name]) => !MAIN_LOSSES.includes(name))
  const told = [`step ${last.step + 1}${steps === null ? '' : `/${steps}`}`, ...main.map(inFigures)]
  if (steps !== null && secondsPerStep !== null)
    told.push(`${duration((steps - last.step - 1) * secondsPerStep)} left`)
  if (tumors.tried > 0) told.push(shares(tumors))
  if (secondsPerStep) told.push(`${short(1 / secondsPerStep)} steps/s`)
  return [...told, ...others.map(inFigures)]
}

function inFigures([name, value]: readonly [string, number]): string {
  return `${inWords(name)} ${short(value)}`
}

function shares({ kept, tried, seen }: RecentTumors): string {
  return `detected ${percent(seen / tried)}, accepted ${percent(kept / tried)}`
}

/** Return the line of an event; null for events that only update the figures. */
function tell(event: RunEvent, progress: Progress, color: boolean): string | null {
  switch (event.type) {
    case 'step':
    case 'synthesis':
      return null
    case 'started':
      return started(event)
    case 'validation': {
      const best = event.best ? inColor('green', ', the best so far', color) : ''
      const dice =
        event.tumorDice === null ? 'none has a tumor' : `tumor Dice ${short(event.tumorDice)}${best}`
      return `validation at step ${event.step} on ${counted(event.numCases, 'case')}: ${dice}`
    }
    case 'checkpoint':
      return inColor('dim', `checkpoint at step ${event.step}: ${event.directory} (${event.reason})`, color)
    case 'command': {
      const value = event.value === undefined ? '' : ` ${event.value}`
      return `${inWords(event.command)}${value}, from step ${event.step} on`
    }
    case 'note':
      return event.level === 'warning' ? `${inColor('yellow', 'warning:', color)} ${event.text}` : event.text
    case 'restart':
      return `${inColor('yellow', 'restart', color)} ${event.restart} after a failure at step ${event.diedAt}: ${event.reason}; resuming at step ${event.step}`
    case 'finished': {
      const outcome = inColor(event.outcome === 'completed' ? 'green' : 'red', event.outcome, color)
      const reason = event.reason === '' ? '' : `: ${event.reason}`
      const losses = progress.last === null ? [] : orderedLosses(progress.last.losses).map(inFigures)
      const tumors = progress.tumors.tried > 0 ? [shares(progress.tumors)] : []
      const figures = [...losses, ...tumors].join(', ')
      return `${progress.job ?? 'run'} ${outcome} at step ${event.step}${reason}${figures && ` (${figures})`}`
    }
  }
}

function started(event: StartedEvent): string {
  const networks = Object.entries(event.parameters)
  const sizes = networks.map(([name, count]) => `${name} ${(count / 1e6).toFixed(2)} M parameters`)
  const from = event.step > 0 ? ` from step ${event.step}` : ''
  const where = `${counted(event.worldSize, 'rank')} on ${event.device}`
  return [`${event.job}${from}: ${counted(event.steps, 'step')}, ${where}`, ...sizes].join(', ')
}

/** Return a line that overwrites itself with carriage return and spaces, which every terminal supports. */
function updatingLine(stream: TerminalLike): {
  draw(text: (columns: number) => string): void
  clear(): void
} {
  let length = 0
  const draw = (text: string): void => {
    const line = visibleInColour(text.replaceAll('\n', ' '))
    const visible = stripVTControlCharacters(line).length
    stream.write(`\r${line}${' '.repeat(Math.max(0, length - visible))}`)
    length = visible
  }
  return {
    // leave the last column free: some terminals wrap when it is written
    draw: (text) => draw(text((stream.columns || 80) - 1)),
    clear: () => {
      if (length === 0) return
      draw('')
      stream.write('\r')
    },
  }
}

function inColor(format: 'cyan' | 'dim' | 'green' | 'red' | 'yellow', text: string, color = true): string {
  // validateStream would inspect the streams of the process; the caller has decided already
  return color ? styleText(format, text, { validateStream: false }) : text
}
