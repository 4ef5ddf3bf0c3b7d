import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { onAbort } from '../abort.js'
import { EXIT } from '../errors.js'
import { setApart, visible, visibleInColour } from '../plain-text.js'
import type { TerminalLike } from '../report/console.js'
import { exitCodeOf, ignoresHangup, listenForStops, type StopRequests } from '../stop-signals.js'
import type { ProgramIo } from './program.js'

/** Return the streams, environment and signals of this process. */
export function processIo(): ProgramIo {
  const color = process.stderr.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  const shown = color ? visibleInColour : visible
  let stops: StopRequests | undefined
  let exitCode = 0
  let readerNeeded = false
  // a hangup ends Node although its parent ignored it (nohup): an empty listener prevents that
  if (ignoresHangup()) process.on('SIGHUP', () => {})
  leaveClosedTerminal()
  const endQuietly = (error: NodeJS.ErrnoException): void => {
    process.exit(READER_GONE.has(error.code ?? '') ? EXIT.ok : EXIT.failure)
  }
  // a command that works continues without its reader; `freetumor data list | head` ends with it
  const stdout = openOutput(process.stdout, (error) => {
    if (stops === undefined || readerNeeded) endQuietly(error)
  })
  const stderr = openOutput(process.stderr, (error) => {
    if (readerNeeded) endQuietly(error)
  })

  return {
    cwd: process.cwd(),
    env: process.env,
    print: (text) => stdout.write(`${shown(text)}\n`),
    note: (text) => stderr.write(`${setApart(shown(text))}\n`),
    terminal: stderr,
    exitWith: (code) => {
      exitCode = code
    },
    endWithReader: () => {
      readerNeeded = true
    },
    get signal() {
      if (stops === undefined) {
        stops = listenForStops((signal) => process.exit(exitCodeOf(signal)))
        onAbort(stops.signal, () =>
          stderr.write(`${stops!.requestedBy}: stopping; a second signal ends at once\n`),
        )
      }
      return stops.signal
    },
    get exitCode() {
      return exitCode
    },
    get interruptedBy() {
      return stops?.requestedBy
    },
    color,
  }
}

/**
 * Close the file descriptors of a closed terminal before Node exits: Node restores the modes of its terminal, and aborts
 * (SIGABRT) if that fails. It skips closed file descriptors.
 */
function leaveClosedTerminal(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor))
  process.on('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor)
  })
}

/** Errors of a write to a closed pipe or terminal. */
const READER_GONE = new Set(['EPIPE', 'EIO', 'ENXIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED'])

interface Output extends TerminalLike {
  write(text: string): void
}

/** Return a standard stream that discards everything after its first failed write. */
function openOutput(stream: NodeJS.WriteStream, onClosed: (error: NodeJS.ErrnoException) => void): Output {
  let open = true
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (open) onClosed(error)
    open = false
  })
  return {
    get isTTY() {
      return open && stream.isTTY === true
    },
    get columns() {
      return stream.columns
    },
    write: (text) => {
      if (open) stream.write(text)
    },
  }
}
