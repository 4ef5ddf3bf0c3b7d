import { getEventListeners } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointError, DataError, StoppedError, UsageError } from '../../../src/errors.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import {
  type OpenRuntimeOptions,
  openWarmRuntime,
  type PaintedTumor,
  type SynthesisRequest,
  type WarmRuntime,
} from '../../../src/pipeline/serve/warm-runtime.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { PAINTED_HU } from '../../../src/runtime/in-memory-serving.js'
import { openStream } from '../../../src/simulation/random.js'
import { simulateTumor } from '../../../src/simulation/tumor.js'
import type { Affine, LabelMap, Volume } from '../../../src/volume/volume.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const SIDE = 40
const SHAPE = [SIDE, SIDE, SIDE] as const
const GRID: Affine = [1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1]
const STATED = {
  region: 'abdomen',
  windowHu: [-175, 250],
  spacingMm: [1.5, 1.5, 1.5],
  patchVoxels: [32, 32, 32],
}
const own = {
  'baseline.pt': checkpointFacts([segmentorFacts(7)], { metadata: STATED }),
  'generator.pt': checkpointFacts([generatorFacts(3)], {
    metadata: STATED,
    channelMode: { mode: 'organ', assumed: false, untouchedOutputs: [] },
  }),
}

/** A runtime on the twin; files hold what is said. */
function open(
  options: OpenRuntimeOptions,
  files: Readonly<Record<string, CheckpointFacts>> = own,
): Promise<WarmRuntime> {
  const cache = temporaryFolder()
  const runtime = inMemoryRuntime({
    inspect: (path) => ({ ...files[path.slice(path.lastIndexOf('/') + 1)]!, path }),
  })
  return openWarmRuntime({ cache, ...options }, runtime)
}

const both = { baseline: 'baseline.pt', generator: 'generator.pt' }

function image(affine: Affine = GRID): Volume<Int16Array> {
  return { data: new Int16Array(SIDE ** 3).fill(60), shape: SHAPE, affine }
}

/** All liver. */
function liver(id = 1): LabelMap {
  return { data: new Uint8Array(SIDE ** 3).fill(id), shape: SHAPE, affine: GRID }
}

function wish(seed: number, more: Partial<SynthesisRequest> = {}): SynthesisRequest {
  return { image: image(), label: liver(), tumor: { organ: 'liver', size: 'small', seed }, ...more }
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const one of stream) found.push(one)
  return found
}

