import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'
import { abortReason, exitCodeOf, forwardStops } from '../src/stop-signals.js'
import { startNode } from './helpers/cli.js'

const MODULE = JSON.stringify(pathToFileURL(join(packageRoot, 'dist/stop-signals.js')).href)

describe('forwardStops', () => {
  test('aborts a job with the reason of its caller', () => {
    const [job, caller] = [new AbortController(), new AbortController()]
    forwardStops({ signal: caller.signal }, job)
    expect(job.signal.aborted).toBe(false)
    caller.abort('enough')
    expect(abortReason(job.signal)).toBe('enough')
    const other = new AbortController()
    other.abort()
    expect(abortReason(other.signal)).toBe('aborted')
  })

  test('ignores the signals of the process unless it is asked to handle them', () => {
    const before = process.listenerCount('SIGINT')
    forwardStops({}, new AbortController())
    expect(process.listenerCount('SIGINT')).toBe(before)
    const release = forwardStops({ handleSignals: true }, new AbortController())
    expect(process.listenerCount('SIGINT')).toBe(before + 1)
    release()
    expect(process.listenerCount('SIGINT')).toBe(before)
  })

  test('stops at the first signal of the process, and the second signal ends the process', async () => {
    const { child, finished } = startNode([
      '--input-type=module',
      '-e',
      `const { abortReason, forwardStops } = await import(${MODULE})
       const job = new AbortController()
       const { signal } = job
       forwardStops({ handleSignals: true }, job)
       signal.addEventListener('abort', () => console.log(abortReason(signal)))
       setInterval(() => {}, 1000)
       console.log('ready')`,
    ])
    await once(child.stdout!, 'data')
    child.kill('SIGTERM')
    const [said] = await once(child.stdout!, 'data')
    expect(said).toBe('SIGTERM\n')
    // what follows at once is the echo of a wrapper such as npm: only a later signal ends the process
    while (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGINT')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(await finished).toMatchObject({ code: null, signal: 'SIGINT' })
  })

  test('survives a hangup that follows a request', async () => {
    const { child, finished } = startNode([
      '--input-type=module',
      '-e',
      `const { forwardStops } = await import(${MODULE})
       const job = new AbortController()
       forwardStops({ handleSignals: true }, job)
       // later than any echo of the first signal
       job.signal.addEventListener('abort', () => setTimeout(() => console.log('later'), 1500))
       setInterval(() => {}, 1000)
       console.log('ready')`,
    ])
    await once(child.stdout!, 'data')
    child.kill('SIGINT')
    await once(child.stdout!, 'data')
    child.kill('SIGHUP')
    child.kill('SIGTERM')
    expect(await finished).toMatchObject({ code: null, signal: 'SIGTERM' })
  })
})

test('exit codes are those of a shell', () => {
  expect((['SIGHUP', 'SIGINT', 'SIGUSR2', 'SIGTERM'] as const).map(exitCodeOf)).toEqual([129, 130, 140, 143])
})

describe('a hangup', () => {
  const program = `const { ignoresHangup } = await import(${MODULE}); console.log(ignoresHangup())`
  const node = [process.execPath, '--input-type=module', '-e', program]
  const said = (command: string, argv: readonly string[], env: Record<string, string> = {}) =>
    spawnSync(command, argv, { encoding: 'utf8', env: { ...process.env, _: '', ...env } }).stdout.trim()

  test('ends a process that follows its terminal', () => {
    expect(said(node[0]!, node.slice(1), { FREETUMOR_IGNORE_HANGUP: '0' })).toBe('false')
  })

  test('is survived under nohup: called by a shell, or around a script', () => {
    const inner = node.map((part) => `'${part.replaceAll("'", `'\\''`)}'`).join(' ')
    expect(said('bash', ['-c', `nohup ${inner} 2>/dev/null; true`])).toBe('true')
    expect(said('nohup', ['bash', '-c', `${inner}; true`])).toBe('true')
  })

  test('is survived by a detached training', () => {
    expect(said(node[0]!, node.slice(1), { FREETUMOR_IGNORE_HANGUP: '1' })).toBe('true')
  })
})
