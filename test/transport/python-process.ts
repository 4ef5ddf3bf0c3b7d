import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A Python script of ours that runs beside the test and prints one JSON value a line. */
export interface PythonProcess {
  readonly child: ChildProcess
  /** The next value that it prints. Throws with its standard error when it has ended instead. */
  next(): Promise<unknown>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** Starts it with the runtime package importable; it does not outlive the test. */
export function startPython(script: string, ...args: string[]): PythonProcess {
  const python = process.env.FREETUMOR_PYTHON ?? `${root}/.venv/bin/python`
  const child = spawn(python, [`${root}/${script}`, ...args], {
    env: { ...process.env, PYTHONPATH: `${root}/python_runtime`, OMP_NUM_THREADS: '1' },
  })
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString('utf8')
  })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    child,
    ended,
    async next() {
      const line = await lines.next()
      if (line.done) throw new Error(`${script} has ended:\n${complaints}`)
      return JSON.parse(line.value)
    },
  }
}