describe('the settings of a warm runtime', () => {
  it('come from the metadata of the files', async () => {
    await using runtime = await open(both)
    expect(runtime.device).toBe('memory')
    const { region, prepare, sampling, networks } = runtime.config
    expect({ region, ...prepare, ...sampling }).toMatchObject(STATED)
    expect(networks.generator?.channel).toBe('organ')
  })

  it('are the published ones of a region if the files have no metadata', async () => {
    const files = { 'TGAN.pt': checkpointFacts([generatorFacts(1)]) }
    await using runtime = await open({ generator: 'TGAN.pt', region: 'chest' }, files)
    expect(runtime.config.prepare).toMatchObject({ spacingMm: [1.25, 1.25, 5], windowHu: [-1000, 500] })
    expect(runtime.config.sampling.patchVoxels).toEqual([192, 192, 32])
  })

  it('are never guessed', async () => {
    const files = { 'mine.pt': checkpointFacts([segmentorFacts(7)]) }
    await expect(open({ baseline: 'mine.pt' }, files)).rejects.toThrow('mine.pt: does not state the region')
    const needed = { order: null, assumed: false, needed: true } as const
    const unstated = { 'mine.pt': checkpointFacts([segmentorFacts(7)], { patchMerging: needed }) }
    const untold = open({ baseline: 'mine.pt', region: 'abdomen' }, unstated)
    await expect(untold).rejects.toThrow('does not state the patch-merging order')
    await using told = await open({ baseline: 'mine.pt', region: 'abdomen', merging: 'legacy' }, unstated)
    expect(told.config.networks.baseline?.patchMerging).toBe('legacy')
  })

  it('must agree in all files that state them', async () => {
    await expect(open({ ...both, windowHu: [-100, 100] })).rejects.toThrow(
      /windowHu: the option states \[-100,100\], .*generator.pt states \[-175,250\]/,
    )
    await expect(open({ ...both, region: 'chest' })).rejects.toThrow('region: the option states "chest"')
  })

  it('take keys of a configuration and refuse unknown ones in its words', async () => {
    await using runtime = await open({ ...both, quality: { shareSeenThreshold: 0.2 } })
    expect(runtime.config.quality.shareSeenThreshold).toBe(0.2)
    const wrong = open({ ...both, quality: { shareSeen: 0.2 } as never })
    await expect(wrong).rejects.toThrow('openRuntime: unknown key quality.shareSeen')
  })

  it('select a set of weights for both files or for each', async () => {
    await using same = await open({ ...both, weights: 'ema' })
    expect(same.config.networks).toMatchObject({
      baseline: { weights: 'ema' },
      generator: { weights: 'ema' },
    })
    await using each = await open({ ...both, weights: { baseline: 'teacher' } })
    expect(each.config.networks).toMatchObject({
      baseline: { weights: 'teacher' },
      generator: { weights: null },
    })
  })

  it.each(['generator', 'baseline'] as const)('refuse a plug-in as %s by name', async (network) => {
    const refused = open({ [network]: { plugin: { command: ['painter'] } } } as never)
    await expect(refused).rejects.toThrow(
      `openRuntime: wrong ${network} (expected the path of a checkpoint, found a plug-in)`,
    )
  })

  it('refuse a file that is no segmentor or no generator', async () => {
    await expect(open({ baseline: 'generator.pt' })).rejects.toBeInstanceOf(CheckpointError)
    await expect(open({ generator: 'baseline.pt' })).rejects.toBeInstanceOf(CheckpointError)
  })

  it('list the assumptions', async () => {
    const notes: string[] = []
    const assumed = { order: 'legacy', assumed: true, needed: false } as const
    const files = {
      'model_baseline_segmentor.pt': checkpointFacts([segmentorFacts(7)], { patchMerging: assumed }),
    }
    const options = { baseline: 'model_baseline_segmentor.pt', region: 'abdomen' } as const
    await using _ = await open({ ...options, onNote: (text) => void notes.push(text) }, files)
    expect(notes).toEqual([expect.stringContaining('patch-merging order legacy is assumed')])
  })

  it('warn of an organ that the curriculum cannot aim at', async () => {
    const notes: string[] = []
    const measured = { organ: 'liver', found: 0, missed: 3 } as const
    const curriculum = [
      { ...measured, diameterMm: [0, 5] },
      { ...measured, depthMm: [0, 5] },
    ] as never
    const onNote = (text: string): void => void notes.push(text)
    await using _ = await open({ ...both, simulation: { curriculum }, onNote })
    expect(notes).toContainEqual(expect.stringContaining('aims at no diameter of the liver'))
  })
})

