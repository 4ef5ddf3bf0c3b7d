import { setApart, visible, visibleInColour } from '../plain-text.js'
import type { ProgramIo } from './program.js'

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGUSR2'] as const

/** The world of a real process: its streams, its environment, its signals. */
export function processIo(): ProgramIo {
  const color = process.stderr.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  const shown = color ? visibleInColour : visible
  const controller = new AbortController()
  let listening = false
  let exitCode = 0
  let interruptedBy: NodeJS.Signals | undefined
  // `freetumor ... | head` closes our stdout: that ends the command, it is no failure
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })

  const stop = (signal: NodeJS.Signals): void => {
    if (interruptedBy) process.exit(signal === 'SIGINT' ? 130 : 143)
    interruptedBy = signal
    process.stderr.write(`${signal}: stopping; once more ends at once\n`)
    controller.abort()
  }

  return {
    cwd: process.cwd(),
    env: process.env,
    print: (text) => void process.stdout.write(`${shown(text)}\n`),
    note: (text) => void process.stderr.write(`${setApart(shown(text))}\n`),
    exitWith: (code) => {
      exitCode = code
    },
    get signal() {
      if (!listening) for (const name of STOP_SIGNALS) process.on(name, stop)
      listening = true
      return controller.signal
    },
    get exitCode() {
      return exitCode
    },
    get interruptedBy() {
      return interruptedBy
    },
    color,
  }
}
