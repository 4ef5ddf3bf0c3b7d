import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { beforeEach, describe, expect, it, test } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { Shard } from '../../../src/curation/datasets/shard.js'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import { auditDataAt } from '../../../src/pipeline/data/audit.js'
import { checkDataAt } from '../../../src/pipeline/data/check.js'
import { evaluateMasks } from '../../../src/pipeline/evaluate/run.js'
import type { EvaluateOptions } from '../../../src/pipeline/evaluate/settings.js'
import { type Merged, mergeShardsAt } from '../../../src/pipeline/flows/merge.js'
import { predictMasks } from '../../../src/pipeline/predict/run.js'
import { type CaseToPrepare, preparationDirectory, prepareCases } from '../../../src/pipeline/prepare/run.js'
import { synthesizeCases } from '../../../src/pipeline/synthesize/run.js'
import { synthesisSettings } from '../../../src/pipeline/synthesize/settings.js'
import { checkpointFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { lesion, measuredCase, overlap } from '../../helpers/measures.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../train/memory-run.js'

let folder: string
let context: StageContext

beforeEach(() => {
  folder = temporaryFolder()
  context = contextOf(memoryRuntime())
})

function contextOf(runtime: StageContext['runtime']): StageContext {
  return { runtime, signal: undefined, logDirectory: folder, note: () => {} }
}

/** Run all shards but those that are left out, the last one first. */
async function inShards(
  count: number,
  work: (shard: Shard) => Promise<unknown>,
  without: readonly number[] = [],
) {
  for (let index = count; index >= 1; index--)
    if (!without.includes(index)) await work({ index, count, commandLine: 'freetumor work' })
}

/** The files below a folder except for records of shards, without times and the names of folders. */
function filesOf(top: string): Record<string, string> {
  const names = existsSync(top) ? readdirSync(top, { recursive: true, withFileTypes: true }) : []
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(
    files
      .map((file) => [relative(top, file), file] as const)
      .filter(([name]) => !/^shards\/|(^|\/)\.lock$/.test(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, file]) => [name, timeless(readFileSync(file, 'utf8'), top)]),
  )
}

function timeless(text: string, top: string): string {
  return (
    text
      .replaceAll(top, '')
      // the hash of a ledger is that of its times, too
      .replaceAll(/("path":"ledger\.jsonl","sha256":)"[0-9a-f]{64}"/g, '$1')
      .replaceAll(/"time":"[^"]*"|\d{4}-\d\d-\d\d \d\d:\d\d UTC|<(title|h1)[\s\S]*?<\/\1>/g, '')
  )
}

