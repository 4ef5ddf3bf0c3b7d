import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mergedLabels } from '../../../src/curation/datasets/merged-labels.js'
import { masksOfRegion, mergeMasks, writeMergedLabel } from '../../../src/curation/datasets/organ-masks.js'
import { alignTo, moveAxes } from '../../../src/volume/geometry.js'
import { LABEL_SCHEMES } from '../../../src/volume/labels.js'
import { readNifti } from '../../../src/volume/nifti.js'
import type { Volume } from '../../../src/volume/volume.js'
import { writeVolume } from '../../helpers/layouts.js'
import { diagonal } from '../../helpers/nifti-fixtures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const NAMES = {
  liver: 1,
  liver_tumor: 2,
  hepatic_lesion: 2,
  pancreas: 3,
  pancreatic_pdac: 4,
  kidney_left: 5,
  kidney_right: 5,
  'kidney tumour': 6,
  spleen: 0,
  portal_vein: 0,
} as const
type Name = keyof typeof NAMES
const grid = { shape: [2, 3, 2] as const, affine: diagonal([1, 2, 3], [-5, 6, 7]) }
const TUMORS = new Set(LABEL_SCHEMES.abdomen.organs.map(({ tumorLabel }) => tumorLabel))

const maskSets = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...(Object.keys(NAMES) as Name[])),
    voxels: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
    turned: fc.boolean(),
    value: fc.constantFrom(1, 255),
  }),
  { selector: ({ name }) => name, minLength: 1 },
)

/** `FREETUMOR_PROPERTY_RUNS=5000` repeats the figure of the changelog. */
const RUNS = Number(process.env.FREETUMOR_PROPERTY_RUNS ?? 300)

describe('the grid of a case', () => {
  it('is that of its scan, so the mask with another grid is named', async () => {
    const folder = temporaryFolder()
    const files = ['ct', 'kidney_left', 'liver', 'pancreas'].map((name) => join(folder, `${name}.nii.gz`))
    const [image, ...masks] = files as [string, ...string[]]
    const data = new Uint8Array(12)
    // the masks are read in the order of their ids, so the wrong one comes first
    const wrong = { ...grid, affine: diagonal([1, 2, 4], [-5, 6, 7]) }
    for (const file of files) await writeVolume(file, { ...(file === masks[1] ? wrong : grid), data })
    const named = masks.map((file) => ({ name: basename(file, '.nii.gz'), file }))
    await expect(writeMergedLabel('a', named, 'abdomen', join(folder, 'out'), image)).rejects.toThrow(
      `${masks[1]}: not on the grid of its reference`,
    )
  })
})

