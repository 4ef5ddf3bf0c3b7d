import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import {
  endFamily,
  familyOf,
  type RuntimeProcess,
  runtimeArgv,
  startProcess,
} from '../../src/runtime/process.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

let count = 0

function logOf(folder: string): string {
  const path = join(folder, 'agent.log')
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

/** A program of the shell, started as a job is. */
function started(
  script: string,
  environment: Record<string, string> = {},
): { job: RuntimeProcess; runId: string; logs: string } {
  const runId = `process-test-${process.pid}-${count++}`
  const logs = temporaryFolder()
  const environment_ = { PATH: process.env.PATH ?? '', ...environment }
  const job = startProcess({
    argv: ['sh', '-c', script],
    environment: environment_,
    logDirectory: logs,
    runId,
  })
  onTestFinished(() => endFamily(runId))
  return { job, runId, logs }
}

it('reports how it ended and its last lines, and keeps them in a log', async () => {
  const { job, logs } = started('echo out; echo err >&2; exit 7')
  expect(await job.ended).toMatchObject({ code: 7, signal: null, tail: expect.stringContaining('err') })
  expect(logOf(logs)).toContain('out')
})

it('continues if its log cannot be written, and reports it', async () => {
  const logs = temporaryFolder()
  mkdirSync(join(logs, 'agent.log'))
  const job = startProcess({
    argv: ['sh', '-c', 'echo out; exit 7'],
    environment: { PATH: process.env.PATH ?? '' },
    logDirectory: logs,
    runId: 'none',
  })
  const { code, tail } = await job.ended
  expect(code).toBe(7)
  expect(tail).toContain('out')
  expect(tail).toContain(`${join(logs, 'agent.log')} could not be written`)
})

it('that cannot be started reports it as its end', async () => {
  const job = startProcess({
    argv: ['/no/such/program'],
    environment: {},
    logDirectory: temporaryFolder(),
    runId: 'none',
  })
  const { code, tail } = await job.ended
  expect(code === null || code !== 0).toBe(true)
  expect(tail).toContain('/no/such/program')
})

it('is killed with everybody it started, whatever session they went to', async () => {
  const { job, runId } = started('setsid sleep 1000 & setsid sh -c "sleep 1000 & sleep 1000" & wait')
  await until(async () => (await familyOf(runId)).length >= 5)
  await job.kill()
  expect(await familyOf(runId)).toEqual([])
})

it('is asked to stop by a signal that it may answer in its own way', async () => {
  const { job, logs } = started('trap "echo saved; exit 3" TERM; echo ready; while :; do sleep 0.05; done')
  await until(() => logOf(logs).includes('ready'))
  job.terminate()
  expect(await job.ended).toMatchObject({ code: 3, tail: expect.stringContaining('saved') })
})

it('has only its ranks write their stacks', async () => {
  const rank = 'trap "echo stacks" USR1; echo ready; while :; do sleep 0.05; done'
  const { job, logs, runId } = started(`LOCAL_RANK=0 sh -c '${rank}' & wait`)
  const log = (): string => logOf(logs)
  await until(() => log().includes('ready'))
  await job.dumpStacks()
  await until(() => log().includes('stacks'))
  expect((await familyOf(runId)).length).toBeGreaterThanOrEqual(2)
})

it('finds the members of a run by their environment, all or some', async () => {
  const { runId } = started('RANK=1 sleep 1000 & RANK=2 sleep 1000 & wait')
  await until(async () => (await familyOf(runId, /(^|\0)RANK=/)).length === 2)
  expect(await familyOf(runId, /(^|\0)RANK=2\0/)).toHaveLength(1)
  expect(await familyOf(`${runId}0`)).toEqual([])
})

it('ranks of one node start without restarts and without a TCP rendezvous, work by case as one process', () => {
  const ranks = runtimeArgv('python', 3, '/logs', '/job.json')
  expect(ranks[1]).toMatch(/launcher.single_node\.py$/)
  expect(ranks).toEqual(expect.arrayContaining(['--nproc-per-node=3', '--max-restarts=0']))
  expect(ranks.join(' ')).not.toMatch(/port|standalone|tcp/)
  // torchrun turns $$ into $
  expect(runtimeArgv('python', 2, '/logs', '/a$b/job.json').at(-1)).toBe('/a$$b/job.json')
  const plain = ['python', '-m', 'freetumor_runtime', '--job', '/job.json']
  expect(runtimeArgv('python', null, '/logs', '/job.json')).toEqual(plain)
})

it('the only rank of a job starts without torchrun, but a rank on each of two nodes starts with it', () => {
  const plain = ['python', '-m', 'freetumor_runtime', '--job', '/job.json']
  expect(runtimeArgv('python', 1, '/logs', '/job.json')).toEqual(plain)
  const rendezvous = { nodes: 2, nodeRank: 0, rendezvous: '10.0.0.1:29500', waitSeconds: 9 }
  const ranks = runtimeArgv('python', 1, '/logs', '/job.json', rendezvous)
  expect(ranks).toEqual(expect.arrayContaining(['--nproc-per-node=1', '--nnodes=2']))
})