/** The result, with `whole` for each folder. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(/\/(whole|parted)\b/g, '/whole'))

async function merged<C extends Merged['command']>(path: string, command: C) {
  const found = await mergeShardsAt(path, context)
  expect(found.command).toBe(command)
  return found as Extract<Merged, { command: C }>
}

const WHOLE = 'whole'
const PARTED = 'parted'
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const inFolder = (name: string): string => join(folder, name)

describe('merged shards are the command without shards:', () => {
  it('a preparation, whose cases one shard could not read', async () => {
    const failing = memoryRuntime()
    const prepare: typeof failing.prepare = async function* (spec, call) {
      for await (const outcome of failing.prepare(spec, call))
        if (!outcome.caseId.endsWith('1')) yield outcome
        else yield { caseId: outcome.caseId, error: { kind: 'data', message: 'damaged', hint: 'repair' } }
    }
    context = contextOf({ ...failing, prepare })
    for (const name of [WHOLE, PARTED]) mkdirSync(inFolder(name))
    const configs = await Promise.all(
      [WHOLE, PARTED].map((name) => memoryConfig('segmentation', inFolder(name))),
    )
    const [whole, parted] = configs as [(typeof configs)[0], (typeof configs)[0]]
    const expected = await prepareCases(whole, context)
    expect(expected.failed).toHaveLength(1)
    await inShards(3, (shard) => prepareCases(parted, context, { shard }))
    const { result, directory } = await merged(parted.prepare.cache, 'prepare')
    expect(plain(result)).toEqual(plain(expected))
    expect(directory).toBe(preparationDirectory(parted))
    const cachedBy = ({ prepare: { cache } }: typeof whole) =>
      Object.keys(filesOf(cache)).filter((name) => !name.startsWith('prepare-'))
    expect(cachedBy(parted)).toEqual(cachedBy(whole))
  })

  it('a synthesis: ledger, lists, manifest and page', async () => {
    const hosts = ['b', 'a', 'd', 'c', 'e'].map(hostNamed)
    const settings = synthesisSettings(synthesisConfig(folder))
    const options = { settings, hosts }
    const expected = await synthesizeCases({ ...options, out: inFolder(WHOLE) }, context)
    expect(expected.tumors.kept).toBeGreaterThan(0)
    const out = inFolder(PARTED)
    await inShards(2, (shard) => synthesizeCases({ ...options, out, shard }, context))
    expect(existsSync(join(out, 'ledger.jsonl'))).toBe(false)
    const { result } = await merged(out, 'synthesize')
    expect(plain(result)).toEqual(plain(expected))
    const files = filesOf(out)
    expect(files).toEqual(filesOf(inFolder(WHOLE)))
    await merged(out, 'synthesize')
    expect(filesOf(out)).toEqual(files)
    // another number of shards reuses every variant whose files exist
    for (const file of scansIn(out))
      for (const of of ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr']) write(`${PARTED}/${of}/${file}`)
    rmSync(join(out, 'shards'), { recursive: true })
    const asked: string[] = []
    const onProgress = ({ caseId }: { caseId: string }): void => void asked.push(caseId)
    await inShards(3, (shard) => synthesizeCases({ ...options, out, shard, onProgress }, context))
    await merged(out, 'synthesize')
    expect(asked).toEqual([])
    expect(filesOf(out)).toMatchObject(files)
  })

  it('a prediction: the record of its masks', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'broken']) write(`scans/${name}.nii.gz`)
    const checkpoint = write('model.pt')
    const predicted: string[] = []
    context = contextOf(memoryRuntime(answers(predicted)))
    const options = { checkpoint, images: inFolder('scans') }
    const expected = await predictMasks({ ...options, out: inFolder(WHOLE) }, context)
    expect(expected.failed).toHaveLength(1)
    const out = inFolder(PARTED)
    await inShards(3, (shard) => predictMasks({ ...options, out, shard }, context))
    const { result } = await merged(out, 'predict')
    expect(plain(result)).toEqual(plain(expected))
    expect(filesOf(out)).toEqual(filesOf(inFolder(WHOLE)))
    // the merged record is that of a prediction without shards, which predicts nothing again
    predicted.length = 0
    await predictMasks({ ...options, out }, context)
    expect(predicted).toEqual(['broken'])
    const overwrite = predictMasks(
      { ...options, out, overwrite: true, shard: { index: 1, count: 3 } },
      context,
    )
    await expect(overwrite).rejects.toThrow('--overwrite: cannot be used with --shard')
  })

  it('an evaluation: intervals over all cases, comparison, worst cases and page', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'broken']
    for (const id of ids) for (const of of ['masks', 'others', 'labels']) write(`${of}/${id}.nii.gz`)
    context = contextOf(memoryRuntime(answers([])))
    const options: EvaluateOptions = {
      predictions: inFolder('masks'),
      labels: inFolder('labels'),
      against: inFolder('others'),
      profile: 'lesion',
      pictures: 2,
      seed: 5,
    }
    const expected = await evaluateMasks({ ...options, out: inFolder(WHOLE) }, context)
    expect(expected.summary.tumorDice?.ci).not.toBeNull()
    const out = inFolder(PARTED)
    await inShards(3, (shard) => evaluateMasks({ ...options, out, shard }, context))
    expect(existsSync(join(out, 'summary.json'))).toBe(false)
    const { result } = await merged(out, 'evaluate')
    expect(plain(result)).toEqual(plain(expected))
    expect(filesOf(out)).toEqual(filesOf(inFolder(WHOLE)))
    const shard = { index: 1, count: 3 }
    await expect(evaluateMasks({ ...options, shard }, context)).rejects.toThrow('(expected --out)')
    // a file of the shard of `c`, which runs again alone
    writeFileSync(join(folder, 'others/c.nii.gz'), 'another mask')
    await expect(mergeShardsAt(out, context)).rejects.toThrow(
      `1 of 3 shards are not complete:\n  shard 1: ${folder}/others/c.nii.gz changed after the shard had begun`,
    )
    await evaluateMasks({ ...options, out, shard: { ...shard, commandLine: 'freetumor work' } }, context)
    await merged(out, 'evaluate')
    for (const of of ['masks', 'others', 'labels']) write(`${of}/new.nii.gz`)
    await expect(mergeShardsAt(out, context)).rejects.toThrow(
      'the data sets changed after the shards (expected 8 cases, found 9 or others)',
    )
  })

  it('a check: findings about the whole list and about each case', async () => {
    await phantomsWithDuplicate()
    write('two/labelsTr/phantom_000.nii.gz')
    const options = { cwd: folder, workers: 1 }
    const expected = await checkDataAt(['one', 'two'], { ...options, out: WHOLE }, context)
    expect(expected.findings.length).toBeGreaterThan(0)
    await inShards(2, (shard) => checkDataAt(['one', 'two'], { ...options, out: PARTED, shard }, context))
    const { result } = await merged(inFolder(PARTED), 'data check')
    expect(result).toEqual(expected)
    expect(filesOf(inFolder(PARTED))).toEqual(filesOf(inFolder(WHOLE)))
    const label = join(folder, 'one/labelsTr/phantom_000.nii.gz')
    const bytes = readFileSync(label)
    writeFileSync(label, bytes.subarray(0, -1))
    await expect(mergeShardsAt(inFolder(PARTED), context)).rejects.toThrow(
      `${label} changed after the shard had begun`,
    )
    const alone = checkDataAt(['one'], { ...options, shard: { index: 1, count: 2 } }, context)
    await expect(alone).rejects.toThrow('data check --shard: no folder for the record of the shard')
  })

  it('an audit: a copy of a scan in another shard is found, and no shard alone states that there is no leak', async () => {
    await phantomsWithDuplicate()
    const options = { cwd: folder, workers: 1, out: PARTED }
    const expected = await auditDataAt(['one', 'two'], { ...options, out: WHOLE, cache: 'cache' }, context)
    expect(expected.pairs).toMatchObject([{ kind: 'exact' }])
    const parts: unknown[] = []
    await inShards(4, async (shard) => {
      parts.push(await auditDataAt(['one', 'two'], { ...options, cache: 'other', shard }, context))
    })
    expect(parts).toMatchObject(Array(4).fill({ ok: false, complete: false, numCases: 1, pairs: [] }))
    const { result } = await merged(inFolder(PARTED), 'data audit')
    expect(result).toEqual(expected)
    expect(filesOf(inFolder(PARTED))).toEqual(filesOf(inFolder(WHOLE)))
    rmSync(join(folder, 'two/imagesTr/phantom_000.nii.gz'))
    await expect(mergeShardsAt(inFolder(PARTED), context)).rejects.toThrow('the data sets changed')
  })
})

test('a merge without all shards writes nothing', async () => {
  const settings = synthesisSettings(synthesisConfig(folder))
  const options = { settings, hosts: ['a', 'b', 'c'].map(hostNamed), out: inFolder('out') }
  await inShards(3, (shard) => synthesizeCases({ ...options, shard }, context), [2])
  const before = filesOf(options.out)
  await expect(mergeShardsAt(options.out, context)).rejects.toThrow(
    'shard 2: it has not finished; run `freetumor work --shard 2/3`',
  )
  expect(filesOf(options.out)).toEqual(before)
})

test('a shard without cases is complete', async () => {
  for (const of of ['masks', 'labels']) write(`${of}/a.nii.gz`)
  context = contextOf(memoryRuntime(answers([])))
  const out = inFolder('out')
  const options = {
    predictions: inFolder('masks'),
    labels: inFolder('labels'),
    profile: 'lesion',
    out,
  } as const
  await inShards(3, (shard) => evaluateMasks({ ...options, shard }, context))
  expect((await merged(out, 'evaluate')).result.summary.numCases).toBe(1)
})

test('a merge names folders without shards', async () => {
  await expect(mergeShardsAt(folder, context)).rejects.toThrow(`${folder}: holds no shards`)
})

function scansIn(out: string): string[] {
  const lines = readFileSync(join(out, 'ledger.jsonl'), 'utf8').trim().split('\n')
  return lines.flatMap((line) => (JSON.parse(line) as { file?: string }).file ?? [])
}

function write(name: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, name)
  return path
}

/** Two data sets of two cases each; one case of the second is a copy of one of the first. */
async function phantomsWithDuplicate(): Promise<void> {
  const kind = { cases: 2, region: 'abdomen', sizeVoxels: 32 } as const
  await writePhantomDataset({ ...kind, out: join(folder, 'one'), seed: 1 })
  await writePhantomDataset({ ...kind, out: join(folder, 'two'), seed: 2 })
  const copied = (of: string): string => join(folder, of, 'imagesTr/phantom_001.nii.gz')
  cpSync(copied('one'), copied('two'))
}

