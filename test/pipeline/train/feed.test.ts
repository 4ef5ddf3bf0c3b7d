import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { RunConfig } from '../../../src/config/schema.js'
import { trainingFeed } from '../../../src/pipeline/train/feed.js'
import type { LedgerLine } from '../../../src/quality/ledger.js'
import type { PlannedCrop } from '../../../src/sampling/sampling-plan.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig } from './memory-run.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** A feed whose crops have no tumors, and how many of the crops it has served are still in memory. */
async function feedOf(judges: boolean) {
  const served: WeakRef<object>[] = []
  const config = await memoryConfig('baseline', temporaryFolder())
  const feed = trainingFeed({
    config,
    policy: config.quality,
    feeder: {
      step: async (step) => {
        const crop = { item: step, crop: 0, noRoom: null, tumors: [], augmentation: { flip: [] } }
        // the feed leaves out the voxels and keeps the other parts of a crop as they are
        served.push(new WeakRef(crop.augmentation))
        return [crop as unknown as PlannedCrop]
      },
      close: async () => {},
    },
    ranks: 1,
    ranksHere: 1,
    judges,
    ready: Promise.resolve(),
    onLedger: () => {},
    onSynthesis: () => {},
  })
  const remembered = async (): Promise<number> => {
    await setImmediate()
    collectGarbage()
    return served.filter((crop) => crop.deref() !== undefined).length
  }
  return { feed, remembered }
}

it('remembers no step of a job that judges none', async () => {
  const { feed, remembered } = await feedOf(false)
  for (let step = 0; step < 100; step++) await feed.crops(step, 0)
  // the last one may still be on the stack
  expect(await remembered()).toBeLessThanOrEqual(1)
})

it('remembers a step that is judged until its ranks have sent their measures', async () => {
  const { feed, remembered } = await feedOf(true)
  for (let step = 0; step < 100; step++) await feed.crops(step, 0)
  expect(await remembered()).toBe(100)
  for (let step = 0; step < 99; step++) await feed.judge(step, 0, [])
  expect(await remembered()).toBe(1)
})

/** A feed of crops with two plans each, and its lines and events. */
async function judgingFeed(change: Partial<RunConfig['quality']> = {}, ranksHere = 1) {
  const config = await memoryConfig('segmentation', temporaryFolder())
  const lines: LedgerLine[] = []
  const events: number[] = []
  const tumor = (draw: number) => ({ organ: 'liver', size: 'small', draw, box: new Uint8Array(1) })
  const feed = trainingFeed({
    config,
    policy: { ...config.quality, ...change },
    feeder: {
      step: async (step, rank) => {
        const crop = {
          item: 10 * step + rank,
          crop: 0,
          caseId: 'a',
          noRoom: null,
          tumors: [tumor(0), tumor(1)],
        }
        return [crop as unknown as PlannedCrop]
      },
      close: async () => {},
    },
    ranks: ranksHere,
    ranksHere,
    judges: true,
    ready: Promise.resolve(),
    onLedger: (line) => lines.push(line),
    onSynthesis: ({ step }) => events.push(step),
  })
  const measured = (item: number, draw: number, seenVoxels: number) => [
    { item, crop: 0, draw, syntheticVoxels: 100, seenVoxels, alreadySeenVoxels: 0, contrast: 0, more: {} },
  ]
  return { feed, lines, events, measured }
}

it('asks for the next plan of a rejected tumor, and for none after the last or an accepted one', async () => {
  const { feed, lines, events, measured } = await judgingFeed()
  await feed.crops(0, 0)
  expect(await feed.judge(0, 0, measured(0, 0, 10))).toMatchObject([{ accepted: false, nextDraw: 1 }])
  expect(events).toEqual([])
  expect(await feed.judge(0, 0, measured(0, 1, 90))).toMatchObject([{ accepted: true, nextDraw: null }])
  expect(events).toEqual([0])
  await feed.crops(1, 0)
  await feed.judge(1, 0, measured(10, 0, 10))
  expect(await feed.judge(1, 0, measured(10, 1, 10))).toMatchObject([{ accepted: false, nextDraw: null }])
  expect(lines.map(({ item, draw, verdict }) => [item, draw, verdict])).toEqual([
    [0, 0, 'rejected'],
    [0, 1, 'accepted'],
    [10, 0, 'rejected'],
    [10, 1, 'rejected'],
  ])
})

it('concludes a step when no rank has a further plan to try', async () => {
  const { feed, events, measured } = await judgingFeed({}, 2)
  for (const rank of [0, 1]) await feed.crops(0, rank)
  await feed.judge(0, 1, measured(1, 0, 90))
  await feed.judge(0, 0, measured(0, 0, 10))
  expect(events).toEqual([])
  await feed.judge(0, 0, measured(0, 1, 10))
  expect(events).toEqual([0])
})

it('keeps accepted tumors by a chance that depends only on seed, item, crop and plan', async () => {
  const kept = async (): Promise<boolean[]> => {
    const { feed, measured } = await judgingFeed({ keepProbability: 0.5 })
    const verdicts: boolean[] = []
    for (let step = 0; step < 40; step++) {
      await feed.crops(step, 0)
      verdicts.push((await feed.judge(step, 0, measured(10 * step, 1, 90)))[0]!.accepted)
    }
    return verdicts
  }
  const first = await kept()
  expect(await kept()).toEqual(first)
  const share = first.filter(Boolean).length / first.length
  expect(share).toBeGreaterThan(0.2)
  expect(share).toBeLessThan(0.8)
})
