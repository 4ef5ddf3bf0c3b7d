import { readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { onAbort } from './abort.js'

/** Signals that ask a program to stop: Ctrl-C, `kill`, a closed terminal, and the warning that Slurm sends. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

/** Numbers of the signals. */
const NUMBERS: Readonly<Record<StopSignal, number>> = { SIGHUP: 1, SIGINT: 2, SIGUSR2: 12, SIGTERM: 15 }

/**
 * npm forwards a signal to its child, which the terminal has signalled already: one key press arrives twice.
 */
const ECHO_MS = 100
const NPM_ECHO_MS = 1000

export interface StopRequests extends Disposable {
  /** Aborts at the first signal; its reason is an AbortError whose message is the name of the signal. */
  readonly signal: AbortSignal
  /** The first signal; undefined before it. */
  readonly requestedBy: StopSignal | undefined
}

/**
 * Take over the stop signals of this process until disposal. The first signal aborts `signal`; a later one
 * calls `again`. SIGHUP never counts as a second request: a shell and the kernel each send one, also after
 * Ctrl-C. SIGHUP is ignored if the process is to survive its terminal (`ignoresHangup`). With
 * FREETUMOR_REPEATED_SIGNALS=ignore no later signal counts: Slurm repeats its own while a run saves, and kills by SIGKILL.
 */
export function listenForStops(again: (signal: StopSignal) => void): StopRequests {
  const controller = new AbortController()
  const echoMs = process.env.npm_lifecycle_event === undefined ? ECHO_MS : NPM_ECHO_MS
  let requestedBy: StopSignal | undefined
  let requestedAt = 0
  const listener = (signal: StopSignal): void => {
    if (signal === 'SIGHUP' && ignoresHangup()) return
    if (requestedBy === undefined) {
      requestedBy = signal
      requestedAt = performance.now()
      controller.abort(new DOMException(signal, 'AbortError'))
    } else if (signal !== 'SIGHUP' && !ignoresRepeats() && performance.now() - requestedAt > echoMs)
      again(signal)
  }
  for (const name of STOP_SIGNALS) process.on(name, listener)
  return {
    signal: controller.signal,
    get requestedBy() {
      return requestedBy
    },
    [Symbol.dispose]() {
      for (const name of STOP_SIGNALS) process.off(name, listener)
    },
  }
}

/** Ways to stop a job from outside, in addition to its own methods. */
export interface StopOptions {
  /** Signal that stops the job. If its reason is a text, the text is recorded as the reason of the stop. */
  readonly signal?: AbortSignal | undefined
  /**
   * Take over the stop signals of this process while the job runs. Ctrl-C, SIGTERM, SIGHUP and SIGUSR2 save
   * and stop the job; a second signal ends the process. Default: false. The signal then ends a program
   * without handlers of its own, and the job with it.
   */
  readonly handleSignals?: boolean | undefined
}

/**
 * Abort a job's controller with its caller's signal and, with `handleSignals`, with the stop signals of the
 * process. Return a function that releases both; call it when the job has ended.
 */
export function forwardStops(
  { signal, handleSignals = false }: StopOptions,
  job: AbortController,
): () => void {
  const taken = handleSignals ? listenForStops(endBy) : null
  const forward = (from: AbortSignal | undefined) => onAbort(from, () => job.abort(from?.reason))
  const releases = [forward(signal), forward(taken?.signal), () => taken?.[Symbol.dispose]()]
  return () => {
    for (const release of releases) release()
  }

  function endBy(name: StopSignal): void {
    taken?.[Symbol.dispose]()
    process.kill(process.pid, name)
  }
}

/** Return true for the error that an aborted signal causes. */
export function isAbort(error: unknown): error is Error {
  return error instanceof Error && error.name === 'AbortError'
}

/** Return the exit code of a process that this signal ends: 130 for SIGINT, 143 for SIGTERM. */
export function exitCodeOf(signal: StopSignal): number {
  return 128 + NUMBERS[signal]
}

/**
 * Return why a signal was aborted, for a person: the text given as reason, the name of a process signal, or
 * `aborted`.
 */
export function abortReason(signal: AbortSignal): string {
  const { reason } = signal as { reason: unknown }
  if (typeof reason === 'string') return reason
  const name = reason instanceof DOMException ? reason.message : ''
  return (STOP_SIGNALS as readonly string[]).includes(name) ? name : 'aborted'
}

function ignoresRepeats(): boolean {
  return process.env.FREETUMOR_REPEATED_SIGNALS === 'ignore'
}

let hangupIgnored: boolean | undefined

/**
 * Return true if this process survives the end of its terminal: it was started by `nohup`, or with
 * FREETUMOR_IGNORE_HANGUP=1 (as `train --detach` does; 0 turns it off). Node restores the default action of a
 * SIGHUP that its parent ignored. So nohup is recognised by other traces: the shell's `_`, a write-only
 * standard input, or a parent that ignores SIGHUP.
 */
export function ignoresHangup(): boolean {
  const { FREETUMOR_IGNORE_HANGUP: setting } = process.env
  if (setting !== undefined && setting !== '') return setting !== '0'
  hangupIgnored ??= basename(process.env._ ?? '') === 'nohup' || hasInputOfNohup() || parentIgnoresHangup()
  return hangupIgnored
}

/**
 * Return true after GNU nohup, which replaces a terminal on standard input by /dev/null, opened for writing
 * only.
 */
function hasInputOfNohup(): boolean {
  try {
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1]
    return readlinkSync('/proc/self/fd/0') === '/dev/null' && (Number.parseInt(flags ?? '', 8) & 3) === 1
  } catch {
    return false
  }
}

/**
 * Return true if a parent ignores SIGHUP, such as a shell script under nohup. Node programs in between (npm,
 * npx) reset the signal and are skipped.
 */
function parentIgnoresHangup(): boolean {
  try {
    let pid = process.ppid
    for (let depth = 0; depth < 8 && pid > 1; depth++) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      const ignored = BigInt(`0x${/^SigIgn:\s*([\da-f]+)$/m.exec(status)?.[1] ?? '0'}`)
      if (ignored & 1n) return true
      if (!/^Name:\s*(node|npm|npx|sh$)/m.test(status)) return false
      pid = Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? 0)
    }
  } catch {
    // no /proc
  }
  return false
}
