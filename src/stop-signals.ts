import { readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { onAbort } from './abort.js'

/** Signals that ask a program to stop: Ctrl-C, `kill`, a closed terminal, and the warning that Slurm sends. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

/** Exit codes of a process that ends by a signal at once. */
const NUMBERS: Readonly<Record<StopSignal, number>> = { SIGHUP: 1, SIGINT: 2, SIGUSR2: 12, SIGTERM: 15 }

/** npm sends a signal on to its child, which the terminal has signalled already: the same key press arrives twice. */
const ECHO_MS = 100
const NPM_ECHO_MS = 1000

export interface StopRequests extends Disposable {
  /** Aborts at the first signal; its reason is an AbortError whose message is the name of the signal. */
  readonly signal: AbortSignal
  /** The first signal, once there was one. */
  readonly requestedBy: StopSignal | undefined
}

/**
 * Takes over the stop signals of this process until it is disposed: the first one aborts `signal`, a later one calls `again`.
 * A closed terminal is nobody's second request: a shell and the kernel each send SIGHUP, also after a Ctrl-C.
 * SIGHUP is left alone where the process is to survive its terminal (`ignoresHangup`).
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
    } else if (signal !== 'SIGHUP' && performance.now() - requestedAt > echoMs) again(signal)
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

/** How a job may be stopped from outside, besides its own methods. */
export interface StopOptions {
  /** Stops the job when it aborts. A text as its reason is recorded as the reason of the stop. */
  readonly signal?: AbortSignal | undefined
  /**
   * Take over the stop signals of this process while the job runs: Ctrl-C, SIGTERM, SIGHUP and SIGUSR2 save and stop it, and a
   * second one ends the process. Default false: a program without handlers of its own dies of them, and the job with it.
   */
  readonly handleSignals?: boolean | undefined
}

/**
 * Aborts a job's own controller with its caller's signal and, with `handleSignals`, with the stop signals of the process.
 * Returns a function that ends this; call it when the job has ended.
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

/** Whether an error is what an aborted signal makes of the work that it ends. */
export function isAbort(error: unknown): error is Error {
  return error instanceof Error && error.name === 'AbortError'
}

/** The exit code of a process that ends by this signal, as shells count it: 130 for SIGINT, 143 for SIGTERM. */
export function exitCodeOf(signal: StopSignal): number {
  return 128 + NUMBERS[signal]
}

/** Why a signal was aborted, for a person: a text that was given as the reason, the name of a process signal, or `aborted`. */
export function abortReason(signal: AbortSignal): string {
  const { reason } = signal as { reason: unknown }
  if (typeof reason === 'string') return reason
  const name = reason instanceof DOMException ? reason.message : ''
  return (STOP_SIGNALS as readonly string[]).includes(name) ? name : 'aborted'
}

let hangupIgnored: boolean | undefined

/**
 * Whether this process is to survive the end of its terminal: it was started by `nohup`, or with FREETUMOR_IGNORE_HANGUP=1
 * (`train --detach` does so; 0 is the opposite). Node restores the default action of a SIGHUP that its parent ignored, so nohup is recognised
 * by what else it leaves: the shell's `_`, a standard input that can only be written, or a parent that ignores SIGHUP too.
 */
export function ignoresHangup(): boolean {
  const { FREETUMOR_IGNORE_HANGUP: told } = process.env
  if (told !== undefined && told !== '') return told !== '0'
  hangupIgnored ??= basename(process.env._ ?? '') === 'nohup' || hasInputOfNohup() || parentIgnoresHangup()
  return hangupIgnored
}

/** GNU nohup replaces a terminal on standard input by /dev/null, opened for writing only. */
function hasInputOfNohup(): boolean {
  try {
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1]
    return readlinkSync('/proc/self/fd/0') === '/dev/null' && (Number.parseInt(flags ?? '', 8) & 3) === 1
  } catch {
    return false
  }
}

/** A shell script under nohup, for instance. Node programs between (npm, npx) lost their own mark and are passed over. */
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
