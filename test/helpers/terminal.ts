import { randomUUID } from 'node:crypto'
import { onTestFinished } from 'vitest'
import {
  type FoundProcess,
  openTerminal,
  processesOf,
  signalAll,
  type TerminalSession,
} from '../../scripts/faults/terminal-session.mjs'
import type { StartOptions } from './cli.js'

export const CTRL_C = '\x03'
export const CTRL_Z = '\x1a'

/** A command on a real terminal, in the foreground process group of its own session. */
export interface OnTerminal {
  readonly terminal: TerminalSession
  /** Living processes that the command started, wherever they are. */
  processes(): FoundProcess[]
  ranks(): FoundProcess[]
}

/** Starts a command on a terminal; it and all that it started are killed when the test ends before they do. */
export function startOnTerminal(argv: readonly string[], { cwd, env = {} }: StartOptions = {}): OnTerminal {
  const mark = randomUUID()
  const terminal = openTerminal(argv, {
    cwd: cwd ?? process.cwd(),
    env: { ...process.env, NO_COLOR: '1', ...env, FREETUMOR_TEST: mark },
  })
  const processes = (): FoundProcess[] => processesOf(`FREETUMOR_TEST=${mark}`)
  onTestFinished(() => {
    terminal.close()
    signalAll(processes(), 'SIGKILL')
  })
  return {
    terminal,
    processes,
    ranks: () => processes().filter(({ environment }) => /(^|\0)LOCAL_RANK=/.test(environment)),
  }
}
