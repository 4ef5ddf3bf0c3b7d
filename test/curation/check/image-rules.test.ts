import { describe, expect, it } from 'vitest'
import { imageFacts, imageFindings } from '../../../src/curation/check/image-rules.js'
import type { Volume } from '../../../src/volume/volume.js'
import { madeImage } from '../../helpers/made-cases.js'

function rulesOf({ data }: Volume): string[] {
  return imageFindings(imageFacts(data, { slope: 1, inter: 0 })).map(
    ({ rule, severity }) => `${rule}:${severity}`,
  )
}

describe('imageFindings', () => {
  it('finds nothing in HU of a CT', () => {
    expect(rulesOf(madeImage())).toEqual([])
    expect(rulesOf(madeImage((hu) => hu, Float32Array))).toEqual([])
  })

  it('reports NaN and infinity', () => {
    const image = madeImage((hu, i) => (i === 0 ? Number.NaN : hu), Float32Array)
    expect(rulesOf(image)).toEqual(['non-finite:error'])
    expect(imageFindings(imageFacts(image.data, { slope: 1, inter: 0 }))[0]!.message).toContain(
      `${24 * 24} voxels`,
    )
  })

  it('reports padding below air as information, not as a fault', () => {
    expect(rulesOf(madeImage((hu, i) => (i === 0 ? -3024 : hu)))).toEqual(['padding:info'])
  })

  it('reports negative HU that were stored without sign', () => {
    expect(rulesOf(madeImage((hu) => (hu + 65_536) % 65_536, Uint16Array))).toEqual(['hu-wrapped:error'])
  })

  it('reports a lost intercept, also with padding below it', () => {
    expect(rulesOf(madeImage((hu) => hu + 1024))).toEqual(['rescale-lost:error'])
    expect(rulesOf(madeImage((hu, i) => (i === 0 ? -2000 : hu + 1024)))).toEqual(['rescale-lost:error'])
  })

  it('reports windowed pictures: 0 to 1, 8 bits, clipped HU, and normalised numbers', () => {
    const window = (hu: number) => Math.min(250, Math.max(-175, hu))
    expect(rulesOf(madeImage((hu) => (window(hu) + 175) / 425, Float32Array))).toEqual(['windowed:error'])
    expect(rulesOf(madeImage((hu) => Math.round(((window(hu) + 175) / 425) * 255), Uint8Array))).toEqual([
      'windowed:error',
    ])
    expect(rulesOf(madeImage(window))).toEqual(['windowed:error'])
    expect(rulesOf(madeImage((hu) => Math.min(500, hu)))).toEqual(['windowed:error'])
    expect(rulesOf(madeImage((hu) => (hu + 300) / 400, Float32Array))).toEqual(['windowed:error'])
  })

  it('reports values beyond metal, an image of one value, and one without soft tissue', () => {
    expect(rulesOf(madeImage((hu, i, j, k) => (i + j + k === 30 ? 20_000 : hu)))).toEqual([
      'hu-range:warning',
    ])
    expect(rulesOf(madeImage(() => 7))).toEqual(['constant:error'])
    expect(rulesOf(madeImage((hu, i) => (hu > -100 && hu < 600 ? 400 + i : hu)))).toEqual([
      'no-soft-tissue:warning',
    ])
  })
})
