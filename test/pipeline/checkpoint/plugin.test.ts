import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, printConfig } from '../../../src/config/load.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { commandLine } from '../../../src/pipeline/checkpoint/plugin.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import { specOfPlan } from '../../../src/pipeline/plan/run.js'
import type { PluginFacts, PluginSpec } from '../../../src/pipeline/ports/plugin.js'
import { hashInputs } from '../../../src/pipeline/train/resume.js'
import { earlierWeights, wantedWeights } from '../../../src/pipeline/train/weights.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const PART = { spacingMm: null, windowHu: null, patchVoxels: [96, 96, 96] as const }
const FACTS: PluginFacts = {
  name: 'mine',
  version: '1',
  licence: 'MIT',
  sha256: 'a'.repeat(64),
  synthesize: { ...PART, names: ['liver', 'pancreas', 'kidney'] },
  segment: { ...PART, names: ['background', 'liver_tumor', 'pancreas-tumor', 'Kidney tumor'] },
  tumorOutputs: [1, 2, 3],
}
const command = ['program', '--device', '{device}']

function config(networks: object, job = 'segmentation'): RunConfig {
  return resolveConfig({
    job,
    region: 'abdomen',
    name: 'test',
    data: { datasets: [{ name: 'BTCV' }] },
    networks,
  })
}

const BOTH = {
  generator: { plugin: { command } },
  baseline: { plugin: { python: 'python3', command: ['a.py'] } },
}

function world(facts: PluginFacts) {
  const notes: string[] = []
  const started: PluginSpec[] = []
  const inspectPlugin = (spec: PluginSpec) => {
    started.push(spec)
    return facts
  }
  const context: StageContext = {
    runtime: inMemoryRuntime({ inspectPlugin }),
    signal: undefined,
    logDirectory: '',
    note: (text, level = 'info') => void notes.push(`${level}: ${text}`),
  }
  const start = () => {
    throw new Error('a training was started')
  }
  return { notes, started, weights: (of: RunConfig) => earlierWeights(wantedWeights(of), context, start) }
}

test('starts the plug-ins of a training once, notes their licences, and lists them with those of weights', async () => {
  const { weights, started, notes } = world(FACTS)
  expect(await weights(config(BOTH))).toEqual({
    baseline: null,
    generator: null,
    plugins: { baseline: FACTS, generator: FACTS },
    licences: (['baseline', 'generator'] as const).map((network) => {
      return { network, file: 'plug-in mine 1', sha256: FACTS.sha256, licence: 'MIT' }
    }),
  })
  expect(started.map((spec) => spec.command)).toEqual([['python3', 'a.py'], command])
  expect(notes).toEqual([
    'info: networks.baseline: plug-in mine 1 (licence: MIT)',
    'info: networks.generator: plug-in mine 1 (licence: MIT)',
  ])
})

test.each([
  ['without the work', { segment: null }, 'networks.baseline.plugin: mine 1: cannot segment'],
  [
    'for other organs',
    { segment: { ...PART, names: ['background', 'kidney tumor'] }, tumorOutputs: [1] },
    'does not cover the planned organs (expected liver, found background, kidney tumor)',
  ],
  [
    'for another spacing',
    { segment: { ...FACTS.segment!, spacingMm: [1, 1, 1] as const } },
    'wrong spacing (expected 1 x 1 x 1 mm, found 1.5 x 1.5 x 1.5 mm)',
  ],
])('refuses a plug-in %s', async (_, changed, message) => {
  await expect(world({ ...FACTS, ...changed }).weights(config(BOTH))).rejects.toThrow(message)
})

test('warns of a plug-in that reads HU beyond the intensity window', async () => {
  const { weights, notes } = world({
    ...FACTS,
    synthesize: { ...FACTS.synthesize!, windowHu: [-1000, 1000] },
  })
  await weights(config(BOTH))
  expect(notes).toContain(
    'warning: networks.generator.plugin: mine 1: reads -1000 to 1000 HU, but crops are clipped to -175 to 250 HU',
  )
})

test('hashes the identity of a plug-in, so that a resumed run refuses another one', async () => {
  const of = config(BOTH)
  const hash = async (facts: PluginFacts) =>
    (await hashInputs(of, [], await world(facts).weights(of), null, null)).data
  const before = await hash(FACTS)
  expect(await hash({ ...FACTS })).toBe(before)
  for (const changed of [{ name: 'other' }, { version: '2' }, { licence: 'GPL' }, { sha256: 'b'.repeat(64) }])
    expect(await hash({ ...FACTS, ...changed })).not.toBe(before)
})

test.each([
  [
    'a plug-in in job synthesis',
    { generator: { plugin: { command } } },
    'synthesis',
    'not possible in job synthesis',
  ],
  [
    'a plug-in next to weights',
    { ...BOTH, generator: { checkpoint: 'a.pt', plugin: { command } } },
    'segmentation',
    'networks.generator: has a plugin and weights (expected one)',
  ],
  [
    'an unknown placeholder',
    { ...BOTH, generator: { plugin: { command: ['a', '{port}'] } } },
    'segmentation',
    'unknown placeholder (expected {device}, {threads} or {socket}, found {port})',
  ],
  [
    'an empty command',
    { ...BOTH, generator: { plugin: { command: [] } } },
    'segmentation',
    'networks.generator.plugin.command',
  ],
])('refuses %s', (_, networks, job, message) => {
  expect(() => config(networks, job)).toThrow(message)
})

test('takes paths of a command from the folder of the configuration, and other words as they are', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'run.yaml')
  writeFileSync(
    file,
    printConfig(
      config({
        ...BOTH,
        generator: { plugin: { python: '../env/python', command: ['a.py', './w.pt', 'b.py', '-x'] } },
      }),
    ),
  )
  const { networks } = await loadConfig(file)
  expect(networks.generator!.plugin).toMatchObject({
    python: join(dirname(folder), 'env/python'),
    command: [join(folder, 'a.py'), join(folder, 'w.pt'), 'b.py', '-x'],
    startTimeoutSeconds: 60,
    requestTimeoutSeconds: 120,
  })
  expect(networks.baseline!.plugin!.python).toBe('python3')
})

test('a plan starts no plug-in', () => {
  const spec = specOfPlan(config(BOTH), 'run')
  expect([spec.baseline, spec.generator?.plugin]).toEqual([null, null])
})

test('prints a command line in one line', () => {
  expect(
    commandLine({ command: ['a b', '{device}', 'x\ny'], startTimeoutSeconds: 1, requestTimeoutSeconds: 1 }),
  ).toBe('"a b" {device} "x\\ny"')
})