function answers(predicted: string[]): Parameters<typeof memoryRuntime>[0] {
  const broken = (caseId: string) => ({ caseId, error: { kind: 'data', message: 'broken', hint: 'repair' } })
  const stated = { windowHu: [-175, 250], spacingMm: [1.5, 1.5, 1.5], patchVoxels: [96, 96, 96] }
  return {
    inspect: (path) =>
      checkpointFacts([segmentorFacts(3)], { path, metadata: stated, sha256: 'f'.repeat(64) }),
    predict: ({ id, name }, { directory }) => {
      predicted.push(id)
      if (id === 'broken') return broken(id)
      writeFileSync(join(directory, `${name}.nii.gz`), id)
      const files = { [`${name}.nii.gz`]: sha256(id) }
      const seconds = { read: 1, segment: 2, write: 3 }
      return {
        caseId: id,
        result: { files, seconds, windows: { all: 8, computed: 8, blank: 0, leftOut: 0 }, labelVoxels: [1] },
      }
    },
    evaluate: ({ id, prediction }) => {
      if (id === 'broken') return broken(id)
      const hits = prediction.includes('others') ? 3 : 1 + id.charCodeAt(0) - 97
      const lesions = [lesion('true', 12, hits > 2), lesion('predicted', 9, hits > 2)]
      const { caseId, patient, ...result } = { ...measuredCase(id, overlap(hits, 5, 1)), lesions }
      return { caseId: id, result: JSON.parse(JSON.stringify({ ...result, tumor: overlap(hits, 5, 1) })) }
    },
    picture: ({ id, output }) => {
      const pixel = Buffer.from([1]).toString('base64')
      const plane = { name: 'axial', width: 1, height: 1, image: pixel, truth: pixel, predicted: pixel }
      writeFileSync(output, JSON.stringify({ case: id, planes: [plane] }))
      return { caseId: id, result: { output } }
    },
  }
}

function hostNamed(id: string): CaseToPrepare {
  return {
    id: `Mine/${id}`,
    dataset: 'Mine',
    patient: `patient-${id}`,
    region: 'abdomen',
    role: { kind: 'host' },
    image: `/data/${id}.nii.gz`,
    label: `/data/${id}-label.nii.gz`,
    fold: null,
    split: 'training',
    labelMap: { '1': 1 },
  }
}

function synthesisConfig(parent: string) {
  return resolveConfig({
    job: 'segmentation',
    name: 'synthetic',
    data: { datasets: [{ name: 'hosts', role: 'host' }] },
    prepare: { cache: join(parent, 'cache') },
    simulation: {
      organWeights: { liver: 1, pancreas: 0, kidney: 0 },
      sizeOdds: { tiny: 1, small: 1, medium: 0, large: 0 },
      texture: { sizeVoxels: [64, 64, 64], count: 2 },
    },
    sampling: { patchVoxels: [32, 32, 32] },
    networks: { segmentor: { kind: 'small', levels: 1 }, baseline: null, generator: null },
    training: { target: 'all' },
    synthesize: { variants: 2, tumorsPerVariant: 2, triesPerTumor: 4 },
    report: { pictures: 0 },
  })
}
