import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ClusterJob, ClusterWork } from '../../src/cluster/job.js'
import {
  ignoredOnKubernetes,
  type KubernetesOptions,
  kubernetesJob,
  manifestText,
} from '../../src/cluster/kubernetes.js'
import { clusterSection } from '../../src/config/sections/cluster.js'
import { runPython } from '../helpers/python.js'

const SCHEMAS = 'test/cluster/kubernetes_schemas.py'
const missing = runPython(SCHEMAS, '', ['--missing']).trim()
const without = missing === '' ? '' : ` (skipped: Python lacks ${missing})`

const FULL = {
  nodes: 2,
  gpusPerNode: 4,
  memoryGB: 64,
  timeHours: 24,
  image: 'docker://registry.example.org/freetumor:0.2.0',
  mounts: [
    { source: 'ct-scans', target: '/data', readOnly: true },
    { source: 'runs', target: '/runs' },
  ],
  environment: { OMP_NUM_THREADS: '4', NCCL_DEBUG: 'WARN' },
  kubernetes: {
    namespace: 'research',
    localQueue: 'gpu-queue',
    secret: 'tracking',
    nodeSelector: { 'nvidia.com/gpu.product': 'NVIDIA-H200' },
    tolerations: [
      { key: 'nvidia.com/gpu', effect: 'NoSchedule' },
      { key: 'team', value: 'ct' },
    ],
  },
}

const TRAINING: ClusterWork = { kind: 'training', config: '/etc/freetumor/config.yaml' }
const ARRAY: ClusterWork = {
  kind: 'array',
  argv: ['prepare', '--config', '/data/a b.yaml'],
  shards: 20,
  slice: '1-20',
  offset: 0,
}
const MERGE: ClusterWork = { kind: 'command', argv: ['merge', '/runs/abdomen'] }

function jobOf(
  work: ClusterWork = TRAINING,
  cluster: object = {},
  job: Partial<ClusterJob> = {},
): ClusterJob {
  const section = clusterSection.parse({ ...FULL, ...cluster })
  return {
    name: 'abdomen-segmentation',
    directory: '/runs/abdomen',
    workingDirectory: '/runs',
    work,
    nodes: section.nodes ?? 1,
    node: { ranks: 4, gpus: section.gpusPerNode ?? 0, cpus: 16, memoryGB: section.memoryGB },
    stopSeconds: 90,
    program: ['freetumor'],
    python: null,
    cluster: section,
    ...job,
  }
}

const textOf = (job: ClusterJob, options: KubernetesOptions = {}): string =>
  manifestText(kubernetesJob(job, options).objects)

interface Checked {
  readonly objects: unknown[]
  readonly errors: string[]
}

const check = (texts: readonly string[]): Checked[] => JSON.parse(runPython(SCHEMAS, JSON.stringify(texts)))

const EVERY_KIND: readonly (readonly [string, string])[] = [
  ['a training', textOf(jobOf(), { config: 'job: segmentation\ntraining:\n  steps: 10\n' })],
  [
    'a small training',
    textOf(
      jobOf(TRAINING, {
        nodes: 1,
        gpusPerNode: 0,
        memoryGB: null,
        timeHours: null,
        environment: {},
        check: false,
        kubernetes: {},
      }),
    ),
  ],
  ['a script', textOf(jobOf({ kind: 'script', argv: ['my train.py', '--epochs', '3'] }))],
  ['an array', textOf(jobOf(ARRAY, { nodes: 1, kubernetes: { maxConcurrentTasks: 5 } }))],
  ['a merge', textOf(jobOf(MERGE, { nodes: 1, gpusPerNode: 0 }), { suspended: true })],
]

const [TRAINING_TEXT, ARRAY_TEXT] = [EVERY_KIND[0]![1], EVERY_KIND[3]![1]]
const TYPOS: readonly (readonly [text: string, right: string, wrong: string])[] = [
  [TRAINING_TEXT, 'numNodes:', 'numNodez:'],
  [TRAINING_TEXT, 'numProcPerNode:', 'numProcsPerNode:'],
  [TRAINING_TEXT, 'runtimeRef:', 'runtimeReference:'],
  [TRAINING_TEXT, 'replicatedJobs:', 'replicatedJob:'],
  [TRAINING_TEXT, 'podFailurePolicy:', 'podFailurPolicy:'],
  [TRAINING_TEXT, 'terminationGracePeriodSeconds:', 'terminationGracePeriodSecond:'],
  [TRAINING_TEXT, 'replicas: 1', 'replicas: one'],
  [ARRAY_TEXT, 'backoffLimitPerIndex:', 'backoffLimitPerindex:'],
  [ARRAY_TEXT, 'persistentVolumeClaim:', 'persistentVolumeClaims:'],
  [ARRAY_TEXT, 'completions: 20', 'completions: "20"'],
]

let checked: Checked[] = []
beforeAll(() => {
  if (missing !== '') return
  const changed = TYPOS.map(([text, right, wrong]) => {
    expect(text).toContain(right)
    return text.replaceAll(right, wrong)
  })
  checked = check([...EVERY_KIND.map(([, text]) => text), ...changed])
})

