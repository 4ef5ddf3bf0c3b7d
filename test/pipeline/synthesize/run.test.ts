import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { readManifest } from '../../../src/curation/datasets/manifest.js'
import { readJsonLog } from '../../../src/jsonl.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import type { ModelRuntime } from '../../../src/pipeline/ports/runtime.js'
import type { CaseToPrepare } from '../../../src/pipeline/prepare/run.js'
import { type Synthesis, writtenLabels } from '../../../src/pipeline/synthesize/dataset.js'
import { synthesizeCases } from '../../../src/pipeline/synthesize/run.js'
import { synthesisSettings } from '../../../src/pipeline/synthesize/settings.js'
import { sweepLedger } from '../../../src/pipeline/synthesize/sweep.js'
import type { SynthesisLine } from '../../../src/quality/ledger.js'
import { synthesisLineSchema } from '../../../src/quality/ledger-schema.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryRuntime } from '../train/memory-run.js'

type Change = {
  readonly synthesize?: Partial<RunConfig['synthesize']>
  readonly quality?: Partial<RunConfig['quality']>
}

function configOf(folder: string, { synthesize = {}, quality = {} }: Change = {}): RunConfig {
  return resolveConfig({
    job: 'segmentation',
    name: 'synthetic',
    seed: 3,
    data: { datasets: [{ name: 'hosts', role: 'host' }] },
    prepare: { cache: join(folder, 'cache') },
    simulation: {
      organWeights: { liver: 1, pancreas: 0, kidney: 0 },
      sizeOdds: { tiny: 1, small: 1, medium: 0, large: 0 },
      texture: { sizeVoxels: [64, 64, 64], count: 2 },
    },
    sampling: { patchVoxels: [32, 32, 32] },
    networks: { segmentor: { kind: 'small', levels: 1 }, baseline: null, generator: null },
    training: { target: 'all' },
    synthesize: { variants: 3, tumorsPerVariant: 2, triesPerTumor: 4, ...synthesize },
    quality,
    report: { pictures: 0 },
  })
}

/** Hosts whose files nobody reads: the in-memory runtime makes their prepared cases. */
function hostsNamed(...ids: string[]): CaseToPrepare[] {
  return ids.map((id, at) => ({
    id: `Mine/${id}`,
    dataset: 'Mine',
    patient: `patient-${id}`,
    region: 'abdomen',
    role: { kind: 'host' },
    image: `/data/${id}.nii.gz`,
    label: `/data/${id}-label.nii.gz`,
    fold: at,
    split: at === 0 ? 'validation' : 'training',
    labelMap: { '1': 1 },
  }))
}

async function made(
  config: RunConfig,
  out: string,
  runtime: ModelRuntime = memoryRuntime(),
  signal?: AbortSignal,
  hosts = hostsNamed('a', 'b'),
): Promise<{ result: Synthesis; ledger: SynthesisLine[] }> {
  const context: StageContext = { runtime, signal, logDirectory: out, note: () => {} }
  const result = await synthesizeCases({ settings: synthesisSettings(config), out, hosts }, context)
  return { result, ledger: await ledgerOf(out) }
}

async function ledgerOf(out: string): Promise<SynthesisLine[]> {
  const lines: SynthesisLine[] = []
  for await (const line of readJsonLog<SynthesisLine>(join(out, 'ledger.jsonl'))) lines.push(line)
  return lines
}

const timeless = ({ time: _, ...line }: SynthesisLine): unknown => line
/** The in-memory runtime sees tumors of 500 voxels and more. */
const seen = { shareSeenThreshold: 0.5 }

/** Hosts of these ids, whatever data sets they name. */
function hostsOf(...ids: string[]): CaseToPrepare[] {
  return hostsNamed(...ids).map((host, at) => ({ ...host, id: ids[at]! }))
}

