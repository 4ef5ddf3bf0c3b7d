import { readdirSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { allCommands } from '../../../src/cli/commands/all.js'
import { runProgram } from '../../../src/cli/program.js'
import { parseYaml } from '../../../src/config/yaml.js'
import { memoryIo } from '../../helpers/cli.js'
import { type KubectlStandIn, kubectlStandIn } from '../../helpers/kubectl.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const CLUSTER = [
  'cluster.nodes=2',
  'cluster.gpusPerNode=4',
  'cluster.image=docker://registry.example.org/freetumor:0.2.0',
  'cluster.mounts=[{source: runs, target: /runs}]',
  'data.root=/runs/data',
  'prepare.cache=/runs/cache',
  'sampling.itemsPerStep=8',
]

let kubectl: KubectlStandIn
beforeEach(() => {
  kubectl = kubectlStandIn()
})

async function submit(...argv: string[]) {
  const io = memoryIo({ cwd: temporaryFolder() })
  const code = await runProgram(
    await allCommands(),
    ['submit', 'debug-baseline', '--to', 'kubernetes', ...argv],
    io,
  )
  expect(readdirSync(io.cwd)).toEqual([])
  return { code, stdout: io.stdout.join('\n'), stderr: io.stderr.join('\n') }
}

const run = (flags: string[], ...set: string[]) =>
  submit(...flags, '--out', '/runs/first', '--set', ...CLUSTER, ...set)

interface Printed {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec?: object
  readonly data?: Readonly<Record<string, string>>
}

function objectsOf(text: string): Printed[] {
  return parseAllDocuments(text).map((document) => document.toJS())
}

describe('freetumor submit --to kubernetes', () => {
  it('sends exactly the manifests that --dry-run prints, and prints id and directory', async () => {
    const planned = await run(['--dry-run'])
    expect(planned).toMatchObject({ code: 0, stderr: '' })
    expect(kubectl.calls()).toEqual([])
    expect(objectsOf(planned.stdout).map(({ kind }) => kind)).toEqual([
      'ConfigMap',
      'TrainingRuntime',
      'TrainJob',
    ])

    const done = await run(['--output', 'json'])
    expect(done.code, done.stderr).toBe(0)
    const { id, directory } = JSON.parse(done.stdout)
    expect(id).toMatch(/^trainjob\/debug-baseline-[0-9a-f]{8}$/)
    expect(directory).toBe('/runs/first')
    const calls = kubectl.calls()
    expect(calls.map(({ argv }) => argv.slice(0, 2))).toEqual([
      ['get', id],
      ['apply', '--server-side'],
    ])
    expect(calls[1]!.input.trimEnd()).toBe(planned.stdout)
  })

  it('puts the configuration of the job into the ConfigMap', async () => {
    const { stdout } = await run(['--dry-run'], 'training.steps=7', 'runtime.python=/home/me/python')
    const text = objectsOf(stdout)[0]!.data!['config.yaml']!
    expect(parseYaml(text, 'config.yaml')).toMatchObject({
      job: 'baseline',
      data: { root: '/runs/data' },
      training: { steps: 7 },
      runtime: { nodes: 2, processesPerNode: 4, python: null },
    })
  })

  it('refuses a second job for the same directory', async () => {
    kubectl.answers('get', { stdout: 'trainjob.trainer.kubeflow.org/debug-baseline-12345678\n' })
    const done = await run([])
    expect(done.code).toBe(2)
    expect(done.stderr).toMatch(
      /^error: \/runs\/first: its job exists in the cluster \(expected none, found trainjob\/debug-baseline-[0-9a-f]{8}\)\nhint: `kubectl delete trainjob\//,
    )
    expect(kubectl.calls()).toHaveLength(1)
  })

  it('reports a cluster that does not answer in one line', async () => {
    const refused =
      'The connection to the server localhost:8080 was refused - did you specify the right host?'
    kubectl.answers('get', { code: 1, stderr: `E1129 memcache.go:265] "Unhandled Error"\n${refused}\n` })
    const done = await run([])
    expect(done.code).toBe(4)
    expect(done.stderr.split('\n')).toEqual([
      `error: kubectl: no cluster answers (expected an API server, found: ${refused})`,
      'hint: `kubectl config get-contexts` lists the clusters; --dry-run needs none',
    ])
    expect(done.stdout).toBe('')
  })

  it('notes what the pods do not see', async () => {
    const done = await run(['--dry-run'], 'data.root=/scratch/data', 'cluster.partition=gpu')
    expect(done.stderr.split('\n')).toEqual([
      'note: cluster.partition has no effect on Kubernetes',
      'note: data.root: /scratch/data is below no mount (expected a folder of a claim, or one of the image)',
    ])
  })

  it('refuses a run directory outside the claims before it asks the cluster', async () => {
    const done = await submit('--out', '/scratch/first', '--set', ...CLUSTER)
    expect(done.code).toBe(2)
    expect(done.stderr).toContain('a writable mount that holds the run directory /scratch/first, found /runs')
    expect(kubectl.calls()).toEqual([])
  })

  it('sends an array with its suspended merge, and prints how to start that', async () => {
    const predict = ['predict', '--checkpoint', '/runs/b', '--images', '/runs/scans', '--out', '/runs/masks']
    const done = await run(['--array', '20'], '--', ...predict)
    expect(done.code, done.stderr).toBe(0)
    const objects = objectsOf(kubectl.calls()[1]!.input)
    expect(objects.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Job', 'ConfigMap', 'Job'])
    const [tasks, merge] = [objects[1]!, objects[3]!]
    expect(tasks.spec).toMatchObject({ completionMode: 'Indexed', completions: 20, parallelism: 20 })
    expect(objects[0]!.data!['start.sh']).toContain(
      '--out /runs/masks --shard "$((JOB_COMPLETION_INDEX + 1))"/20;',
    )
    expect(merge.spec).toMatchObject({ suspend: true })
    expect(objects[2]!.data!['start.sh']).toContain('exec freetumor merge /runs/masks;')
    expect(done.stdout).toContain(`kubectl patch job/${merge.metadata.name} --type merge --patch`)
  })

  it('refuses a chain: Kubernetes has no dependencies', async () => {
    const done = await submit('debug-synthesis', '--chain')
    expect(done.code).toBe(2)
    expect(done.stderr).toContain('submit: Kubernetes has no dependencies between jobs')
  })

  it('is what `freetumor plan --to kubernetes` prints, too', async () => {
    const { stdout } = await run(['--dry-run'])
    const io = memoryIo({ cwd: temporaryFolder() })
    const argv = [
      'plan',
      '--config',
      'debug-baseline',
      '--to',
      'kubernetes',
      '--no-measure',
      '--output',
      'json',
    ]
    await runProgram(await allCommands(), [...argv, '--out', '/runs/first', '--set', ...CLUSTER], io)
    expect(JSON.parse(io.stdout.join('\n')).script.trimEnd()).toBe(stdout)
  })
})
