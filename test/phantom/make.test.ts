import { describe, expect, it } from 'vitest'
import { makePhantom, type Phantom } from '../../src/phantom/make.js'
import { findComponents } from '../../src/volume/components.js'
import { LABEL_SCHEMES } from '../../src/volume/labels.js'

const make = (index: number, tumors = true, region: 'abdomen' | 'chest' = 'abdomen'): Phantom =>
  makePhantom({ region, index, seed: 1, sizeVoxels: 64, tumors })
const voxelsOf = ({ label }: Phantom, id: number): number => label.data.filter((value) => value === id).length

describe('a phantom', () => {
  it('is equal for equal seed and index and differs for others', () => {
    expect(make(0).image.data).toEqual(make(0).image.data)
    expect(make(0).image.data).not.toEqual(make(1).image.data)
    expect(
      makePhantom({ region: 'abdomen', index: 0, seed: 2, sizeVoxels: 64, tumors: true }).image.data,
    ).not.toEqual(make(0).image.data)
  })

  it.each(['abdomen', 'chest'] as const)(
    'of the %s has every organ, tumors when asked and none in hosts',
    (region) => {
      for (let index = 0; index < 4; index++) {
        const labelled = make(index, true, region)
        const host = make(index, false, region)
        const tumorVoxels = (phantom: Phantom): number =>
          LABEL_SCHEMES[region].organs.reduce((sum, organ) => sum + voxelsOf(phantom, organ.tumorLabel), 0)
        for (const organ of LABEL_SCHEMES[region].organs)
          expect(voxelsOf(host, organ.label)).toBeGreaterThan(500)
        expect(tumorVoxels(labelled)).toBeGreaterThan(50)
        expect(tumorVoxels(host)).toBe(0)
      }
    },
  )

  it.each(['standard', 'hard', 'early', 'late'] as const)(
    'of %s difficulty has tumors only in the wanted organs',
    (difficulty) => {
      for (let index = 0; index < 3; index++) {
        const settings = { region: 'abdomen', index, seed: 1, sizeVoxels: 48, tumors: true } as const
        const phantom = makePhantom({ ...settings, difficulty, tumorOrgans: ['liver'] })
        expect(voxelsOf(phantom, 2)).toBeGreaterThan(10)
        expect(voxelsOf(phantom, 4) + voxelsOf(phantom, 6)).toBe(0)
      }
    },
  )

  it('of late difficulty has larger tumors than of early difficulty', () => {
    const meanMm = (difficulty: 'early' | 'late'): number => {
      const settings = { region: 'abdomen', seed: 1, sizeVoxels: 56, tumors: true, difficulty } as const
      const diameters = [0, 1, 2, 3, 4, 5].flatMap((index) => {
        const { label } = makePhantom({ ...settings, index, tumorOrgans: ['liver'] })
        return findComponents(label, 2).voxels.map((voxels) => Math.cbrt((6 * voxels * 1.5 ** 3) / Math.PI))
      })
      return diameters.reduce((sum, mm) => sum + mm, 0) / diameters.length
    }
    expect(meanMm('early')).toBeLessThan(10)
    expect(meanMm('late')).toBeGreaterThan(10)
  })

  it('of hard difficulty varies more within its liver than a standard one', () => {
    const spread = (difficulty: 'standard' | 'hard'): number => {
      const settings = { region: 'abdomen', index: 0, seed: 1, sizeVoxels: 48, tumors: false } as const
      const { image, label } = makePhantom({ ...settings, difficulty })
      const liver = Array.from(image.data).filter((_, v) => label.data[v] === 1)
      const mean = liver.reduce((sum, hu) => sum + hu, 0) / liver.length
      return Math.sqrt(liver.reduce((sum, hu) => sum + (hu - mean) ** 2, 0) / liver.length)
    }
    expect(spread('hard')).toBeGreaterThan(1.5 * spread('standard'))
  })

  it('is in HU, with air around the body and a correct affine', () => {
    const { image, label } = make(0)
    expect(image.data[0]).toBeLessThan(-900)
    expect(image.data.some((hu) => hu > 200)).toBe(true)
    expect(image.affine).toEqual(label.affine)
    expect([image.affine[0], image.affine[5], image.affine[10]]).toEqual([1.5, 1.5, 1.5])
  })

  it('hides its tumors from a threshold: even the best one for liver, inside the true organ, stays below Dice 0.6', () => {
    const cases = Array.from({ length: 10 }, (_, index) => make(index)).filter(
      (phantom) => voxelsOf(phantom, 2) > 0,
    )
    const dice = (thresholdHu: number): number => {
      const each = cases.map(({ image, label }) => {
        let [both, found, real] = [0, 0, 0]
        for (let v = 0; v < label.data.length; v++) {
          const [tumor, organ] = [label.data[v] === 2, label.data[v] === 1 || label.data[v] === 2]
          const called = organ && image.data[v]! < thresholdHu
          both += Number(called && tumor)
          found += Number(called)
          real += Number(tumor)
        }
        return (2 * both) / (found + real)
      })
      return each.reduce((sum, value) => sum + value, 0) / each.length
    }
    const best = Math.max(...Array.from({ length: 40 }, (_, at) => dice(20 + 3 * at)))
    expect(best).toBeLessThan(0.6)
  })
})