describe('an offline synthesis', () => {
  it('writes a scan for every variant of every host, also where names of hosts look alike', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    const hosts = hostsOf('d/x', 'e/x', 'q/d_x', 'd/x_v000', 'x')
    const { result, ledger } = await made(configOf(folder), out, memoryRuntime(), undefined, hosts)
    const variants = new Set(ledger.map(({ case: id, variant }) => `${id} ${variant}`))
    expect(variants.size).toBe(5 * 3)
    expect(new Set(ledger.map(({ file }) => file)).size).toBe(5 * 3)
    expect(result).toMatchObject({ hosts: 5, scans: 5 * 3, failed: [] })
    const { cases } = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'))
    expect(new Set(cases.map(({ id }: { id: string }) => id)).size).toBe(5 * 3)
  })

  it('refuses hosts that differ in upper and lower case alone before it asks the runtime for anything', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    const asked: string[] = []
    const runtime = new Proxy(memoryRuntime(), {
      get: (target, name) => {
        asked.push(String(name))
        return Reflect.get(target, name)
      },
    })
    const started = made(configOf(folder), out, runtime, undefined, hostsOf('d/x', 'D/x'))
    await expect(started).rejects.toThrow('cases d/x and D/x: equal file names (found D__x for both)')
    expect(asked.filter((name) => name === 'prepare' || name === 'synthesize')).toEqual([])
  })

  it('refuses a pair of .hdr and .img next to a volume of its name, and writes nothing', async () => {
    const folder = temporaryFolder()
    const [out, images, labels] = [join(folder, 'out'), join(folder, 'images'), join(folder, 'labels')]
    for (const name of ['images/a.hdr', 'images/a.img', 'images/a.nii', 'labels/a.nii']) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), '')
    }
    const context: StageContext = {
      runtime: memoryRuntime(),
      signal: undefined,
      logDirectory: out,
      note: () => {},
    }
    const settings = synthesisSettings(configOf(folder))
    await expect(synthesizeCases({ settings, out, hosts: { images, labels } }, context)).rejects.toThrow(
      `case a: listed twice, as ${join(images, 'a.hdr')} (training) and ${join(images, 'a.nii')} (training)`,
    )
    await expect(readdir(out)).rejects.toThrow('ENOENT')
  })

  it('lists every tumor once, in order, with all values to reproduce it', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    const { result, ledger } = await made(configOf(folder), out)
    expect(result).toMatchObject({ hosts: 2, scans: 6, failed: [] })
    expect(ledger.map(({ case: id, variant, tumor }) => `${id} ${variant} ${tumor}`)).toEqual(
      ['Mine/a', 'Mine/b'].flatMap((id) =>
        [0, 1, 2].flatMap((variant) => [0, 1].map((tumor) => `${id} ${variant} ${tumor}`)),
      ),
    )
    for (const line of ledger)
      expect(line).toMatchObject({
        organ: 'liver',
        seed: 3,
        k: [3, 'synthesize', line.case, line.variant, line.tumor, line.attempt],
        verdict: 'accepted',
        reason: 'notJudged',
        host: 'host',
        file: `Mine__${line.case.slice(-1)}_v00${line.variant}.nii.gz`,
      })
    const list = JSON.parse(await readFile(join(out, 'dataset.json'), 'utf8'))
    expect(list.validation.map(({ image, host }: { image: string; host: string }) => [image, host])).toEqual(
      [0, 1, 2].map((variant) => [`./imagesTr/Mine__a_v00${variant}.nii.gz`, 'Mine/a']),
    )
    expect(list.training).toHaveLength(3)
  })

  it('leaves a ledger that its published schema describes, and that other thresholds can be tried on', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    const { ledger } = await made(configOf(folder), out)
    for (const line of ledger) synthesisLineSchema.parse(line)
    expect(() => synthesisLineSchema.parse({ ...ledger[0], verdict: 'perhaps' })).toThrow()
    const sweep = await sweepLedger({ ledger: out, thresholds: [0.5] })
    expect(sweep.asItStands.tries).toEqual({ kept: ledger.length, of: ledger.length })
    expect(sweep.asItStands.reasons).toEqual({ notJudged: ledger.length })
    await expect(sweepLedger({ ledger: folder })).rejects.toThrow(`${folder}: holds no ledger.jsonl`)
    await writeFile(join(folder, 'ledger.jsonl'), '')
    await expect(sweepLedger({ ledger: folder })).rejects.toThrow('does not state the policy of its ledger')
    await expect(sweepLedger({ ledger: out, set: ['seed=3'] })).rejects.toThrow(
      '--set seed=3: not a key of quality',
    )
  })

  it('gives its children the patient, fold and part of their hosts', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    await made(configOf(folder), out)
    const { cases } = await readManifest(join(out, 'manifest.json'))
    expect(cases.map(({ parent, patient, fold, split }) => ({ parent, patient, fold, split }))).toEqual([
      ...Array(3).fill({ parent: 'Mine/a', patient: 'patient-a', fold: 0, split: 'validation' }),
      ...Array(3).fill({ parent: 'Mine/b', patient: 'patient-b', fold: 1, split: 'training' }),
    ])
  })

  it('does not depend on the other cases', async () => {
    const [one, two] = [temporaryFolder(), temporaryFolder()]
    const both = await made(configOf(one), join(one, 'out'))
    const alone = await made(configOf(two), join(two, 'out'), memoryRuntime(), undefined, hostsNamed('b'))
    const ofB = both.ledger.filter(({ case: id }) => id === 'Mine/b')
    expect(alone.ledger.map(timeless)).toEqual(ofB.map(timeless))
  })

  it('resumes after a stop, and ends with the ledger of an uninterrupted run', async () => {
    const [whole, broken] = [temporaryFolder(), temporaryFolder()]
    const unbroken = await made(configOf(whole), join(whole, 'out'))
    const out = join(broken, 'out')
    const controller = new AbortController()
    const context: StageContext = {
      runtime: memoryRuntime(),
      signal: controller.signal,
      logDirectory: out,
      note: () => {},
    }
    const stopped = synthesizeCases(
      {
        settings: synthesisSettings(configOf(broken)),
        out,
        hosts: hostsNamed('a', 'b'),
        onProgress: ({ done }) => {
          if (done === 2) controller.abort()
        },
      },
      context,
    )
    await expect(stopped).rejects.toMatchObject({ code: 'stopped' })
    expect(await ledgerOf(out)).toHaveLength(4)
    // the runtime that wrote them was a pretended one
    for (const variant of [0, 1])
      for (const name of ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'])
        await writeFile(join(out, name, `Mine__a_v00${variant}.nii.gz`), '')
    const seenVariants: string[] = []
    const resumed = await synthesizeCases(
      {
        settings: synthesisSettings(configOf(broken)),
        out,
        hosts: hostsNamed('a', 'b'),
        onProgress: ({ caseId, variant }) => seenVariants.push(`${caseId} ${variant}`),
      },
      { ...context, signal: undefined },
    )
    expect(seenVariants).toEqual(['Mine/a 2', 'Mine/b 0', 'Mine/b 1', 'Mine/b 2'])
    expect(resumed.scans).toBe(6)
    expect((await ledgerOf(out)).map(timeless)).toEqual(unbroken.ledger.map(timeless))
  })

  it('makes a variant again whose files are gone', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    const { ledger } = await made(configOf(folder), out)
    // no file was ever there
    const again = await made(configOf(folder), out)
    expect(again.ledger.map(timeless)).toEqual(ledger.map(timeless))
  })

  it('refuses a folder that holds a synthesis of other settings, and names them; more variants may be added', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'out')
    await made(configOf(folder), out)
    const other = configOf(folder, { synthesize: { tumorsPerVariant: 1 } })
    await expect(made(other, out)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('other settings (synthesize'),
    })
    const more = await made(configOf(folder, { synthesize: { variants: 4 } }), out)
    expect(more.result.scans).toBe(8)
  })

  it('reports a host CT that cannot be read, and continues with the others', async () => {
    const folder = temporaryFolder()
    const runtime = memoryRuntime()
    const damaging: ModelRuntime = {
      ...runtime,
      async *prepare(spec, call) {
        for await (const outcome of runtime.prepare(spec, call)) {
          if (outcome.caseId === 'Mine/a' && 'result' in outcome)
            await rm(join(outcome.result.path, 'label'), { recursive: true })
          yield outcome
        }
      },
    }
    const { result, ledger } = await made(configOf(folder), join(folder, 'out'), damaging)
    expect(result.scans).toBe(3)
    expect(result.failed).toMatchObject([{ caseId: 'Mine/a', error: { kind: 'data' } }])
    expect(new Set(ledger.map(({ case: id }) => id))).toEqual(new Set(['Mine/b']))
  })
})

