import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { runCli } from '../../helpers/cli.js'
import { mlflowServer } from '../../helpers/mlflow-server.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../../pipeline/train/memory-run.js'

/** An ended run without a tracker, in `runs/first` of a folder. */
async function endedRun(): Promise<string> {
  const cwd = temporaryFolder()
  const config = await memoryConfig('baseline', cwd)
  await startTraining(config, memoryRuntime(), { out: join(cwd, 'runs', 'first') }).result
  return cwd
}

it('freetumor runs sync sends the figures of an ended run once', async () => {
  const [cwd, server] = [await endedRun(), await mlflowServer()]
  const argv = ['runs', 'sync', 'first', '--set', `tracking.mlflow=${server.url}`]
  const sent = await runCli([...argv, '--output', 'json'], { cwd })
  expect(sent).toMatchObject({ code: 0, stderr: '' })
  const values = server.runs[0]!.metrics.length
  expect(JSON.parse(sent.stdout)).toEqual({
    schemaVersion: 1,
    directory: join(cwd, 'runs', 'first'),
    trackers: [{ tracker: 'mlflow', run: 'run-1', values, step: 5, failure: null }],
  })
  const again = await runCli(argv, { cwd })
  expect(again.stdout).toBe('mlflow: 0 values sent, up to step 5, run run-1\n')
  expect(server.runs[0]!.metrics).toHaveLength(values)
})

it('freetumor runs sync fails if a server refuses, with the reason', async () => {
  const [cwd, server] = [await endedRun(), await mlflowServer()]
  server.before = () => 401
  const failed = await runCli(['runs', 'sync', 'first', '--set', `tracking.mlflow=${server.url}`], { cwd })
  expect(failed.code).toBe(4)
  expect(failed.stdout).toBe('mlflow: 0 values sent, no step\n')
  expect(failed.stderr).toContain(
    `error: mlflow: ${server.url} answers 401: refused\nhint: set MLFLOW_TRACKING`,
  )
})

it('freetumor runs sync refuses a run without a tracker, and a damaged record', async () => {
  const [cwd, server] = [await endedRun(), await mlflowServer()]
  const none = await runCli(['runs', 'sync', 'first'], { cwd })
  expect(none.code).toBe(2)
  expect(none.stderr).toContain('its configuration names no tracker')
  const record = join(cwd, 'runs', 'first', 'tracking.json')
  writeFileSync(record, '{')
  const damaged = await runCli(['runs', 'sync', 'first', '--set', `tracking.mlflow=${server.url}`], { cwd })
  expect(damaged.code).toBe(3)
  expect(readFileSync(record, 'utf8')).toBe('{')
  expect(server.requests).toEqual([])
})
