import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { startNode } from '../helpers/cli.js'
import { startOnTerminal } from '../helpers/terminal.js'

const MODULE = JSON.stringify(pathToFileURL(join(packageRoot, 'dist/cli/process-io.js')).href)

/** A program that says `ready`, then works until something ends it. */
function startProgram(body: string, env: Readonly<Record<string, string>> = {}) {
  const script = `
    const { processIo } = await import(${MODULE})
    const io = processIo()
    ${body}
    setInterval(() => {}, 1000)
    io.print('ready')`
  return startNode(['--input-type=module', '-e', script], { env: { npm_lifecycle_event: undefined, ...env } })
}

test('the first signal asks to stop, the second ends the program at once', async () => {
  const { child, finished } = startProgram(`io.signal.addEventListener('abort', () => io.print('asked'))`)
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  await once(child.stdout!, 'data')
  await killUntilEnded(child, 'SIGINT')
  expect(await finished).toEqual({
    code: 130,
    signal: null,
    stdout: 'ready\nasked\n',
    stderr: 'SIGTERM: stopping; a second signal ends at once\n',
  })
})

/** What follows at once is taken for the echo of a wrapper such as npm. */
async function killUntilEnded(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    child.kill(signal)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('the same signal that npm passes on at once is no second request', async () => {
  const { child, finished } = startProgram(
    `io.signal.addEventListener('abort', () => setTimeout(() => { io.print('saved'); process.exit(75) }, 300))`,
    { npm_lifecycle_event: 'npx' },
  )
  await once(child.stdout!, 'data')
  for (let at = 0; at < 3; at++) child.kill('SIGINT')
  expect(await finished).toMatchObject({ code: 75, stdout: 'ready\nsaved\n' })
})

test('a closed terminal (SIGHUP) asks to stop', async () => {
  const { child, finished } = startProgram(
    `io.signal.addEventListener('abort', () => { io.print(io.interruptedBy); process.exit(75) })`,
    { FREETUMOR_IGNORE_HANGUP: '0' },
  )
  await once(child.stdout!, 'data')
  child.kill('SIGHUP')
  expect(await finished).toMatchObject({ code: 75, stdout: 'ready\nSIGHUP\n' })
})

test('a detached command survives SIGHUP', async () => {
  const { child, finished } = startProgram(
    `io.signal.addEventListener('abort', () => process.exit(75))
     process.on('SIGHUP', () => setImmediate(() => process.exit(3)))`,
    { FREETUMOR_IGNORE_HANGUP: '1' },
  )
  await once(child.stdout!, 'data')
  child.kill('SIGHUP')
  expect(await finished).toMatchObject({ code: 3 })
})

test.each(['stdout', 'stderr'] as const)(
  'a working command continues when the reader of its %s has exited',
  async (name) => {
    const { child, finished } = startProgram(
      `io.signal
       process.on('SIGUSR2', () => {})
       const writing = setInterval(() => { io.print('more'); io.note('more') }, 1)
       setTimeout(() => { clearInterval(writing); process.exit(6) }, 500)`,
    )
    await once(child.stdout!, 'data')
    child[name]!.destroy()
    expect(await finished).toMatchObject({ code: 6, signal: null })
  },
)

test('a command that only prints ends without an error when its reader has exited', async () => {
  const { child, finished } = startProgram(`setInterval(() => io.print('more'), 1)`)
  await once(child.stdout!, 'data')
  child.stdout!.destroy()
  expect(await finished).toMatchObject({ code: 0, stderr: '' })
})

test('a command without a graceful stop is killed by a signal', async () => {
  const { child, finished } = startProgram('')
  await once(child.stdout!, 'data')
  child.kill('SIGINT')
  expect(await finished).toMatchObject({ code: null, signal: 'SIGINT' })
})

test('a command whose terminal was closed ends with its own exit code', async () => {
  const body = `const { processIo } = await import(${MODULE})
    const io = processIo()
    io.signal.addEventListener('abort', () => process.exit(75))
    setInterval(() => {}, 1000)
    io.print('ready')`
  const { terminal } = startOnTerminal([process.execPath, '--input-type=module', '-e', body])
  await terminal.printed(/ready/)
  terminal.hangUp()
  expect(await terminal.ended).toEqual({ code: 75, signal: null })
})