describe('segment', () => {
  it('gives labels on the grid of the volume, and logits where they are asked for', async () => {
    await using runtime = await open({ baseline: 'baseline.pt' })
    const plain = await runtime.segment(image())
    expect(plain).toMatchObject({ shape: SHAPE, affine: GRID, logits: null })
    expect(plain.data.every((label) => label === 1)).toBe(true)
    const { logits } = await runtime.segment(image(), { logits: true })
    expect(logits?.data).toBeInstanceOf(Float32Array)
  })

  it.each([
    ['a shape that the data does not have', { shape: [40, 40, 39] }, '(expected 62400 values, found 64000)'],
    ['a side of 0', { shape: [0, 40, 40] }, 'expected three integers above 0'],
    ['an affine of no volume', { affine: [...GRID.slice(0, 10), 0, ...GRID.slice(11)] }, 'affine'],
    ['no affine', { affine: undefined }, 'wrong affine (expected 16 finite numbers'],
    [
      'a grid that would take too much memory',
      { affine: GRID.map((value) => value * (value === 1 ? 1 : 40)) },
      'too large for a tensor',
    ],
  ])('refuses %s before anything is sent', async (_, change, message) => {
    await using runtime = await open({ baseline: 'baseline.pt' })
    const call = runtime.segment({ ...image(), ...change } as never)
    await expect(call).rejects.toThrow(message)
    await expect(call).rejects.toBeInstanceOf(UsageError)
  })

  it('refuses NaN', async () => {
    await using runtime = await open({ baseline: 'baseline.pt' })
    const data = new Float32Array(SIDE ** 3)
    data[5] = Number.NaN
    await expect(runtime.segment({ ...image(), data })).rejects.toBeInstanceOf(DataError)
  })

  it('needs a baseline', async () => {
    await using runtime = await open({ generator: 'generator.pt' })
    await expect(runtime.segment(image())).rejects.toThrow('this runtime has no segmentor')
  })

  it('serves several calls at a time; one that is cancelled leaves the others alone', async () => {
    await using runtime = await open({ baseline: 'baseline.pt' })
    const stop = new AbortController()
    const calls = [
      runtime.segment(image()),
      runtime.segment(image(), { signal: stop.signal }),
      runtime.segment(image()),
    ]
    stop.abort()
    const ends = await Promise.allSettled(calls)
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((ends[1] as PromiseRejectedResult).reason).toBeInstanceOf(StoppedError)
  })
})

