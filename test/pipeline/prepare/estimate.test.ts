import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import { estimatePreparation } from '../../../src/pipeline/prepare/estimate.js'
import type { CaseToPrepare } from '../../../src/pipeline/prepare/run.js'
import { cacheDirectory } from '../../../src/pipeline/prepare/spec.js'
import { madeCase, madeImage } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('estimatePreparation', () => {
  it('reckons size and time from the headers of what the cache lacks', async () => {
    const root = temporaryFolder()
    const config = resolveConfig({
      job: 'baseline',
      data: { root, datasets: [{ name: 'BTCV' }] },
      prepare: { cache: join(root, 'cache'), workers: 2 },
    })
    const cases = await Promise.all(
      ["Made/it's a", 'Made/b', 'Made/c', 'Made/gone'].map(async (id, at) => {
        const item = await madeCase(join(root, String(at)), madeImage(), null, { id })
        return { ...item, labelMap: { '1': 1 } } satisfies CaseToPrepare
      }),
    )
    const gone = { ...cases[3]!, image: join(root, 'nowhere.nii.gz') }
    mkdirSync(join(cacheDirectory(config), 'Made%2Fit%27s%20a.zarr'), { recursive: true })
    const estimate = await estimatePreparation(config, [...cases.slice(0, 3), gone])
    // 24 voxels of 2 mm are 32 of 1.5 mm.
    const voxels = 2 * 32 ** 3
    expect(estimate).toMatchObject({ cases: 4, cached: 1, unreadable: 1 })
    expect(estimate.bytesAtMost).toBeGreaterThanOrEqual(3 * voxels)
    expect(estimate.bytesAtMost).toBeLessThan(3.01 * voxels)
    expect(estimate.freeBytes).toBeGreaterThan(0)
    const many = Array.from({ length: 2000 }, () => cases[1]!)
    expect((await estimatePreparation(config, many)).secondsAbout).toBeGreaterThan(estimate.secondsAbout)
  })
})
