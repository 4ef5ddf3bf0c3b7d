import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  type ConfigInput,
  readEvents,
  resolveConfig,
  StoppedError,
  type SubmittedRun,
  submit,
  UsageError,
} from '../../../src/index.js'
import { planOnKubernetes } from '../../../src/pipeline/submit/kubernetes.js'
import { runOnKubernetes } from '../../../src/pipeline/submit/kubernetes-run.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { kubectl } from '../../../src/runtime/kubectl.js'
import { type KubectlStandIn, kubectlStandIn } from '../../helpers/kubectl.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../train/memory-run.js'

let stand: KubectlStandIn
let claim: string
let out: string
beforeEach(() => {
  stand = kubectlStandIn()
  claim = temporaryFolder()
  out = join(claim, 'first')
})

/** Set the state of the job; undefined: the cluster holds no such job. */
function jobIs(status?: object, metadata: object = {}): void {
  stand.answers('get', { stdout: status === undefined ? '' : JSON.stringify({ metadata, status }) })
}
const COMPLETE = { conditions: [{ type: 'Complete', status: 'True', message: 'jobset completed' }] }
const FAILED = { conditions: [{ type: 'Failed', status: 'True', message: 'jobset failed' }] }
const RUNNING = { jobsStatus: [{ name: 'node', ready: 1, active: 1 }] }

const clusterOf = (target: string): ConfigInput['cluster'] => ({
  image: 'registry.example.org/freetumor:0.2.0',
  mounts: [{ source: 'runs', target }],
  kubernetes: { namespace: 'research' },
})

async function submitted(): Promise<SubmittedRun> {
  const config = await memoryConfig('baseline', temporaryFolder())
  return await submit({ ...config, cluster: clusterOf(claim) }, { to: 'kubernetes', out })
}

/** Write the files of a run as a pod would write them. */
async function trainThere(): Promise<void> {
  const config = await memoryConfig('baseline', temporaryFolder(), { training: { steps: 3 } })
  await startTraining(config, memoryRuntime(), { out }).result
}

describe('submit to Kubernetes', () => {
  it('sends the manifests and writes nothing below the claim', async () => {
    const run = await submitted()
    expect(run.id).toMatch(/^trainjob\/[a-z-]+-[0-9a-f]{8}$/)
    expect(run.directory).toBe(out)
    expect(run.notes).toContainEqual(expect.stringMatching(/^data\.root: .* is below no mount/))
    expect(stand.calls().map(({ argv }) => argv[0])).toEqual(['get', 'apply'])
    expect(readdirSync(claim)).toEqual([])
  })

  it('yields the events and the result that the pods wrote', async () => {
    const run = await submitted()
    await trainThere()
    jobIs(COMPLETE)
    const types = []
    for await (const { type } of run) types.push(type)
    expect(types).toEqual(expect.arrayContaining(['started', 'step', 'validation', 'finished']))
    const written = []
    for await (const { type } of readEvents(out)) written.push(type)
    expect(types).toEqual(written)
    expect(await run.result()).toMatchObject({ outcome: 'completed', step: 3, directory: out })
    expect(await run.summary()).toMatchObject({
      state: 'completed',
      queue: { scheduler: 'kubernetes', id: run.id, state: 'completed', ended: true },
    })
  })

  it('states that a job waits, starts or has failed, from the cluster', async () => {
    const run = await submitted()
    const waiting = { conditions: [{ type: 'Suspended', status: 'True', message: 'no quota' }] }
    for (const [status, expected] of [
      [{}, { state: 'pending', reason: null }],
      [waiting, { state: 'pending', reason: 'no quota' }],
      [RUNNING, { state: 'starting' }],
      [FAILED, { state: 'failed', reason: 'its job is failed (jobset failed)' }],
    ] as const) {
      jobIs(status)
      expect(await run.summary()).toMatchObject(expected)
    }
    await expect(run.result()).rejects.toThrow('its job is failed (jobset failed)')
  })

  it('reports a cluster that does not answer, and ends no run for it', async () => {
    const run = await submitted()
    stand.answers('get', { code: 1, stderr: 'The connection to the server h:1 was refused\n' })
    const { state, reason, queue } = await run.summary()
    expect([state, queue]).toEqual(['unresponsive', null])
    expect(reason).toContain('kubectl: no cluster answers')
  })

  it('deletes a job that waits when it is stopped; its result is a StoppedError', async () => {
    const run = await submitted()
    jobIs({})
    expect(await run.stop()).toBe(0)
    const { argv } = stand.calls().at(-1)!
    expect(argv.slice(0, 2)).toEqual(['delete', run.id])
    // the object remains until its pods have saved
    expect(argv).toEqual(expect.arrayContaining(['--cascade=foreground', '--namespace=research']))
    jobIs({}, { deletionTimestamp: '2026-01-01T00:00:00Z' })
    expect((await run.summary()).queue).toMatchObject({ state: 'deleting', ended: false })
    jobIs(undefined)
    const error = await run.result().catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(StoppedError)
    expect(error).toMatchObject({ message: `${out}: deleted from the cluster` })
  })

  it('pauses and stops the run that answers in the directory, without kubectl', async () => {
    const config = await memoryConfig('baseline', temporaryFolder())
    const planned = await planOnKubernetes(resolveConfig({ ...config, cluster: clusterOf(claim) }), { out })
    const asked: string[] = []
    const step = (name: string) => async () => asked.push(name)
    const control = {
      pause: step('pause'),
      unpause: step('unpause'),
      checkpoint: step('checkpoint'),
      setLearningRate: step('set'),
      stop: step('stop'),
      close: () => {},
    }
    const run = runOnKubernetes(planned, 'baseline', kubectl, {
      status: async () => null,
      holders: async () => new Map(),
      jobs: async () => new Map(),
      connect: async (directory) => (directory === out ? control : null),
    })
    expect(await run.pause()).toBe(1)
    expect(await run.stop()).toBe(2)
    expect(asked).toEqual(['pause', 'stop'])
    expect(stand.calls()).toEqual([])
  })

  it('refuses control of a run that no process trains', async () => {
    const run = await submitted()
    jobIs({})
    await expect(run.pause()).rejects.toThrow(`${out}: not running (pending; job ${run.id} is pending)`)
  })

  it('gives every member one error where the claim is not mounted', async () => {
    const run = await submitted()
    rmSync(claim, { recursive: true })
    const members = [
      () => run.result(),
      () => run.summary(),
      () => run.stop(),
      () => run.pause(),
      () => run.unpause(),
      () => run.checkpoint(),
      () => run.setLearningRate(1e-4),
      () => run[Symbol.asyncIterator]().next(),
    ]
    for (const member of members) {
      const error = await member().catch((caught: unknown) => caught)
      expect(error).toBeInstanceOf(UsageError)
      expect(error).toMatchObject({
        message: `${out}: not on this machine (expected claim runs mounted at ${claim})`,
      })
    }
  })

  it('gives the same error when a complete run left no files here', async () => {
    const run = await submitted()
    jobIs(COMPLETE)
    await expect(run.result()).rejects.toThrow(`${out}: not on this machine`)
  })
})
