import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { EnvironmentError } from '../src/errors.js'
import { startThread } from '../src/threads.js'

// this module waits for messages and needs no data to start
const MODULE = 'curation/case-worker.js'

describe('a thread', () => {
  test('that is idle ends by itself', async () => {
    const thread = startThread(MODULE, {})
    const exit = once(thread.worker, 'exit')
    await thread.end('idle')
    expect(await exit).toEqual([0])
  })

  test('that is busy is terminated', async () => {
    const thread = startThread(MODULE, {})
    const exit = once(thread.worker, 'exit')
    await once(thread.worker, 'online')
    await thread.end('busy')
    expect(await exit).toEqual([1])
  })

  test('can be ended again', async () => {
    const thread = startThread(MODULE, {})
    await thread.end('idle')
    await thread.end('idle')
    await thread.end('busy')
  })

  test('of a module that is not built names the file and the build', () => {
    expect(() => startThread('no-module.js', {})).toThrow(
      expect.objectContaining({
        constructor: EnvironmentError,
        message: expect.stringContaining('dist/no-module.js'),
        hint: 'run `npm run build`',
      }),
    )
  })
})