describe('the manifests of a job', () => {
  it.each(EVERY_KIND)('print %s exactly so', (_, text) => {
    expect(text).toMatchSnapshot()
  })

  it.skipIf(missing !== '')(`agree with the schemas of Kubernetes and Trainer${without}`, () => {
    expect(checked.slice(0, EVERY_KIND.length).flatMap(({ errors }) => errors)).toEqual([])
  })

  it.skipIf(missing !== '')(`with a planted typo are refused, 10 of 10${without}`, () => {
    const errors = checked.slice(EVERY_KIND.length).map((one) => one.errors)
    expect(errors).toHaveLength(10)
    expect(TYPOS.filter((_, at) => errors[at]!.length === 0)).toEqual([])
  })

  it('read back as the same objects with YAML 1.1, whatever the texts are', () => {
    const words = fc.constantFrom(
      'yes',
      'on',
      '1:30',
      '0o17',
      '1_000',
      '~',
      '2026-11-29',
      '- a',
      '# b',
      '{a',
      '<<',
      '=',
      'a\tb',
      '$(HOME)',
    )
    const texts = fc.oneof(words, fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ minLength: 1 }))
    const samples = fc.sample(fc.array(fc.tuple(texts, texts), { minLength: 1, maxLength: 5 }), {
      numRuns: 200,
      seed: 7,
    })
    const objects = samples.map((pairs) => ({ list: pairs, lines: pairs.flat().join('\n') }))
    const program =
      'import json, sys, yaml; print(json.dumps([yaml.safe_load(t) for t in json.load(sys.stdin)]))'
    const python = process.env.FREETUMOR_PYTHON ?? '.venv/bin/python'
    const read = execFileSync(python, ['-c', program], {
      input: JSON.stringify(objects.map((object) => manifestText([object]))),
      encoding: 'utf8',
    })
    expect(JSON.parse(read)).toEqual(objects)
  })
})

describe('a job that Kubernetes cannot run', () => {
  it.each<readonly [object, string]>([
    [{ image: null }, 'cluster.image: wrong value (expected an image of a registry, found null)'],
    [{ image: '/images/freetumor.sif' }, 'cluster.image: wrong value'],
    [{ image: 'a image' }, 'cluster.image: wrong value'],
    [
      { mounts: [{ source: '/lustre/runs', target: '/runs' }] },
      'cluster.mounts.0.source: wrong value (expected the name of a PersistentVolumeClaim, found "/lustre/runs")',
    ],
    [
      { mounts: [{ source: 'runs', target: '/data' }] },
      'cluster.mounts: wrong value (expected a writable mount that holds the run directory /runs/abdomen, found /data)',
    ],
    [
      {
        mounts: [
          { source: 'runs', target: '/runs' },
          { source: 'runs', target: '/runs/abdomen', readOnly: true },
        ],
      },
      'found /runs, /runs/abdomen (read-only))',
    ],
    [{ mounts: [{ source: 'runs', target: '/dev/shm' }] }, 'cluster.mounts.0.target: wrong value'],
    [{ mounts: [{ source: 'runs', target: '/' }] }, 'cluster.mounts.0.target: wrong value'],
    [{ mounts: [{ source: 'runs', target: '/etc//freetumor/' }] }, 'cluster.mounts.0.target: wrong value'],
    [
      { mounts: FULL.mounts.map((mount) => ({ ...mount, target: '/runs' })) },
      'cluster.mounts.1.target: wrong',
    ],
    [
      { environment: { PET_NNODES: '3' } },
      'cluster.environment.PET_NNODES: reserved name (Kubernetes sets it)',
    ],
    [
      { environmentFile: '/home/me/secrets', kubernetes: {} },
      'cluster.environmentFile: wrong key for Kubernetes (expected cluster.kubernetes.secret, found a file)',
    ],
    [
      { memoryGB: 8, kubernetes: { sharedMemoryGB: 16 } },
      'cluster.kubernetes.sharedMemoryGB: too large (expected at most cluster.memoryGB, 8, found 16)',
    ],
  ])('is refused: %j', (cluster, message) => {
    expect(() => textOf(jobOf(TRAINING, cluster))).toThrow(message)
  })

  it('is refused if its configuration is larger than a file may be', () => {
    expect(() => textOf(jobOf(), { config: 'é'.repeat(131_073) })).toThrow(
      'at most 262144 bytes, found 262146',
    )
  })

  it('has keys of Slurm, which are listed', () => {
    expect(ignoredOnKubernetes(jobOf(TRAINING, { partition: 'gpu', modules: ['cuda'] }))).toEqual([
      'cluster.partition',
      'cluster.modules',
    ])
  })
})

describe('the values of a job', () => {
  it('reach the pod unchanged: Kubernetes replaces no `$(NAME)` in them', () => {
    const { objects } = kubernetesJob(jobOf(TRAINING, { environment: { TITLE: 'a $(HOME) $$ "b": c' } }))
    expect(JSON.stringify(objects)).toContain(JSON.stringify('a $$(HOME) $$$$ "b": c'))
  })

  it('never stand in the command of the pod', () => {
    const text = textOf(jobOf({ kind: 'script', argv: ['train.py', '--note', 'SENTINEL'] }))
    expect(text.match(/SENTINEL/g)).toHaveLength(1)
    expect(text.indexOf('SENTINEL')).toBeLessThan(text.indexOf('kind: TrainingRuntime'))
  })

  it('leave a suspended job outside of Kueue, which would start it', () => {
    const merge = jobOf(MERGE)
    const text = textOf(merge, { suspended: true })
    expect(text).toContain('suspend: true')
    expect(text).not.toContain('kueue')
    expect(textOf(merge)).toContain('kueue.x-k8s.io/queue-name: gpu-queue')
  })
})
