import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Feed } from '../../src/tracking/feed.js'
import { mlflowTracker } from '../../src/tracking/mlflow.js'
import { TrackingState } from '../../src/tracking/state.js'
import type { RunEvent } from '../../src/training/events.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { finished, started, steps, validation, writeEvents } from './run-events.js'

const program = process.env.FREETUMOR_MLFLOW
const title = program === undefined ? ' (needs FREETUMOR_MLFLOW=PATH/TO/mlflow)' : ''

/** A real MLflow server with SQLite; ended with the test. */
async function realServer(): Promise<string> {
  const folder = temporaryFolder()
  const socket = createServer().listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address() as AddressInfo
  socket.close()
  const store = `sqlite:///${join(folder, 'mlflow.db')}`
  const argv = [
    'server',
    '--host',
    '127.0.0.1',
    '--port',
    `${port}`,
    '--workers',
    '1',
    '--backend-store-uri',
    store,
  ]
  const child = spawn(program!, argv, { cwd: folder, stdio: 'ignore', detached: true })
  const ended = once(child, 'close')
  onTestFinished(async () => {
    process.kill(-child.pid!, 'SIGKILL')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  await until(() =>
    fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => child.exitCode !== null,
    ),
  )
  return url
}

async function json(url: string): Promise<Record<string, never>> {
  return (await (await fetch(url)).json()) as Record<string, never>
}

describe.skipIf(program === undefined)(`a real MLflow server${title}`, () => {
  it('has every value once after a lost record, in one run', { timeout: 120_000 }, async () => {
    const [url, folder] = [await realServer(), temporaryFolder()]
    const facts = { version: '0.2.0', seed: 7, name: null, config: { 'training.steps': '5' } }
    const send = async (events: readonly RunEvent[]): Promise<string> => {
      writeEvents(folder, events)
      const state = await TrackingState.open(folder)
      const feed = new Feed(folder, mlflowTracker(url, 'freetumor', facts, {}), state, { note: () => {} })
      const { run, failure } = await feed.end('completed', false)
      expect(failure).toBeNull()
      return run!
    }
    const first = [started(), ...steps(0, 3), validation(3), finished(3)]
    const run = await send(first)
    const { id } = await TrackingState.open(folder)
    // a kill before the record: the run is found by its tag, its steps by asking the server
    writeFileSync(join(folder, 'tracking.json'), JSON.stringify({ id, trackers: {} }))
    expect(await send([...first, started(3), ...steps(3, 5), finished(5)])).toBe(run)
    const api = `${url}/api/2.0/mlflow`
    const history = await json(`${api}/metrics/get-history?run_id=${run}&metric_key=loss/total`)
    expect(history.metrics).toMatchObject([0, 1, 2, 3, 4].map((step) => ({ value: step / 10, step })))
    expect((await json(`${api}/runs/get?run_id=${run}`)).run).toMatchObject({ info: { status: 'FINISHED' } })
  })
})
