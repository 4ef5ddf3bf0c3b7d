import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { onAbort } from '../src/abort.js'

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

describe('onAbort', () => {
  test('calls every function once, in order', () => {
    const controller = new AbortController()
    const called: number[] = []
    for (let at = 0; at < 50; at++) onAbort(controller.signal, () => called.push(at))
    controller.abort()
    controller.abort()
    expect(called).toEqual(Array.from({ length: 50 }, (_, at) => at))
  })

  test('listens once for any number of calls, and not after the last release', () => {
    const { signal } = new AbortController()
    const releases = Array.from({ length: 50 }, () => onAbort(signal, () => {}))
    expect(listeners(signal)).toBe(1)
    for (const release of releases) release()
    expect(listeners(signal)).toBe(0)
    const release = onAbort(signal, () => {})
    releases[0]!()
    expect(listeners(signal)).toBe(1)
    release()
    expect(listeners(signal)).toBe(0)
  })

  test('releases only its own call, even if two calls passed the same function', () => {
    const controller = new AbortController()
    let called = 0
    const act = (): void => void called++
    const release = onAbort(controller.signal, act)
    onAbort(controller.signal, act)
    release()
    release()
    controller.abort()
    expect(called).toBe(1)
  })

  test('calls at once for a signal that has aborted, and never without a signal', () => {
    const called: string[] = []
    onAbort(AbortSignal.abort(), () => called.push('aborted'))()
    onAbort(undefined, () => called.push('none'))()
    expect(called).toEqual(['aborted'])
  })
})
