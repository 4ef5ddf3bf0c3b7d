import { existsSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { factsOf, sendRun } from '../../../src/pipeline/train/tracking.js'
import type { RunEvent } from '../../../src/training/events.js'
import { mlflowServer, pointsOf } from '../../helpers/mlflow-server.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from './memory-run.js'

async function tracked(
  folder: string,
  tracking: Partial<RunConfig['tracking']>,
  runtime: Partial<RunConfig['runtime']> = {},
): Promise<RunConfig> {
  const config = await memoryConfig('segmentation', folder, { training: { validateEverySteps: 3 }, runtime })
  return resolveConfig({ ...config, tracking })
}

async function notesOf(run: AsyncIterable<RunEvent>): Promise<string[]> {
  const notes: string[] = []
  for await (const event of run) if (event.type === 'note') notes.push(event.text)
  return notes
}

describe('a tracked training', () => {
  it('sends every figure once, also after a stop and a resume', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    const out = join(folder, 'run')
    const config = await tracked(folder, { mlflow: server.url })
    const first = startTraining(config, memoryRuntime(), { out })
    for await (const event of first) if (event.type === 'step' && event.step === 1) break
    await first.stop()
    await first.result
    expect(server.runs[0]!.status).toBe('KILLED')
    await startTraining(config, memoryRuntime(), { resume: out }).result
    expect(server.runs).toHaveLength(1)
    const points = pointsOf(server.runs[0]!.metrics)
    expect(points).toHaveLength(new Set(points).size)
    const ofLoss = points.filter((point) => point.startsWith('loss/total@'))
    expect(ofLoss).toEqual([0, 1, 2, 3, 4, 5].map((step) => `loss/total@${step}`))
    expect(points).toEqual(expect.arrayContaining(['validation/tumorDice@5', 'synthesis/painted@0']))
    expect(server.runs[0]!.status).toBe('FINISHED')
  })

  it('opens no connection and writes no record without a tracker', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'run')
    const connect = vi.spyOn(Socket.prototype, 'connect')
    const fetched = vi.spyOn(globalThis, 'fetch')
    await startTraining(await tracked(folder, {}), memoryRuntime(), { out }).result
    expect([connect.mock.calls, fetched.mock.calls]).toEqual([[], []])
    expect(existsSync(join(out, 'tracking.json'))).toBe(false)
    vi.restoreAllMocks()
  })

  it('completes although the server refuses, notes how to send the figures, and sends them later', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    const out = join(folder, 'run')
    server.before = () => 500
    const config = await tracked(folder, { mlflow: server.url })
    const run = startTraining(config, memoryRuntime(), { out })
    const [notes, { outcome }] = await Promise.all([notesOf(run), run.result])
    expect(outcome).toBe('completed')
    expect(notes.at(-1)).toBe(
      `mlflow: no value is sent (mlflow: ${server.url} answers 500: refused); \`freetumor runs sync ${out}\` sends the rest`,
    )
    server.before = () => undefined
    const [sent] = await sendRun(out, config, { runtime: memoryRuntime(), signal: undefined, note: () => {} })
    expect(sent).toMatchObject({ tracker: 'mlflow', step: 5, failure: null })
    expect(sent!.values).toBe(server.runs[0]!.metrics.length)
    expect(server.runs[0]!.status).toBe('FINISHED')
  })

  it('sends nothing from a node other than node 0', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    const config = await tracked(folder, { mlflow: server.url }, { nodes: 2 })
    const out = join(folder, 'run')
    await startTraining(config, memoryRuntime(), { out, nodeRank: 1, rendezvous: '127.0.0.1:1' }).result
    expect(server.requests).toEqual([])
  })

  it('sends and records no credential', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    vi.stubEnv('MLFLOW_TRACKING_TOKEN', 'the-secret-of-this-test')
    const out = join(folder, 'run')
    await startTraining(await tracked(folder, { mlflow: server.url }), memoryRuntime(), { out }).result
    vi.unstubAllEnvs()
    expect(server.requests[0]!.headers.authorization).toBe('Bearer the-secret-of-this-test')
    for (const file of ['config.resolved.yaml', 'events.jsonl', 'plan.json', 'tracking.json', 'report.html'])
      expect(readFileSync(join(out, file), 'utf8')).not.toContain('the-secret-of-this-test')
  })
})

describe('the facts of a run for trackers', () => {
  it('are its version and seed unless parts are included', async () => {
    const folder = temporaryFolder()
    const facts = factsOf(await tracked(folder, {}))
    expect(facts).toMatchObject({ seed: 0, name: null, config: null })
    const some = factsOf(await tracked(folder, { include: ['name', 'config'] }))
    expect(some).toMatchObject({
      name: 'debug-segmentation',
      config: { job: 'segmentation', 'training.steps': '6' },
    })
    expect(JSON.stringify(some.config)).not.toContain(folder)
    expect(Object.keys(some.config!).filter((key) => /^(data|cluster|tracking)\b/.test(key))).toEqual([])
    const all = factsOf(await tracked(folder, { include: ['paths'] }))
    expect(all.config).toMatchObject({ 'data.root': join(folder, 'data') })
  })
})
