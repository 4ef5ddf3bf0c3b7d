import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { trainingFeed } from '../../../src/pipeline/train/feed.js'
import type { PlannedCrop } from '../../../src/sampling/sampling-plan.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig } from './memory-run.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** A feed whose crops have no tumors, and how many of the crops it has served are still in memory. */
async function feedOf(judges: boolean) {
  const served: WeakRef<object>[] = []
  const feed = trainingFeed({
    config: await memoryConfig('baseline', temporaryFolder()),
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
