import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeManifest, readManifest, writeManifest } from '../../src/curation/datasets/manifest.js'
import { withFileFacts, withMeasures } from '../../src/curation/file-facts.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import { madeCase, madeImage, madeLabel } from '../helpers/made-cases.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('withFileFacts', () => {
  it('adds geometry, sizes and digests, which follow the content', async () => {
    const root = temporaryFolder()
    const item = await madeCase(join(root, 'a'), madeImage(), madeLabel())
    const other = await madeCase(
      join(root, 'b'),
      madeImage((hu, i) => (i === 12 ? hu + 1 : hu)),
      madeLabel(),
      { id: 'Made/b' },
    )
    const { cases, refused } = await withFileFacts([item, other])
    expect(refused).toEqual([])
    expect(cases[0]!.geometry).toMatchObject({ shape: [24, 24, 24], spacingMm: [2, 2, 2], dataType: 'int16' })
    expect(cases[0]!.geometry!.affine).toEqual(madeImage().affine)
    expect(cases[0]!.files!.image.bytes).toBe(readFileSync(item.image).length)
    expect(cases[0]!.files!.label).toEqual(cases[1]!.files!.label)
    expect(cases[0]!.files!.image.digest).not.toBe(cases[1]!.files!.image.digest)
  })

  it('refuses a case whose image or label is unreadable, with the reason', async () => {
    const root = temporaryFolder()
    const item = await madeCase(join(root, 'a'), madeImage(), madeLabel())
    writeFileSync(item.image, 'no image')
    const other = await madeCase(join(root, 'b'), madeImage(), madeLabel(), { id: 'Made/b' })
    writeFileSync(other.label!, '')
    const whole = await madeCase(join(root, 'c'), madeImage(), madeLabel(), { id: 'Made/c' })
    const { cases, refused } = await withFileFacts([item, other, whole])
    expect(cases.map(({ id }) => id)).toEqual(['Made/c'])
    expect(refused.map(({ id, error }) => [id, error.message])).toEqual([
      ['Made/a', `${item.image}: not a NIfTI file`],
      ['Made/b', `${other.label}: not a NIfTI file`],
    ])
  })
})

describe('withMeasures', () => {
  it('adds the volume of each class, the SHA-256 of both files and the hash of the voxels, also from threads', async () => {
    const root = temporaryFolder()
    const pairs = ['a', 'b'].map((name) =>
      madeCase(join(root, name), madeImage(), madeLabel(), { id: `Made/${name}` }),
    )
    const probed = await withFileFacts(await Promise.all(pairs))
    const measured = await withMeasures(probed, { workers: 2 })
    expect(measured).toEqual(await withMeasures(probed, { workers: 1 }))
    const [first] = measured.cases as [(typeof measured.cases)[number]]
    const voxels = (id: number) => madeLabel().data.filter((value) => value === id).length
    expect(first.labelMl).toEqual({
      liver: expect.closeTo(voxels(1) * 0.008, 5),
      'liver tumor': expect.closeTo(voxels(2) * 0.008, 5),
      pancreas: expect.closeTo(voxels(3) * 0.008, 5),
    })
    const sha256 = createHash('sha256').update(readFileSync(first.image)).digest('hex')
    expect(first.files!.image.digest).toBe(`sha256:${sha256}`)
    // The same voxels, so the same scan.
    expect(first.fingerprint).toMatch(/^[0-9a-f]{64}$/)
    expect(measured.cases[1]!.fingerprint).toBe(first.fingerprint)
    await writeManifest(join(root, 'm.json'), makeManifest(measured.cases))
    expect((await readManifest(join(root, 'm.json'))).cases).toEqual(measured.cases)
  })

  it('refuses a case whose label has ids outside the map, with the reason and the remedy', async () => {
    const root = temporaryFolder()
    const item = await madeCase(join(root, 'a'), madeImage(), madeLabel())
    await writeNifti(
      item.label!,
      madeLabel((_i, _j, _k, id) => (id === 2 ? 9 : id)),
    )
    const { cases, refused } = await withMeasures(await withFileFacts([item]), { workers: 1 })
    expect(cases).toEqual([])
    expect(refused).toMatchObject([
      {
        id: 'Made/a',
        error: {
          message: `${item.label}: id 9 is not in the label map`,
          commandHint: 'run `freetumor data check` for details',
        },
      },
    ])
  })
})