describe('mergeMasks', () => {
  it('gives every voxel the id of its last mask in the order of precedence, and counts each overlap', async () => {
    await fc.assert(
      fc.asyncProperty(maskSets, async (set) => {
        const volumes = new Map(
          set.map(({ name, voxels, turned, value }) => {
            const volume: Volume = {
              ...grid,
              data: Uint8Array.from(voxels, (inside) => (inside ? value : 0)),
            }
            const moves = { source: [2, 0, 1], flip: [true, false, true] } as const
            return [name as string, turned ? moveAxes(volume, moves) : volume]
          }),
        )
        const masks = masksOfRegion(
          set.map(({ name }) => ({ name, file: name })),
          'abdomen',
        )
        expect(new Set(masks.map(({ name }) => name))).toEqual(
          new Set(set.flatMap(({ name }) => (NAMES[name] > 0 ? [name] : []))),
        )
        if (masks.length === 0) return
        const { label, overlaps } = await mergeMasks(masks, async (file) => volumes.get(file)!)
        // independently: by voxel, tumors over organs, then the higher id
        const merged = alignTo(label, grid)
        let shared = 0
        for (let n = 0; n < 12; n++) {
          const ids = set.flatMap(({ name, voxels }) => (voxels[n] && NAMES[name] > 0 ? [NAMES[name]] : []))
          const best = ids.toSorted((a, b) => rank(b) - rank(a))[0] ?? 0
          expect(merged.data[n]).toBe(best)
          shared += Math.max(0, ids.length - 1)
        }
        expect(overlaps.reduce((sum, { voxels }) => sum + voxels, 0)).toBe(shared)
      }),
      { numRuns: RUNS },
    )
  })

  const one = (value: number): Volume => ({ ...grid, data: Float32Array.from({ length: 12 }, () => value) })
  it.each([
    [0.5, /a: wrong mask values \(expected 0 and 1, found 0.5\)/],
    [2, /found 2/],
    [Number.NaN, /found NaN/],
    [-1, /found -1/],
  ])('refuses the value %s', async (value, message) => {
    await expect(mergeMasks([{ name: 'liver', file: 'a', id: 1 }], async () => one(value))).rejects.toThrow(
      message,
    )
  })

  it('refuses masks with two ids, and masks on two grids', async () => {
    const two: Volume = { ...grid, data: Uint8Array.from({ length: 12 }, (_, n) => (n === 3 ? 255 : 1)) }
    const liver = { name: 'liver', file: 'a', id: 1 }
    await expect(mergeMasks([liver], async () => two)).rejects.toThrow(/found 1 and 255/)
    const moved = { ...one(1), affine: diagonal([1, 2, 3], [0, 6, 7]) }
    const pancreas = { name: 'pancreas', file: 'b', id: 3 }
    await expect(
      mergeMasks([liver, pancreas], async (file) => (file === 'a' ? one(1) : moved)),
    ).rejects.toThrow(/b: not on the grid of its reference/)
  })
})

describe('writeMergedLabel', () => {
  async function written() {
    const folder = temporaryFolder()
    const file = (name: string) => join(folder, `${name}.nii.gz`)
    const mask = (at: number) => ({
      ...grid,
      data: Uint8Array.from({ length: 12 }, (_, n) => Number(n >= at)),
    })
    await writeVolume(file('liver'), mask(0))
    await writeVolume(file('liver_tumor'), mask(10))
    const masks = ['liver', 'liver_tumor', 'spleen'].map((name) => ({ name, file: file(name) }))
    return {
      folder,
      masks,
      write: () => writeMergedLabel('D/s0', masks, 'abdomen', join(folder, 'out')),
      mask,
      file,
    }
  }

  it('reuses a label map until a mask changes', async () => {
    const { write, mask, file } = await written()
    const first = await write()
    expect(first).toEqual({
      file: expect.stringContaining('out/D__s0.nii.gz'),
      overlaps: [{ kept: 'liver_tumor', covered: 'liver', voxels: 2 }],
    })
    expect([...(await readNifti(first.file)).data]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2])
    const { ino } = statSync(first.file)
    expect(await write()).toEqual(first)
    expect(statSync(first.file).ino).toBe(ino)
    await writeVolume(file('liver_tumor'), mask(6))
    expect((await write()).overlaps[0]!.voxels).toBe(6)
  })

  it('refuses masks without an organ of the region, and sums overlaps over cases', async () => {
    const { folder, masks } = await written()
    await expect(writeMergedLabel('D/s0', masks, 'chest', folder)).rejects.toThrow(
      /case D\/s0: no mask of the chest \(found liver, liver_tumor, spleen\)/,
    )
    const listed = { image: '', label: null, masks, fold: null, split: 'training' as const }
    const cases = ['a', 'b'].map((name) => ({ ...listed, name }))
    const merged = await mergedLabels('src', cases, ({ name }) => name, 'abdomen', join(folder, 'l'))
    expect(merged.notes).toEqual([
      'liver and liver_tumor overlap, liver_tumor wins: 4 voxels in 2 cases, first a',
    ])
  })
})

function rank(id: number): number {
  return id + (TUMORS.has(id) ? 256 : 0)
}
