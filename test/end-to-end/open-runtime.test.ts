import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataError, RuntimeCrashError, StoppedError } from '../../src/errors.js'
import type { PaintedTumor, SynthesisRequest, WarmRuntime } from '../../src/index.js'
import { openRuntime } from '../../src/index.js'
import type { TumorPlan } from '../../src/simulation/tumor.js'
import type { Affine, Volume } from '../../src/volume/volume.js'
import { runPython } from '../helpers/python.js'
import { keptFolder } from '../helpers/temporary.js'

const GRID: Affine = [1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1]
const folder = keptFolder()
const logs = join(folder, 'logs')
let runtime: WarmRuntime

beforeAll(async () => {
  runPython('test/fixtures/make_warm_checkpoints.py', folder)
  runtime = await openRuntime({
    device: 'cpu',
    baseline: join(folder, 'baseline.pt'),
    generator: join(folder, 'generator.pt'),
    cache: folder,
    logDirectory: logs,
    simulation: { texture: { sizeVoxels: [64, 64, 64], count: 1 } },
  })
})

afterAll(async () => {
  await runtime?.close()
})

function volume(side: number): Volume<Int16Array> {
  const data = Int16Array.from({ length: side ** 3 }, (_, at) => ((7919 * at) % 401) - 150)
  return { data, shape: [side, side, side], affine: GRID }
}

function request(seed: number, more: Partial<SynthesisRequest> = {}): SynthesisRequest {
  const image = volume(40)
  const label = { ...image, data: new Uint8Array(40 ** 3).fill(1) }
  return { image, label, tumor: { organ: 'liver', size: 'small', seed }, ...more }
}

async function painted(requests: readonly SynthesisRequest[]): Promise<PaintedTumor[]> {
  const found: PaintedTumor[] = []
  for await (const one of runtime.synthesize(requests)) {
    if (one.outcome !== 'painted') throw new Error(one.outcome)
    found.push(one)
  }
  return found
}

/** Processes whose environment names our logs. */
function processes(): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'latin1')
      return environment.includes(`FREETUMOR_LOG_DIRECTORY=${logs}`) ? [Number(name)] : []
    } catch {
      return []
    }
  })
}

describe('a warm runtime', () => {
  it('gives the labels that the network gives without us', async () => {
    const expected = runPython('test/fixtures/segment_reference.py', join(folder, 'baseline.pt')).trim()
    const labels = await runtime.segment(volume(32))
    expect(createHash('sha256').update(labels.data).digest('hex')).toBe(expected)
    expect(labels.networkSeconds).toBeGreaterThan(0)
  })

  it('gives logits of every class, whose largest is the label', async () => {
    const { data, logits } = await runtime.segment(volume(40), { logits: true })
    expect(logits!.shape).toEqual([7, 40, 40, 40])
    const value = (label: number, at: number): number => logits!.data[label * data.length + at]!
    expect(
      data.every((label, at) => [0, 1, 2, 3, 4, 5, 6].every((one) => value(one, at) <= value(label, at))),
    ).toBe(true)
  })

  it('paints the same tumors from the same seeds, in the organ alone, calls of both kinds at a time', async () => {
    const [first, second, labels] = await Promise.all([
      painted([request(1), request(2)]),
      painted([request(1), request(2, { output: 'windowed' })]),
      runtime.segment(volume(40)),
    ])
    expect(second[0]!.image.data).toEqual(first[0]!.image.data)
    expect(second[1]!.image.data).toBeInstanceOf(Float32Array)
    expect(second[1]!.change.data).toEqual(first[1]!.change.data)
    const [{ image, label, change, verdict, request: asked }] = first as [PaintedTumor]
    const differs = image.data.map((hu, at) => Number(hu !== asked.image.data[at]))
    expect(differs.some(Boolean)).toBe(true)
    expect(differs.every((one, at) => one <= change.data[at]!)).toBe(true)
    const tumor = label.data.filter((id) => id === 2).length
    expect(verdict.measures.syntheticVoxels).toBe(tumor)
    expect(verdict.measures.shareSeen).toBeGreaterThanOrEqual(0)
    expect(labels.data.length).toBe(40 ** 3)
  })

  it('refuses a tumor outside the textures with its own message, and continues', async () => {
    const [{ plan }] = (await painted([request(1)])) as [PaintedTumor]
    const beyond: TumorPlan = { ...plan, textureStart: [60, 60, 60] }
    const refused = painted([request(1, { tumor: beyond })])
    await expect(refused).rejects.toBeInstanceOf(DataError)
    await expect(refused).rejects.toThrow('texture 0: crop outside the textures')
    expect((await runtime.segment(volume(32))).shape).toEqual([32, 32, 32])
  })

  it('leaves a call that is cancelled between two windows', async () => {
    const stop = new AbortController()
    // 9261 windows: minutes, were it not left
    const long = runtime.segment(volume(192), { signal: stop.signal })
    const next = runtime.segment(volume(32))
    long.catch(() => {})
    await painted([]) // the long one is on its way
    stop.abort()
    await expect(long).rejects.toBeInstanceOf(StoppedError)
    expect((await next).data.length).toBe(32 ** 3)
  })

  it('killed, fails all calls with its own reason, and leaves nothing running', async () => {
    const calls = [runtime.segment(volume(192)), runtime.segment(volume(32))]
    calls.forEach((call) => void call.catch(() => {}))
    expect(processes().length).toBeGreaterThan(0)
    for (const pid of processes()) process.kill(pid, 'SIGKILL')
    for (const call of calls) {
      await expect(call).rejects.toBeInstanceOf(RuntimeCrashError)
      await expect(call).rejects.toThrow(/SIGKILL/)
    }
    await expect(runtime.segment(volume(32))).rejects.toThrow(/SIGKILL/)
    await runtime.close()
    expect(processes()).toEqual([])
  })
})

it('a runtime that cannot be opened reports the reason, and leaves no process', async () => {
  const damaged = openRuntime({ baseline: join(folder, 'nothing.pt'), region: 'abdomen', logDirectory: logs })
  await expect(damaged).rejects.toThrow('nothing.pt')
  expect(processes()).toEqual([])
})
