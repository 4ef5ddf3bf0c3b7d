import { describe, expect, it } from 'vitest'
import { mlflowTracker } from '../../src/tracking/mlflow.js'
import type { RunFacts } from '../../src/tracking/tracker.js'
import { mlflowServer } from '../helpers/mlflow-server.js'
import { started } from './run-events.js'

const never = new AbortController().signal
const FACTS: RunFacts = { version: '0.2.0', seed: 7, name: null, config: null }
const REMOTE = { id: '00000000-0000-4000-8000-000000000000', run: null }

describe('mlflowTracker', () => {
  it('describes a run by job, seed, ranks and versions only', async () => {
    const server = await mlflowServer()
    const tracker = mlflowTracker(server.url, 'freetumor', FACTS, {})
    await tracker.open(REMOTE, started(), never)
    await tracker.send([{ step: 0, timeMs: 1, values: { learningRate: 0.1 } }], started(), never)
    const [run] = server.runs
    expect(run!.name).toBe('baseline 2026-01-01 00:00')
    expect(Object.fromEntries(run!.params)).toEqual({ job: 'baseline', seed: '7' })
    expect(Object.fromEntries(run!.tags)).toEqual({
      'freetumor.id': REMOTE.id,
      'freetumor.version': '0.2.0',
      'freetumor.worldSize': '2',
      'version.torch': '2.13.0',
    })
    expect(run!.metrics).toEqual([{ key: 'learningRate', value: 0.1, timestamp: 1, step: 0 }])
  })

  it('logs a configuration that is included in requests of at most 100 parameters', async () => {
    const server = await mlflowServer()
    const config = Object.fromEntries(Array.from({ length: 250 }, (_, at) => [`key${at}`, 'x'.repeat(600)]))
    await mlflowTracker(server.url, 'freetumor', { ...FACTS, config }, {}).open(REMOTE, started(), never)
    expect(server.runs[0]!.params.size).toBe(252)
    expect(server.runs[0]!.params.get('key0')).toHaveLength(500)
    expect(server.requests.filter(({ call }) => call.endsWith('log-batch'))).toHaveLength(3)
  })

  it('takes its credentials from the environment', async () => {
    const server = await mlflowServer()
    const authorization = async (env: Record<string, string>): Promise<string | undefined> => {
      await mlflowTracker(server.url, 'freetumor', FACTS, env).open(REMOTE, started(), never)
      return server.requests.at(-1)!.headers.authorization
    }
    expect(await authorization({})).toBeUndefined()
    expect(await authorization({ MLFLOW_TRACKING_TOKEN: 'abc' })).toBe('Bearer abc')
    const pair = { MLFLOW_TRACKING_USERNAME: 'u', MLFLOW_TRACKING_PASSWORD: 'p' }
    expect(await authorization(pair)).toBe(`Basic ${Buffer.from('u:p').toString('base64')}`)
  })
})
