import { mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { printConfig, resolveConfig, syncRun } from '../src/index.js'
import { mlflowServer } from './helpers/mlflow-server.js'
import { temporaryFolder } from './helpers/temporary.js'
import { finished, started, steps, writeEvents } from './tracking/run-events.js'

/** An ended run without a tracker. */
function endedRun(): string {
  const directory = join(realpathSync(temporaryFolder()), 'run')
  mkdirSync(directory)
  const config = resolveConfig({ job: 'baseline', data: { root: '.', datasets: [{ name: 'LiTS' }] } })
  writeFileSync(join(directory, 'config.resolved.yaml'), printConfig(config))
  writeEvents(directory, [started(), ...steps(0, 3), finished(3)])
  return directory
}

describe('syncRun', () => {
  it('sends the figures of an ended run once, and returns the failure of a tracker', async () => {
    const [run, server] = [endedRun(), await mlflowServer()]
    const set = [`tracking.mlflow=${server.url}`]
    server.before = () => 500
    const { trackers } = await syncRun(run, { set })
    expect(trackers).toMatchObject([{ tracker: 'mlflow', values: 0, step: -1 }])
    expect(trackers[0]!.failure?.message).toContain('answers 500: refused')
    server.before = () => undefined
    const sent = await syncRun(run, { set })
    const values = server.runs[0]!.metrics.length
    expect(values).toBeGreaterThan(0)
    expect(sent).toEqual({
      directory: run,
      trackers: [{ tracker: 'mlflow', run: 'run-1', values, step: 2, failure: null }],
    })
    expect((await syncRun(run, { set })).trackers[0]!.values).toBe(0)
  })

  it('ends at once when its signal aborts, while a server never answers', async () => {
    const [run, server] = [endedRun(), await mlflowServer()]
    const stop = new AbortController()
    server.after = () => {
      stop.abort()
      return null
    }
    const set = [`tracking.mlflow=${server.url}`]
    await expect(syncRun(run, { set, signal: stop.signal })).rejects.toThrow(stop.signal.reason)
    expect(server.runs).toEqual([])
  })

  it('refuses a run whose configuration names no tracker', async () => {
    await expect(syncRun(endedRun())).rejects.toThrow('its configuration names no tracker')
  })
})
