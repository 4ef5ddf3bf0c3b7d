import { stripVTControlCharacters, styleText } from 'node:util'
import { visibleInColour } from '../plain-text.js'
import type { JobKind, RunEvent, StartedEvent, StepEvent, SynthesisEvent } from '../training/events.js'
import { counted, duration, inWords, orderedLosses, percent, short } from './wording.js'

/** What is needed of a stream such as `process.stderr`. */
export interface TerminalLike {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface ConsoleReportOptions {
  /** Writes a line; a newline is added. */
  readonly note: (text: string) => void
  readonly color: boolean
  /** Where the updating line goes when it is a terminal; without one only plain lines are told. */
  readonly stream?: TerminalLike
  /** Milliseconds; default `Date.now`. */
  readonly now?: () => number
}

export interface ConsoleReport {
  show(event: RunEvent): void
  /** Takes the updating line away; nothing is shown after it. */
  close(): void
}

interface Progress {
  readonly job: JobKind | null
  readonly steps: number | null
  readonly last: StepEvent | null
  /** Fading mean over steps; null before the first. */
  readonly secondsPerStep: number | null
  readonly tumors: RecentTumors
}

/** Fading sums over steps, so that the shares are those of now and not of the whole run. */
interface RecentTumors {
  readonly kept: number
  readonly tried: number
  readonly seen: number
}

const PLAIN_LINE_EVERY_MS = 10_000
const REDRAW_EVERY_MS = 100
/** What an older step counts for beside the one after it. */
const FADE = 0.95
const BAR_WIDTH = 16
/** Losses that are told first; the others follow where there is room. */
const MAIN_LOSSES = ['total', 'generator', 'discriminator']

/**
 * Tells a person what a run does: one updating line on a terminal, elsewhere a line for the first step and then one each 10 s;
 * in both cases a line for every other event. No escape sequence is written when `color` is false.
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
      // the line of progress comes back below the line just told; the first step of a run is always told
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

/** One line of at most `columns` characters: as many figures as fit, the important ones first. */
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

/** The figures of a run, the important ones first. */
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
  return `seen ${percent(seen / tried)}, kept ${percent(kept / tried)}`
}

/** The line of an event; null for those that only move the figures. */
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
      return `${inColor('yellow', 'restart', color)} ${event.restart} after a death at step ${event.diedAt}: ${event.reason}; going on from step ${event.step}`
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
  return [`${event.job}${from}: ${event.steps} steps, ${where}`, ...sizes].join(', ')
}

/** A line that is drawn over itself: by going back and padding with spaces, which every terminal understands. */
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
    // the last column stays free: some terminals wrap as soon as it is written
    draw: (text) => draw(text((stream.columns || 80) - 1)),
    clear: () => {
      if (length === 0) return
      draw('')
      stream.write('\r')
    },
  }
}

function inColor(format: 'cyan' | 'dim' | 'green' | 'red' | 'yellow', text: string, color = true): string {
  // validateStream would look at the process's own streams; the caller has decided already
  return color ? styleText(format, text, { validateStream: false }) : text
}
