import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { organSlices, type TumorSite } from '../../src/simulation/site.js'

function slicesByCounting({ label, shape, organLabel }: TumorSite) {
  const slices = [...label].flatMap((id, at) => (id === organLabel ? [at % shape[2]] : []))
  return slices.length === 0 ? null : [Math.min(...slices), Math.max(...slices)]
}

describe('organSlices', () => {
  it('are the first and last slice with the organ, for any shape, other ids and memory', () => {
    const cases = fc.record({
      shape: fc.tuple(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 20 }),
      ),
      ids: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 3 })), { maxLength: 12 }),
      offset: fc.nat(5),
    })
    fc.assert(
      fc.property(cases, ({ shape, ids, offset }) => {
        const voxels = shape[0] * shape[1] * shape[2]
        const label = new Uint8Array(voxels + offset).subarray(offset)
        for (const [at, id] of ids) label[at % voxels] = id
        const site = { label, shape, organLabel: 1 }
        expect(organSlices(site)).toEqual(slicesByCounting(site))
      }),
      { numRuns: 400 },
    )
  })

  it('finds an organ of one voxel in a large crop', () => {
    const label = new Uint8Array(96 ** 3)
    label[96 ** 3 - 50] = 7
    expect(organSlices({ label, shape: [96, 96, 96], organLabel: 7 })).toEqual([46, 46])
    expect(organSlices({ label, shape: [96, 96, 96], organLabel: 1 })).toBeNull()
  })
})