describe('verdicts', () => {
  const withBaseline = (folder: string, change: Change = {}): RunConfig => {
    const config = configOf(folder, change)
    return {
      ...config,
      networks: {
        ...config.networks,
        baseline: {
          checkpoint: join(folder, 'b.pt'),
          weights: null,
          trainFrom: null,
          plugin: null,
          patchMerging: null,
        },
      },
    }
  }

  it('a named set of weights is selected in every inspection of its file', async () => {
    const folder = temporaryFolder()
    await writeFile(join(folder, 'b.pt'), '')
    const config = withBaseline(folder)
    const baseline = { ...config.networks.baseline!, weights: 'teacher' }
    const twin = memoryRuntime()
    const named: unknown[] = []
    const runtime: ModelRuntime = {
      ...twin,
      inspect: (path, options) => {
        named.push(options?.weights)
        return twin.inspect(path, options)
      },
    }
    await made({ ...config, networks: { ...config.networks, baseline } }, join(folder, 'out'), runtime)
    expect(new Set(named)).toEqual(new Set(['teacher']))
  })

  it('a rejected tumor is planned again, at most as often as allowed, and each attempt is a line', async () => {
    const folder = temporaryFolder()
    await writeFile(join(folder, 'b.pt'), '')
    const { ledger } = await made(withBaseline(folder, { quality: seen }), join(folder, 'out'))
    const tries = new Map<string, SynthesisLine[]>()
    for (const line of ledger) {
      const key = `${line.case} ${line.variant} ${line.tumor}`
      tries.set(key, [...(tries.get(key) ?? []), line])
    }
    expect(tries.size).toBe(12)
    for (const lines of tries.values()) {
      expect(lines.map(({ attempt }) => attempt)).toEqual(lines.map((_, at) => at))
      expect(lines.slice(0, -1).every(({ verdict }) => verdict !== 'accepted')).toBe(true)
      expect(lines.at(-1)!.verdict === 'accepted' || lines.length === 4).toBe(true)
      expect(new Set(lines.map(({ plan }) => JSON.stringify(plan))).size).toBe(lines.length)
    }
    expect(ledger.some(({ verdict }) => verdict === 'rejected')).toBe(true)
    expect(ledger.some(({ verdict }) => verdict === 'accepted')).toBe(true)
  })

  it('with one share for a case its tumors are tried, kept and given up together', async () => {
    const folder = temporaryFolder()
    await writeFile(join(folder, 'b.pt'), '')
    const { ledger } = await made(
      withBaseline(folder, { quality: { ...seen, shareOver: 'case', shareSeenThreshold: 0.9 } }),
      join(folder, 'out'),
    )
    const rounds = new Map<string, SynthesisLine[]>()
    for (const line of ledger) {
      const key = `${line.case} ${line.variant} ${line.attempt}`
      rounds.set(key, [...(rounds.get(key) ?? []), line])
    }
    for (const lines of rounds.values()) expect(new Set(lines.map(({ verdict }) => verdict)).size).toBe(1)
  })
})

