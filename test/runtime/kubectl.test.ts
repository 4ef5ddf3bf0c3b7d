import { beforeEach, describe, expect, it, vi } from 'vitest'
import { EnvironmentError } from '../../src/errors.js'
import { kubectl } from '../../src/runtime/kubectl.js'
import { type KubectlStandIn, kubectlStandIn } from '../helpers/kubectl.js'
import { temporaryFolder } from '../helpers/temporary.js'

let stand: KubectlStandIn
beforeEach(() => {
  stand = kubectlStandIn()
})

const TEXT = 'kind: ConfigMap\n---\nkind: TrainJob\n'

describe('kubectl', () => {
  it('receives the manifests as its input, in the namespace', async () => {
    await kubectl.create(TEXT, 'research')
    expect(stand.calls()).toEqual([
      {
        argv: ['apply', '--server-side', '--filename=-', '--namespace=research', '--request-timeout=30s'],
        input: TEXT,
      },
    ])
  })

  it('finds an object by its kind and name', async () => {
    expect(await kubectl.exists('trainjob/a', null)).toBe(false)
    stand.answers('get', { stdout: 'trainjob.trainer.kubeflow.org/a\n' })
    expect(await kubectl.exists('trainjob/a', null)).toBe(true)
    expect(stand.calls()[0]!.argv).toEqual([
      'get',
      'trainjob/a',
      '--ignore-not-found',
      '--output=name',
      '--request-timeout=30s',
    ])
  })

  it('removes what it created before the cluster refused an object', async () => {
    stand.answers('apply', {
      code: 1,
      stderr: 'configmap/a created\nError from server (Forbidden): quota exceeded\n',
    })
    await expect(kubectl.create(TEXT, null)).rejects.toThrow('kubectl: quota exceeded')
    expect(stand.calls().map(({ argv, input }) => [argv[0], input])).toEqual([
      ['apply', TEXT],
      ['delete', TEXT],
    ])
  })

  it.each<readonly [string, string, string]>([
    [
      'no server',
      'E1129 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API group list"\nThe connection to the server localhost:8080 was refused - did you specify the right host or port?\n',
      'kubectl: no cluster answers (expected an API server, found: The connection to the server localhost:8080 was refused - did you specify the right host or port?)',
    ],
    [
      'a missing resource type',
      'error: the server doesn\'t have a resource type "trainjob"\n',
      'kubectl: the cluster does not support trainjob (expected Kubeflow Trainer 2.2 or newer)',
    ],
    [
      'a missing kind',
      'error: resource mapping not found for name: "a" namespace: "" from "STDIN": no matches for kind "TrainJob" in version "trainer.kubeflow.org/v1alpha1"\nensure CRDs are installed first\n',
      'kubectl: the cluster does not support TrainJob (expected Kubeflow Trainer 2.2 or newer)',
    ],
    [
      'a missing right',
      'Error from server (Forbidden): trainjobs is forbidden: User "me" cannot get resource\n',
      'kubectl: trainjobs is forbidden: User "me" cannot get resource',
    ],
  ])('fails with one clear line for %s', async (_, stderr, message) => {
    stand.answers('get', { code: 1, stderr })
    const error = await kubectl.exists('trainjob/a', null).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(EnvironmentError)
    expect(error).toMatchObject({ message })
  })

  it('reads the state of a TrainJob; a deleted one has stopped', async () => {
    expect(await kubectl.state('trainjob/a', null)).toMatchObject({ state: 'stopped', ended: true })
    const status = {
      conditions: [{ type: 'Suspended', status: 'False', message: 'resumed' }],
      jobsStatus: [{ name: 'node', ready: 1 }],
    }
    stand.answers('get', { stdout: JSON.stringify({ kind: 'TrainJob', metadata: {}, status }) })
    expect(await kubectl.state('trainjob/a', null)).toEqual({
      state: 'running',
      reason: null,
      restarts: 0,
      ended: false,
    })
  })

  it.each(['<html>', '{"status": {"conditions": 1}}'])('refuses the state %s', async (stdout) => {
    stand.answers('get', { stdout })
    await expect(kubectl.state('trainjob/a', null)).rejects.toThrow(
      `kubectl: unexpected answer (expected trainjob/a in JSON, found ${stdout})`,
    )
  })

  it('that is missing is an error of the machine', async () => {
    vi.stubEnv('PATH', temporaryFolder())
    await expect(kubectl.create(TEXT, null)).rejects.toThrow('kubectl: program not found')
  })
})
