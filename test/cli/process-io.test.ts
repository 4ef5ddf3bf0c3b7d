import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { startNode } from '../helpers/cli.js'

const MODULE = JSON.stringify(pathToFileURL(join(packageRoot, 'dist/cli/process-io.js')).href)

/** A program that says `ready`, then works until something ends it. */
function startProgram(body: string) {
  const script = `
    const { processIo } = await import(${MODULE})
    const io = processIo()
    ${body}
    setInterval(() => {}, 1000)
    io.print('ready')`
  return startNode(['--input-type=module', '-e', script])
}

test('the first signal asks to stop, the second ends the program at once', async () => {
  const { child, finished } = startProgram(`io.signal.addEventListener('abort', () => io.print('asked'))`)
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  await once(child.stdout!, 'data')
  child.kill('SIGINT')
  expect(await finished).toEqual({
    code: 130,
    signal: null,
    stdout: 'ready\nasked\n',
    stderr: 'SIGTERM: stopping; once more ends at once\n',
  })
})

test('a command that cannot be stopped gently dies of a signal as any program does', async () => {
  const { child, finished } = startProgram('')
  await once(child.stdout!, 'data')
  child.kill('SIGINT')
  expect(await finished).toMatchObject({ code: null, signal: 'SIGINT' })
})
