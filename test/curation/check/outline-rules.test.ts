import { describe, expect, it } from 'vitest'
import { outlineFindings, sampleOutlines } from '../../../src/curation/check/outline-rules.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { moveAxes } from '../../../src/volume/geometry.js'
import { readNifti } from '../../../src/volume/nifti.js'
import type { Volume } from '../../../src/volume/volume.js'
import { allMoves } from '../../helpers/scan-copies.js'
import { sharedData } from '../../helpers/shared.js'

const NO_RESCALE = { slope: 1, inter: 0 }

function judge(image: Volume, label: Volume) {
  return outlineFindings(sampleOutlines(label), label, {
    values: image.data,
    grid: image,
    rescale: NO_RESCALE,
  })
}

/** The label's array turned or mirrored under the header that it had. */
function misplaced(label: Volume): { label: Volume; flip: readonly boolean[] }[] {
  return allMoves()
    .filter(({ source, flip }) => source.join() === '0,1,2' && flip.includes(true))
    .map((moves) => ({ label: { ...moveAxes(label, moves), affine: label.affine }, flip: moves.flip }))
}

function expectToldApart(image: Volume, label: Volume): void {
  expect(judge(image, label)).toEqual([])
  for (const moves of allMoves().slice(13, 16)) expect(judge(image, moveAxes(label, moves))).toEqual([])
  for (const wrong of misplaced(label)) {
    const [finding] = judge(image, wrong.label)
    expect(finding, wrong.flip.join()).toMatchObject({ rule: 'misplaced-label', severity: 'error' })
    // Axes are named in the order of the file, the reverse of the array's.
    const named = ['third', 'second', 'first'].filter((_, axis) => wrong.flip[axis]).reverse()
    expect(finding!.message).toContain(`the ${named.join(' and ')} axis of the image reversed`)
  }
}

describe('outlines of a label with unknown ids', () => {
  it('follow edges of a phantom by its header, in any order of axes, and with no axis reversed', () => {
    const { image, label } = makePhantom({
      region: 'abdomen',
      index: 0,
      seed: 3,
      sizeVoxels: 80,
      tumors: true,
    })
    expectToldApart(image, label)
  })

  it('of a few voxels are not judged', () => {
    const { image, label } = makePhantom({
      region: 'abdomen',
      index: 0,
      seed: 3,
      sizeVoxels: 80,
      tumors: true,
    })
    const data = label.data.map((id, n) => (id === 1 && n % 80 < 40 && n > 200_000 && n < 205_000 ? 1 : 0))
    for (const wrong of misplaced({ ...label, data })) expect(judge(image, wrong.label)).toEqual([])
  })
})

const chest = sharedData('nsclc_lung1_001')

it.skipIf(chest === null)('outlines of a real lung tumor alone find its place', async () => {
  const image = await readNifti(`${chest}/ct_ds2.nii.gz`)
  const label = await readNifti(`${chest}/label_ds2.nii.gz`)
  expectToldApart(image, { ...label, data: Uint8Array.from(label.data, (id) => (id === 3 ? 1 : 0)) })
})