it('leaves nothing of a file that an earlier start was killed in', async () => {
  const folder = temporaryFolder()
  const out = join(folder, 'out')
  for (const name of ['imagesTr', 'pictures']) await mkdir(join(out, name), { recursive: true })
  const half = [
    'imagesTr/a_v000.nii.gz.0123456789abcdef0123456789abcdef.tmp',
    'pictures/a_v000_t0_a0.json.tmp',
  ]
  for (const name of half) await writeFile(join(out, name), 'half')
  await made(configOf(folder), out)
  for (const name of half) await expect(readFile(join(out, name))).rejects.toThrow(/ENOENT/)
})

describe('a specialist data set', () => {
  it('has tumors in its organ only, and states the region ids of its labels', async () => {
    const folder = temporaryFolder()
    const config = configOf(folder, { synthesize: { specialist: 'liver' } })
    const { ledger } = await made(config, join(folder, 'out'))
    expect(new Set(ledger.map(({ organ }) => organ))).toEqual(new Set(['liver']))
    const list = JSON.parse(await readFile(join(folder, 'out', 'dataset.json'), 'utf8'))
    expect(list.labels).toEqual({ '0': 'background', '1': 'liver', '2': 'liver tumor' })
    const { cases } = await readManifest(join(folder, 'out', 'manifest.json'))
    expect(cases[0]?.labelMap).toEqual({ '0': 0, '1': 1, '2': 2 })
    expect(writtenLabels(configOf(folder, { synthesize: { specialist: 'kidney' } })).map).toEqual([
      0, 0, 0, 0, 0, 1, 2,
    ])
  })
})

describe('a host with ignored voxels', () => {
  it.each([
    ['nnunet', { ignore: 7 }],
    ['plain', { '7': 'ignore' }],
  ] as const)('keeps them ignored in layout %s', async (layout, named) => {
    const folder = temporaryFolder()
    const hosts = hostsNamed('a').map((host) => ({ ...host, labelMap: { '1': 1, '4': 255 } }))
    const out = join(folder, 'out')
    await made(configOf(folder, { synthesize: { layout } }), out, undefined, undefined, hosts)
    expect(JSON.parse(await readFile(join(out, 'dataset.json'), 'utf8')).labels).toMatchObject(named)
    const { cases } = await readManifest(join(out, 'manifest.json'))
    expect(cases[0]?.labelMap).toMatchObject({ '1': 1, '7': 255 })
  })
})

test('an organ that the curriculum cannot aim at is a warning of a synthesis', async () => {
  const config = configOf(temporaryFolder(), { synthesize: { variants: 1 } })
  const measured = { found: 0, missed: 3 }
  const curriculum = [
    { organ: 'pancreas', diameterMm: [0, 5], ...measured },
    { organ: 'liver', diameterMm: [5, 10], ...measured },
  ] as const
  const settings = synthesisSettings({ ...config, simulation: { ...config.simulation, curriculum } })
  const notes: string[] = []
  const out = temporaryFolder()
  const note = (text: string, level = 'info'): void => void notes.push(`${level}: ${text}`)
  const context: StageContext = { runtime: memoryRuntime(), signal: undefined, logDirectory: out, note }
  await synthesizeCases({ settings, out, hosts: hostsNamed('a') }, context)
  expect(notes.filter((text) => text.includes('curriculum'))).toEqual([
    expect.stringMatching(/^warning: simulation.curriculum: aims at no diameter of the pancreas /),
  ])
})