describe('synthesize', () => {
  it('plans by the seed, paints into the organ, and judges by the policy', async () => {
    await using runtime = await open(both)
    const again = [wish(1), wish(2), wish(1)]
    const [one, two, same] = (await all(runtime.synthesize(again))) as PaintedTumor[]
    expect(one!.label.data).toEqual(same!.label.data)
    expect(one!.label.data).not.toEqual(two!.label.data)
    expect(one!.request).toBe(again[0])
    const changed = one!.change.data.filter((voxel) => voxel === 1).length
    expect(changed).toBe(one!.verdict.measures.syntheticVoxels)
    for (const [at, voxel] of one!.change.data.entries()) {
      expect(one!.image.data[at]).toBe(60 + voxel * PAINTED_HU)
      expect(one!.label.data[at]).toBe(1 + voxel)
    }
    expect(one!.verdict).toMatchObject({ accepted: true, reason: 'seen' })
  })

  it('paints a plan of ones own', async () => {
    await using runtime = await open(both)
    const site = { label: liver().data, shape: SHAPE, organLabel: 1 }
    const found = simulateTumor(site, { size: 'tiny' }, openStream([1]))
    if (found.outcome !== 'placed') throw new Error(found.outcome)
    const [made] = (await all(runtime.synthesize([wish(0, { tumor: found.plan })]))) as PaintedTumor[]
    expect(made!.plan).toBe(found.plan)
    expect(made!.verdict).toMatchObject({ accepted: false, reason: 'notSeen' })
  })

  it('reports an organ that is too small for the tumor', async () => {
    await using runtime = await open(both)
    const request = wish(1, { label: liver(5) })
    expect(await all(runtime.synthesize([request]))).toEqual([{ outcome: 'organTooSmall', request }])
  })

  it('judges by rules alone without a baseline', async () => {
    await using runtime = await open({ region: 'abdomen', patchVoxels: [32, 32, 32] })
    const [made] = (await all(runtime.synthesize([wish(1)]))) as PaintedTumor[]
    expect(made!.verdict).toMatchObject({ accepted: true, reason: 'notJudged' })
  })

  it.each<[string, Partial<SynthesisRequest>, string]>([
    [
      'a label of another shape',
      { label: { ...liver(), shape: [20, 40, 80] } },
      'request 0, label: wrong shape (expected [40,40,40], found [20,40,80])',
    ],
    [
      'an id that the region does not know',
      { label: liver(7) },
      'request 0, label: wrong id (expected 0 to 6 of the region or 255, found 7)',
    ],
    [
      'a volume off the grid',
      { image: image([-1.5, ...GRID.slice(1)]) },
      'wrong grid (expected RAS at 1.5 x 1.5 x 1.5 mm',
    ],
    [
      'an organ of another region',
      { tumor: { organ: 'lung', size: 'tiny', seed: 1 } },
      'lung is no organ of the abdomen',
    ],
    [
      'an unknown size',
      { tumor: { organ: 'liver', size: 'huge' as never, seed: 1 } },
      'size huge is not recognised',
    ],
    [
      'a seed that is none',
      { tumor: { organ: 'liver', size: 'tiny', seed: 0.5 } },
      'wrong seed (expected an integer',
    ],
  ])('refuses %s and names the request', async (_, change, message) => {
    await using runtime = await open(both)
    await expect(all(runtime.synthesize([wish(0, change)]))).rejects.toThrow(message)
  })

  it('refuses organs whose tumors the baseline cannot see', async () => {
    const metadata = { ...STATED, labelNames: ['background', 'liver', 'liver tumor'] }
    const files = { 'liver.pt': checkpointFacts([segmentorFacts(3)], { metadata }) }
    await using runtime = await open({ baseline: 'liver.pt' }, files)
    const kidney = wish(1, { label: liver(5), tumor: { organ: 'kidney', size: 'small', seed: 1 } })
    await expect(all(runtime.synthesize([kidney]))).rejects.toThrow('has no tumor output for the kidney')
    expect(await all(runtime.synthesize([wish(1)]))).toHaveLength(1)
  })

  it('asks for requests as they are needed, and leaves with its reader', async () => {
    await using runtime = await open(both)
    let asked = 0
    let left = false
    async function* endless() {
      try {
        for (;;) yield wish(asked++)
      } finally {
        left = true
      }
    }
    for await (const _ of runtime.synthesize(endless(), { ahead: 3 })) break
    expect(asked).toBe(3)
    expect(left).toBe(true)
  })

  it('stops on request', async () => {
    await using runtime = await open(both)
    const stop = new AbortController()
    const stream = runtime.synthesize([wish(1), wish(2)], { signal: stop.signal })
    stop.abort()
    await expect(all(stream)).rejects.toBeInstanceOf(StoppedError)
  })
})

describe('closing', () => {
  it('refuses what comes after', async () => {
    const runtime = await open(both)
    await runtime.close()
    await expect(runtime.segment(image())).rejects.toThrow('the runtime was closed')
  })

  it('follows the signal of the opening', async () => {
    const stop = new AbortController()
    const runtime = await open({ ...both, signal: stop.signal })
    stop.abort()
    await expect(runtime.segment(image())).rejects.toBeInstanceOf(StoppedError)
    await expect(open({ ...both, signal: stop.signal })).rejects.toBeInstanceOf(StoppedError)
  })

  it('keeps logs of ones own', async () => {
    const logs = temporaryFolder()
    writeFileSync(join(logs, 'agent.log'), 'words')
    const runtime = await open({ ...both, logDirectory: logs })
    await runtime.close()
    expect(readFileSync(join(logs, 'agent.log'), 'utf8')).toBe('words')
  })
})

it('a closed runtime and finished calls leave no listener on the signal', async () => {
  const { signal } = new AbortController()
  const runtime = await open({ ...both, signal })
  await Promise.all(
    Array.from({ length: 12 }, (_, seed) => all(runtime.synthesize([wish(seed)], { signal }))),
  )
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  await runtime.close()
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
