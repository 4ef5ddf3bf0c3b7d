/** A command that is killed at a moment of its start, or after its first output: for the campaigns of this folder. */
import { spawn } from 'node:child_process'

/**
 * Return the exit code (null when it was killed first), the time, and the time until it first wrote to its `output`,
 * which `onOutput` gets. `kill` is the time: `afterMs` of the start or `afterFirstMs` of that first output; with
 * neither, it ends by itself.
 */
export async function runKilled(argv, { output, onOutput = () => {}, kill = {} }) {
  const stdio = ['ignore', ...['stdout', 'stderr'].map((name) => (name === output ? 'pipe' : 'ignore'))]
  const started = performance.now()
  const child = spawn(process.execPath, argv, { stdio })
  let firstAfter = null
  const timers = []
  const killIn = (ms) => timers.push(setTimeout(() => child.kill('SIGKILL'), ms))
  if (kill.afterMs !== undefined) killIn(kill.afterMs)
  child[output].on('data', (text) => {
    if (firstAfter === null && kill.afterFirstMs !== undefined) killIn(kill.afterFirstMs)
    firstAfter ??= performance.now() - started
    onOutput(text)
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  for (const timer of timers) clearTimeout(timer)
  return { code, milliseconds: performance.now() - started, firstAfter }
}
