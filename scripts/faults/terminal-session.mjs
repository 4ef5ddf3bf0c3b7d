/** A command on a terminal of its own, and the processes that belong to it: for campaigns and tests. */
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const DRIVER = join(here, 'terminal_session.py')
const python = process.env.FREETUMOR_PYTHON ?? join(here, '../../.venv/bin/python')

/** Start `argv` as the foreground job of a new terminal; see terminal_session.py. */
export function openTerminal(argv, { cwd, env } = {}) {
  const driver = spawn(python, [DRIVER, ...argv], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  let pid = -1
  let ending = null
  let suspensions = 0
  const reports = new EventEmitter()
  driver.stdin.on('error', () => {})
  createInterface({ input: driver.stdout }).on('line', (line) => {
    const report = JSON.parse(line)
    if (report.started) pid = report.started
    if (report.output) text += report.output
    if (report.suspended) suspensions++
    if (report.ended) ending = report.ended
    reports.emit('report')
  })
  const ended = new Promise((resolve) => {
    driver.once('close', () => {
      ending ??= { code: null, signal: null }
      reports.emit('report')
      resolve(ending)
    })
  })
  const until = async (holds, what) => {
    while (!holds()) {
      if (ending !== null) throw new Error(`the command ended before ${what}: ${text.slice(-2000)}`)
      await once(reports, 'report')
    }
  }
  const request = (what) => void driver.stdin.write(`${JSON.stringify(what)}\n`)
  return {
    /** End of the command; code and signal are null when that could not be seen. */
    ended,
    press: (key) => request({ press: key }),
    /** Resolves when what the command wrote matches; rejects when it ends first. */
    printed: (pattern) => until(() => pattern.test(text), `it printed ${pattern}`),
    /** Resolves when the command has been suspended this many times; rejects when it ends first. */
    suspended: (times = 1) => until(() => suspensions >= times, 'it was suspended'),
    /** Closes the terminal. */
    hangUp: () => request({ hangup: true }),
    /** Resumes a suspended command, as `fg` does. */
    foreground: () => request({ foreground: true }),
    /** Kills the command's process group, if it still runs. */
    close: () => void driver.stdin.end(),
    get text() {
      return text
    },
    get pid() {
      return pid
    },
    get hasEnded() {
      return ending !== null
    },
  }
}

/**
 * Return the living processes whose environment or command line contains `mark`, without the terminal's own.
 * @returns {{ pid: number, command: string, environment: string }[]}
 */
export function processesOf(mark) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const environment = readFileSync(`/proc/${name}/environ`, 'utf8')
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
        if (!environment.includes(mark) && !command.includes(mark)) return []
        if (command.includes('terminal_session.py')) return []
        if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${name}/status`, 'utf8'))) return []
        return [{ pid: Number(name), command, environment }]
      } catch {
        return [] // it ended meanwhile
      }
    })
}

/** Send a signal to each of these processes; skip those that have ended. */
export function signalAll(processes, signal) {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal)
    } catch {
      // it ended meanwhile
    }
  }
}
